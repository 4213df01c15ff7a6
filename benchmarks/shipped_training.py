"""The fast side of the training benchmarks: the toolkit's own training, one epoch at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from benchmarks.workloads import Workload
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.factory import prepare_training
from damrs_dgl.recipe import Recipe


class ShippedTraining:
    """A training as `fit` runs it, in memory and without validation. A call trains one epoch more.

    Returns the epoch's seconds: sampling, all steps, and the graded sets where the recipe has them once an epoch.
    """

    def __init__(
        self, recipe: Recipe[Any], workload: Workload, graph: dgl.DGLGraph, device: torch.device | str = "cpu"
    ) -> None:
        self.trainer = prepare_training(recipe, workload.dataset, graph, device=torch.device(device))
        # Each epoch the best so far, so that no weights are put back.
        self.trainer.validate = lambda: {self.trainer.schedule.monitor: float(self.trainer.progress.epoch)}

    def __call__(self) -> float:
        epochs = self.trainer.progress.epoch + 1
        self.trainer.schedule = replace(self.trainer.schedule, epochs=epochs, patience=1, evaluate_every=1)
        self.trainer.fit()
        return self.trainer.progress.history[-1]["train_seconds"]
