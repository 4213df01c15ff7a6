"""What a search leaves to read: a row per trial, and the best as a recipe."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from damrs_dgl.errors import DamrsError
from damrs_dgl.evaluation.labels import validation_column
from damrs_dgl.recipe import Recipe, with_values, written_text
from damrs_dgl.studies.tune.search import Trial, best_of, state_of
from damrs_dgl.studies.tune.trials import Pruned, TrialResult
from damrs_dgl.toml import toml_value

_SUFFIX = "-tuned"


def trial_rows(trials: Sequence[Trial], recipe: Recipe[Any], how: str, count: int) -> list[dict[str, Any]]:
    """A row per trial: its values (none: the recipe as it is), what became of it, validation metrics, the budget.

    how: the search in words, of which the `count` trials are the budget; the trials of others have none here.
    """
    keys = dict.fromkeys(key for trial in trials for key in trial.params)
    budget = {"budget_trials": count, "budget_epochs": recipe.training.epochs}
    return [
        {
            "trial": trial.number,
            "search": trial.search or how,
            "state": state_of(trial),
            **{key: _cell(trial.params.get(key)) for key in keys},
            **_numbers(trial, recipe.training.monitor),
            **({} if trial.search else budget),
        }
        for trial in trials
    ]


def _cell(value: object) -> object:
    return toml_value(value) if isinstance(value, (list, tuple, bool)) else value


def _numbers(trial: Trial, monitor: str) -> dict[str, Any]:
    outcome = trial.outcome
    if isinstance(outcome, DamrsError):
        return {"error": str(outcome)}
    if isinstance(outcome, Pruned):
        return {validation_column(monitor): outcome.score, "epochs": outcome.epochs, "seconds": outcome.seconds}
    if not isinstance(outcome, TrialResult):
        return {}
    validation = {validation_column(name): value for name, value in outcome.validation.items()}
    return {
        validation_column(monitor): outcome.score,
        **validation,
        "best_epoch": outcome.best_epoch,
        "epochs": outcome.epochs,
        "seconds": outcome.seconds,
    }


def tuned_text(recipe: Recipe[Any], trials: Sequence[Trial], how: str, count: int, path: Path) -> str:
    """The recipe as it was written, with the best trial's values and where they are from; one trial has finished.

    how, count: as for `trial_rows`.  path: where it is going to be.
    """
    best = best_of(trials)
    assert best is not None
    name = recipe.name if recipe.name.endswith(_SUFFIX) else f"{recipe.name}{_SUFFIX}"
    tuned = with_values(with_values(recipe, best.params), {"name": name})
    lines = [
        *_origin(recipe, trials, best, how, count, path),
        *(f"#   {key} = {toml_value(value)}" for key, value in best.params.items()),
    ]
    return "\n".join(lines) + "\n\n" + written_text(tuned)


def told_states(trials: Sequence[Trial]) -> str:
    """What became of a search's trials, and how many of others count: "4 finished, and 3 of other searches"."""
    states = [state_of(trial) for trial in trials if not trial.search]
    told = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "no trial"
    others = len(trials) - len(states)
    return told + (f", and {others} of other searches" if others else "")


def _origin(recipe: Recipe[Any], trials: Sequence[Trial], best: Trial, how: str, count: int, path: Path) -> list[str]:
    monitor = f"validation {recipe.training.monitor}"
    spent = sum(trial.outcome.seconds for trial in trials if isinstance(trial.outcome, (TrialResult, Pruned)))
    own = next((trial.score for trial in trials if not trial.params and trial.score is not None), None)
    synthetic = " (synthetic data)" if recipe.data.is_synthetic else ""
    if best.params:
        before = f"; the recipe as it was: {own:.4f}" if own is not None else ""
        whose = f" of another search ({best.search})" if best.search else ""
        found = f"# Best: trial {best.number}{whose}, {monitor} {best.score:.4f}{before}. It sets:"
    else:
        found = f"# No trial was better than the recipe as it was, {monitor} {best.score:.4f}: nothing is changed."
    return [
        f"# The recipe {toml_value(recipe.name)}{synthetic} as `damrs-dgl tune` left it: {how}.",
        f"# Budget: {count} trials and the recipe as it was, {recipe.training.epochs} epochs at most each; "
        f"{told_states(trials)}; {spent:.0f} s of training.",
        "# Chosen by validation; the test split was not looked at. A score picked as the best of many flatters:",
        f"# judge by `damrs-dgl --recipe {shlex.quote(str(path.absolute()))} fit evaluate`.",
        found,
    ]
