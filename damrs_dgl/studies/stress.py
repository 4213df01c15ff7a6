"""What noise does: corrupt the clean data, train each system anew, compare (paper, Section 4.3, Figures 3 and 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from damrs_dgl.errors import DamrsError
from damrs_dgl.evaluation.labels import HEADLINE
from damrs_dgl.studies.study import CLEAN, Cell, Outcome


def plan_cells(
    systems: Sequence[str], noises: Sequence[str], ratios: Sequence[float], seeds: Sequence[int]
) -> list[Cell]:
    """All cells, those of one corrupted data set side by side; the clean ones first, once for all kinds of noise."""
    clean = [Cell(system, seed=seed) for seed in seeds for system in systems]
    noisy = sorted({ratio for ratio in ratios if ratio > 0})
    return clean + [
        Cell(system, noise=noise, ratio=ratio, seed=seed)
        for noise in noises
        for ratio in noisy
        for seed in seeds
        for system in systems
    ]


def stress_rows(outcomes: Mapping[Cell, Outcome], noises: Sequence[str]) -> list[dict[str, Any]]:
    """A row per (system, noise, ratio, seed): every test metric, and the drop of recall and NDCG at 20 against ratio 0.

    `clean_candidates_*`: the same where a user's candidates are those of the clean data, whatever was added or removed.

    A clean cell becomes one row of each kind of noise. `drop_*` is relative: 0.1 means that a tenth was lost. The row
    of a cell that failed has its error and no metrics; without the clean cell there is no drop.
    """
    clean = {(cell.system, cell.seed): outcome for cell, outcome in outcomes.items() if cell.noise == CLEAN}
    expanded = [
        (replace(cell, noise=noise), outcome)
        for noise in noises
        for cell, outcome in outcomes.items()
        if cell.noise in (noise, CLEAN)
    ]
    rows = []
    for cell, outcome in expanded:
        row: dict[str, Any] = {"system": cell.system, "noise": cell.noise, "ratio": cell.ratio, "seed": cell.seed}
        rows.append({**row, **_numbers(outcome, clean[cell.system, cell.seed])})
    return rows


def _numbers(outcome: Outcome, clean: Outcome) -> dict[str, Any]:
    if isinstance(outcome, DamrsError):
        return {"error": str(outcome)}
    on_clean = {f"clean_candidates_{name}": (outcome.clean_candidates or outcome.test)[name] for name in HEADLINE}
    found = {
        **outcome.test,
        **on_clean,
        "best_epoch": outcome.best_epoch,
        "epochs": outcome.epochs,
        "seconds": outcome.seconds,
    }
    if isinstance(clean, DamrsError):
        return found
    drops = {name: 1 - outcome.test[name] / clean.test[name] for name in HEADLINE if clean.test[name]}
    return {**found, **{f"drop_{name}": value for name, value in drops.items()}}
