"""The floor beside the model: systems without training that a model has to beat, and the word where it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from damrs_dgl.errors import RunError
from damrs_dgl.evaluation.labels import floor_beside
from damrs_dgl.recipe import Recipe
from damrs_dgl.stages.workspace import Workspace
from damrs_dgl.storage.files import read_json
from damrs_dgl.studies.judging import Judge, trained_floor

Floor = dict[str, dict[str, Any]]  # by system: validation, test and beyond_accuracy, as metrics.json holds the model's


def current_floor(workspace: Workspace, judge: Judge) -> Floor:
    """The floor's metrics, those in `metrics.json` where they are of the same data and protocol, else worked out."""
    run = workspace.run
    if run.is_sound("floor", workspace.floor_parts, warn=lambda _: None):  # damage was told with the metrics
        stored = _stored(workspace)
        if stored is not None:
            return stored
    floor: Floor = {}
    for system in trained_floor(workspace.recipe, workspace.dataset, workspace.graph, workspace.device):
        found = judge(system.scorer)
        floor[system.name] = {
            "validation": system.validation,
            "test": found.test,
            "beyond_accuracy": found.beyond_accuracy,
        }
    return floor


def _stored(workspace: Workspace) -> Floor | None:
    try:
        return read_json(workspace.run.metrics, fix="").get("floor")
    except RunError:  # damaged: it is about to be written anew
        return None


def lost_to_floor(recipe: Recipe[Any], metrics: Mapping[str, Any]) -> str | None:
    """One line that says which systems of the floor have the better validation score, with test beside; None if none.

    Test is shown and decides nothing.
    """
    monitor = recipe.training.monitor
    own, test = metrics["validation"][monitor], metrics["test"][monitor]
    beside = floor_beside(recipe.model.name, metrics)
    better = {name: found for name, found in beside.items() if found["validation"][monitor] > own}
    if not better:
        return None
    against = " and ".join(
        f"{name} with {found['validation'][monitor]:.4f} (test {found['test'][monitor]:.4f})"
        for name, found in better.items()
    )
    return f"{recipe.name} has validation {monitor} {own:.4f} (test {test:.4f}) and loses to {against}"
