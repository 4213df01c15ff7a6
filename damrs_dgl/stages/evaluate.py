"""`evaluate`: validation and test metrics of the best epoch."""

from __future__ import annotations

import importlib.metadata
import platform
import resource
import sys
from typing import Any

import torch

from damrs_dgl.factory import SplitEvaluator
from damrs_dgl.files import read_json, write_json
from damrs_dgl.stages.workspace import Workspace

PACKAGES = ("damrs-dgl", "torch", "dgl", "numpy", "scipy")


def evaluate(workspace: Workspace) -> dict[str, Any]:
    """Rank all items for all users with the best epoch's model; writes, returns and prints `metrics.json`.

    Where they cannot be written, on a read-only disk or while another process trains here, they are shown all the same.
    """
    run, console = workspace.run, workspace.console
    metrics = _stored_metrics(workspace)
    said = f"up to date ({run.metrics})"
    if metrics is None:
        with workspace.writing_if_possible("evaluate") as refusal:
            metrics = _computed(workspace)
            if refusal is None:
                _store(workspace, metrics)
        said = f"written ({run.metrics})" if refusal is None else f"shown, not stored ({refusal.where}: {refusal.what})"
    show_metrics(workspace, metrics)
    console.notice(f"evaluate: {said}")
    return metrics


def current_metrics(workspace: Workspace) -> dict[str, Any]:
    """What `metrics.json` holds, computed and written first where it is not there, is damaged or no longer fits."""
    metrics = _stored_metrics(workspace)
    if metrics is None:
        with workspace.writing("evaluate"):
            metrics = _computed(workspace)
            _store(workspace, metrics)
    return metrics


def _stored_metrics(workspace: Workspace) -> dict[str, Any] | None:
    run = workspace.run
    if not run.is_sound("metrics", workspace.metrics_parts, workspace.console.warning):
        return None
    return read_json(run.metrics, fix="delete it and run `evaluate` again")


def _store(workspace: Workspace, metrics: dict[str, Any]) -> None:
    with workspace.run.making("metrics", workspace.metrics_parts, workspace.run.metrics):
        write_json(workspace.run.metrics, metrics)


def _computed(workspace: Workspace) -> dict[str, Any]:
    recipe, dataset, fitted = workspace.recipe, workspace.dataset, workspace.fitted
    progress = fitted.progress
    scores = {split: SplitEvaluator(recipe, dataset, split)(fitted.scorer) for split in ("validation", "test")}
    return {
        **scores,
        "best_epoch": progress.best_epoch,
        "epochs": progress.epoch,
        "protocol": recipe.evaluation.protocol,
        "seed": recipe.training.seed,
        "synthetic": workspace.is_synthetic,
        "seconds": round(sum(row["seconds"] for row in progress.history), 3),
        **peak_memory(workspace.device),
        "device": str(workspace.device),
        "versions": versions(),
        "recipe": recipe.model_dump(mode="json"),
    }


def show_metrics(workspace: Workspace, metrics: dict[str, Any]) -> None:
    """Print the table: a row per metric, a column per K, for both splits."""
    ks = workspace.recipe.evaluation.ks
    names = dict.fromkeys(name.split("@")[0] for name in metrics["test"])
    rows = [
        [split, name, *(metrics[split][f"{name}@{k}"] for k in ks)]
        for split in ("validation", "test")
        for name in names
    ]
    synthetic = ", synthetic data" if metrics["synthetic"] else ""
    title = f"{workspace.recipe.name}: best epoch {metrics['best_epoch']}, protocol {metrics['protocol']}{synthetic}"
    workspace.console.table(title, ["split", "metric", *(f"@{k}" for k in ks)], rows)


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
