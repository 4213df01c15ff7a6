"""Systems side by side on clean data: the rows of a comparison or an ablation, and what may be said of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from damrs_dgl.errors import DamrsError, RecipeError
from damrs_dgl.evaluation.labels import HEADLINE, validation_column
from damrs_dgl.models.base import WrapperConfig
from damrs_dgl.models.specification.systems import BACKBONE, check_system
from damrs_dgl.recipe import Recipe
from damrs_dgl.studies.results import PER_USER_K, CellResult
from damrs_dgl.studies.statistics import Pair, compare_pairs
from damrs_dgl.studies.study import Cell, Outcome


def systems_of(recipe: Recipe[Any], asked: Sequence[str]) -> list[str]:
    """The systems to compare, each once, in lower case; none asked: the recipe's own and what it wraps, as `backbone`.

    Raises RecipeError for a name that is no system.
    """
    wraps = isinstance(recipe.model, WrapperConfig)
    try:
        names = [check_system(name) for name in asked] or [recipe.model.name, *([BACKBONE] if wraps else [])]
    except ValueError as error:
        raise RecipeError(str(error), where="--models") from None
    return list(dict.fromkeys(names))


def clean_cells(systems: Sequence[str], seeds: Sequence[int], once: Collection[str] = ()) -> list[Cell]:
    """Every system with every seed; a first row of all systems comes before a second seed.

    once: systems that draw nothing, which the first seed is enough for.
    """
    return [Cell(system, seed=seed) for seed in seeds for system in systems if seed == seeds[0] or system not in once]


def system_rows(outcomes: Mapping[Cell, Outcome], paper: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """A row per system and seed, systems in the order they come: test metrics, what is beside accuracy at the length
    that users' own numbers are kept for, validation metrics, the paper's figures.

    The row of a cell that failed has its error and no metrics.
    """
    systems = list(dict.fromkeys(cell.system for cell in outcomes))
    ordered = sorted(outcomes.items(), key=lambda item: systems.index(item[0].system))
    return [_row(cell, outcome, paper.get(cell.system, {})) for cell, outcome in ordered]


def _row(cell: Cell, outcome: Outcome, paper: Mapping[str, float]) -> dict[str, Any]:
    row: dict[str, Any] = {"system": cell.system, "seed": cell.seed}
    published = {f"paper_{name}": value for name, value in paper.items()}
    if isinstance(outcome, DamrsError):
        return {**row, **published, "error": str(outcome)}
    validation = {validation_column(name): value for name, value in outcome.validation.items()}
    training = {"best_epoch": outcome.best_epoch, "epochs": outcome.epochs, "seconds": outcome.seconds}
    return {**row, **outcome.test, **beside_accuracy(outcome), **validation, **training, **published}


def beside_accuracy(result: CellResult) -> dict[str, float | None]:
    """What a system's lists of `PER_USER_K` are like beside their accuracy."""
    return {name: value for name, value in result.beyond_accuracy.items() if name.endswith(f"@{PER_USER_K}")}


def results_of(outcomes: Mapping[Cell, Outcome]) -> dict[str, list[CellResult]]:
    """The results of every system over its seeds, without those that failed."""
    found: dict[str, list[CellResult]] = {cell.system: [] for cell in outcomes}
    for cell, outcome in outcomes.items():
        if isinstance(outcome, CellResult):
            found[cell.system].append(outcome)
    return found


def per_user_table(results: Mapping[str, Sequence[CellResult]]) -> dict[str, dict[str, np.ndarray]]:
    """metric -> system -> [seeds, users] of the headline metrics; systems without a result are left out."""
    loaded = {system: [result.per_user() for result in runs] for system, runs in results.items() if runs}
    return {
        metric: {system: np.stack([run[metric] for run in runs]) for system, runs in loaded.items()}
        for metric in HEADLINE
    }


def pairs_of(results: Mapping[str, Sequence[CellResult]]) -> list[Pair]:
    """Every pair of systems on every headline metric, tested over users."""
    return compare_pairs(per_user_table(results), seed=0)


def pair_rows(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """A row per pair: the difference over users, its 95 % interval, the p-values."""
    return [
        {
            "metric": pair.metric,
            "system": pair.first,
            "against": pair.second,
            "difference": pair.comparison.difference,
            "low": pair.comparison.low,
            "high": pair.comparison.high,
            "p_value": pair.comparison.p_value,
            "p_value_holm": pair.corrected,
            "users": pair.comparison.num_users,
        }
        for pair in pairs
    ]
