"""`evaluate`: validation and test metrics of the best epoch, with the floor beside."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import sys
from typing import Any

import torch

from damrs_dgl.evaluation.labels import floor_beside
from damrs_dgl.evaluation.list_metrics import unusable_metrics
from damrs_dgl.factory import SplitEvaluator
from damrs_dgl.stages.floor import current_floor, lost_to_floor
from damrs_dgl.stages.per_user import write_per_user
from damrs_dgl.stages.workspace import Workspace
from damrs_dgl.storage.files import read_json, write_json
from damrs_dgl.studies.judging import Judge

PACKAGES = ("damrs-dgl", "torch", "dgl", "numpy", "scipy")


def evaluate(workspace: Workspace, *, per_user: bool = False, format: str | None = None) -> dict[str, Any]:
    """Rank all items for all users with the best epoch's model; writes, returns and prints `metrics.json`.

    The floor, `popularity` and `itemknn`, stands beside; a line warns where one of them has the better validation
    score. With `per_user` also writes `per_user.parquet`; with `format` (md, latex, csv) the tables are printed in it.

    Where metrics cannot be written, on a read-only disk or while another process trains here, they are shown.
    """
    metrics, said = _metrics_and_where(workspace)
    show_metrics(workspace, metrics, format)
    show_beside_floor(workspace, metrics, format)
    workspace.console.notice(f"evaluate: {said}")
    if per_user:
        write_per_user(workspace)
    for error in unusable_metrics():
        workspace.console.warning(str(error))
    lost = lost_to_floor(workspace.recipe, metrics)
    if lost:
        workspace.console.warning(lost)
    return metrics


def _metrics_and_where(workspace: Workspace) -> tuple[dict[str, Any], str]:
    """The metrics, stored or computed now, and where they are, in words."""
    path = workspace.run.metrics
    metrics = _stored_metrics(workspace)
    if metrics is not None:
        return metrics, f"up to date ({path})"
    with workspace.writing_if_possible("evaluate") as refusal:
        metrics = _computed(workspace)
        if refusal is not None:
            return metrics, f"shown, not stored ({refusal.where}: {refusal.what})"
        _store(workspace, metrics)
    return metrics, f"written ({path})"


def current_metrics(workspace: Workspace) -> dict[str, Any]:
    """What `metrics.json` holds; computed where it is not there, damaged or of other settings, stored if it can be."""
    return _metrics_and_where(workspace)[0]


def _stored_metrics(workspace: Workspace) -> dict[str, Any] | None:
    run = workspace.run
    if not run.is_sound("metrics", workspace.metrics_parts, workspace.console.warning):
        return None
    return read_json(run.metrics, fix="delete it and run `evaluate` again")


def _store(workspace: Workspace, metrics: dict[str, Any]) -> None:
    run = workspace.run
    with (
        run.making("floor", workspace.floor_parts, run.metrics),
        run.making("metrics", workspace.metrics_parts, run.metrics),
    ):
        write_json(run.metrics, metrics)


def _computed(workspace: Workspace) -> dict[str, Any]:
    recipe, dataset, fitted = workspace.recipe, workspace.dataset, workspace.fitted
    progress = fitted.progress
    judge = Judge(recipe, dataset)
    test = judge(fitted.scorer)
    return {
        "validation": SplitEvaluator(recipe, dataset, "validation")(fitted.scorer),
        "test": test.test,
        "beyond_accuracy": test.beyond_accuracy,
        "best_epoch": progress.best_epoch,
        "epochs": progress.epoch,
        "protocol": recipe.evaluation.protocol,
        "seed": recipe.training.seed,
        "synthetic": workspace.is_synthetic,
        "seconds": progress.seconds,
        **peak_memory(workspace.device),
        "device": str(workspace.device),
        "versions": versions(),
        "recipe": recipe.model_dump(mode="json"),
        "floor": current_floor(workspace, judge),  # last: the peak of memory above is the model's
    }


def show_metrics(workspace: Workspace, metrics: dict[str, Any], format: str | None = None) -> None:
    """Print the table: a row per metric, a column per K, for both splits."""
    ks = workspace.recipe.evaluation.ks
    names = dict.fromkeys(name.split("@")[0] for name in metrics["test"])
    rows = [
        [split, name, *(metrics[split][f"{name}@{k}"] for k in ks)]
        for split in ("validation", "test")
        for name in names
    ]
    title = f"{workspace.recipe.name}: best epoch {metrics['best_epoch']}, protocol {metrics['protocol']}"
    title += workspace.synthetic_note
    workspace.console.table(title, ["split", "metric", *(f"@{k}" for k in ks)], rows, format=format)


def show_beside_floor(workspace: Workspace, metrics: dict[str, Any], format: str | None = None) -> None:
    """Print the model and the floor at the K of `training.monitor`: accuracy on test, and what is beside accuracy.

    As CSV not: two tables in one stream are none. `metrics.json` holds both.
    """
    if format == "csv":
        return
    if format is not None:
        workspace.console.info("")
    recipe = workspace.recipe
    k = recipe.training.monitor.partition("@")[2]
    columns = list(dict.fromkeys([recipe.training.monitor, f"recall@{k}", f"ndcg@{k}"]))
    beside = [name for name in metrics["beyond_accuracy"] if name.endswith(f"@{k}")]
    own = recipe.model.name
    rows = [
        [name, *(found["test"][key] for key in columns), *(found["beyond_accuracy"].get(key) for key in beside)]
        for name, found in {own: metrics, **floor_beside(own, metrics)}.items()
    ]
    title = f"{recipe.name}: test lists of {k} beside the floor{workspace.synthetic_note}"
    shown = [name.partition("@")[0].replace("_", " ") for name in (*columns, *beside)]
    workspace.console.table(title, ["system", *shown], rows, format=format)


def peak_memory(device: torch.device) -> dict[str, float]:
    """Peak memory so far in MiB: resident memory of this process, and what torch took of the GPU where it is used."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"peak_memory_mb": round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)}
    if device.type == "cuda":
        found["peak_gpu_memory_mb"] = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return found


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}}
