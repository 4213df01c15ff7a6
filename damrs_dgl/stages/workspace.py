"""What the stages of one command share: recipe, run directory, device, console, and what was read or made already.

Stages ask the workspace for the data set, the graph and the fitted model; nothing below asks it for anything.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from damrs_dgl.console import Console
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.evaluation.own_metrics import metric_names
from damrs_dgl.factory import load_dataset, pick_device, schedule_of
from damrs_dgl.graphs.build import BuiltGraph
from damrs_dgl.models.layers.propagation import uses_dgl
from damrs_dgl.models.systems import floor_systems
from damrs_dgl.recipe import Recipe
from damrs_dgl.recipe.provenance import evaluation_parts, fit_parts, graphs_parts
from damrs_dgl.run import FORMAT_VERSION, RunDirectory, artefact_key
from damrs_dgl.stages.fitted import Fitted, load_weights, restored_model
from damrs_dgl.stages.graph_artefact import make_graph, stored_graph
from damrs_dgl.training.checkpoint import CheckpointStore


class Workspace:
    """One command's view of one run.

    Parameters
    ----------
    recipe: what to do.  run: where to keep it; `runs/<recipe name>` by default.
    device: auto, cpu or cuda.  console: where results and notices go.
    """

    def __init__(self, recipe: Recipe[Any], *, run: Path | None, device: str, console: Console) -> None:
        self.recipe = recipe
        self.console = console
        self.device: torch.device = pick_device(device)
        self.run = RunDirectory(run if run is not None else Path("runs") / recipe.name)
        self.run.claim(recipe.name, recipe.data.model_dump(mode="json"))
        self.graph_is_new = False  # whether this command built it
        if not uses_dgl(self.device):
            console.notice("the installed DGL has no CUDA: torch's sparse product propagates on the GPU")

    @cached_property
    def dataset(self) -> MultimodalDataset:
        """The data set, read at first use; what cleaning met is said once."""
        dataset = load_dataset(self.recipe)
        for finding in dataset.findings:
            say = self.console.notice if self.is_synthetic else self.console.warning
            say(str(finding))
        return dataset

    @cached_property
    def built_graph(self) -> BuiltGraph:
        """The run's graph and its summary, built first if they are not there or no longer fit."""
        stored = stored_graph(self.run, self.graphs_parts, self.console)
        if stored is not None:
            return stored
        self.graph_is_new = True
        return make_graph(
            self.run,
            self.graphs_parts,
            self.console,
            recipe=self.recipe,
            dataset=self.dataset,
            device=self.device,
        )

    @property
    def graph(self) -> dgl.DGLGraph:
        """The run's graph."""
        return self.built_graph.graph

    @cached_property
    def checkpoints(self) -> CheckpointStore:
        """Where this run keeps its checkpoints."""
        return CheckpointStore(self.run.path, artefact_key("fit", self.fit_parts))

    @cached_property
    def fitted(self) -> Fitted:
        """What `fit` left, in memory or on disk; says so where that training is unfinished. RunError without one."""
        weights, progress = load_weights(self.checkpoints)  # refuses before a graph is built
        model = restored_model(weights, self.recipe, self.dataset, self.graph, self.device)
        if not progress.finished(schedule_of(self.recipe, self.dataset, model)):
            self.console.warning(f"the training stopped after epoch {progress.epoch} and is unfinished; `fit` goes on")
        return Fitted(model, progress)

    @cached_property
    def describe_parts(self) -> dict[str, Any]:
        """What `dataset.json` is made from: the data, the neighbours looked at, the seed of samples."""
        return {
            "the toolkit's file format": FORMAT_VERSION,
            "the data": self.dataset.fingerprint(),
            "graphs.k": self.recipe.graphs.k,
            "training.seed": self.recipe.training.seed,
        }

    @cached_property
    def graphs_parts(self) -> dict[str, Any]:
        """What the graphs are made from: the data and [graphs]."""
        return graphs_parts(self.recipe, self.dataset.fingerprint())

    @cached_property
    def fit_parts(self) -> dict[str, Any]:
        """What a training is made from, but for what may change when it is resumed: epochs, patience and the device."""
        return fit_parts(self.recipe, self.dataset.fingerprint())

    @cached_property
    def metrics_parts(self) -> dict[str, Any]:
        """What the metrics are made from."""
        return {"the training": artefact_key("fit", self.fit_parts), **self.floor_parts}

    @cached_property
    def floor_parts(self) -> dict[str, Any]:
        """What the metrics of the floor are made from: the data, which metrics and systems there are, [evaluation]."""
        return {
            "the toolkit's file format": FORMAT_VERSION,
            "the data": self.dataset.fingerprint(),
            "the metrics": metric_names(),
            "the floor": floor_systems(),
            **evaluation_parts(self.recipe),
        }

    @property
    def is_synthetic(self) -> bool:
        """Whether the numbers come from the synthetic shop."""
        return self.recipe.is_synthetic
