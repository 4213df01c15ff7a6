"""`fit` as a command does it: the training, then the metrics of its best epoch, which trackers are told too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from damrs_dgl.stages.evaluate import current_metrics
from damrs_dgl.stages.fit import fit
from damrs_dgl.stages.tracking import Tracking
from damrs_dgl.stages.workspace import Workspace


def fit_with_metrics(workspace: Workspace, *, restart: bool = False, track: Sequence[str] = ()) -> dict[str, Any]:
    """Train as `fit` does, then write `metrics.json`; returns the metrics.

    `track`: "tensorboard", "mlflow" or both, which then follow the training. Nobody else writes in the run between the
    training and its metrics.
    """
    with Tracking(workspace, track) as tracking, workspace.writing_if_possible("fit"):
        fit(workspace, tracking, restart=restart)
        metrics = current_metrics(workspace)
        tracking.finish(metrics)
    return metrics
