"""What the stages of one command share: recipe, run directory, device, console, and what was read or made already.

Stages ask the workspace for the data set, the graph and the fitted model; nothing below asks it for anything.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch

from damrs_dgl import provenance
from damrs_dgl.console import Console
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.errors import DamrsError, StorageError
from damrs_dgl.factory import load_dataset, pick_device, restored_model
from damrs_dgl.graphs.build import BuiltGraph
from damrs_dgl.models.layers.propagation import uses_dgl
from damrs_dgl.recipe import Recipe
from damrs_dgl.stages.fitted import Fitted, load_weights
from damrs_dgl.stages.graph_artefact import make_graph, stored_graph
from damrs_dgl.storage.locking import RunBusyError
from damrs_dgl.storage.run import RunDirectory, artefact_key, change_text
from damrs_dgl.training.checkpoint import CheckpointStore
from damrs_dgl.training.setup import schedule_of

Given = ParamSpec("Given")
Result = TypeVar("Result")
Stage = Callable[Concatenate["Workspace", Given], Result]


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
        self.graph_is_new = False  # whether this command built it
        self.keeps_lock = False  # until `close`, and not to the end of the stage that took it
        weakref.finalize(self, self.run.lock.release)  # at the interpreter's end at the latest
        self.run.claim(recipe.name, recipe.data.model_dump(mode="json"), self._fingerprint)
        if self.run.outdated:
            console.notice(f"{self.run.path} is in file format {self.run.outdated}; what is in it is made anew")
        if not uses_dgl(self.device):
            console.notice("the installed DGL has no CUDA: torch's sparse product propagates on the GPU")

    @contextmanager
    def writing(self, stage: str) -> Iterator[None]:
        """Be the only one that writes in the run, inside this block or until `close`; `stage` is what others are told.

        What was left by a writer that was killed is cleared away. Raises RunBusyError while another process writes,
        StorageError where the folder cannot be written.
        """
        outermost = not self.run.lock.held
        taken_over = self.run.begin_writing(stage)
        try:
            if taken_over:
                self.console.notice(taken_over)
            yield
        finally:
            if outermost and not self.keeps_lock:
                self.run.lock.release()

    @contextmanager
    def writing_if_possible(self, stage: str) -> Iterator[DamrsError | None]:
        """As `writing`; where that cannot be, as on a read-only disk, yields why, for results that can be shown."""
        with ExitStack() as block:
            try:
                block.enter_context(self.writing(stage))
                refusal: DamrsError | None = None
            except (RunBusyError, StorageError) as error:
                refusal = error
            yield refusal

    def close(self) -> None:
        """Let others write in the run."""
        self.run.lock.release()

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
        """The run's graph and its summary, built first if they are not there, damaged, or no longer fit."""
        stored = stored_graph(self.run, self.graphs_parts, self.console)
        if stored is not None:
            return stored
        with self.writing("build-graphs"):
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
        members = provenance.member_parts(self.recipe, self._fingerprint())
        member_keys = {name: artefact_key("fit", parts) for name, parts in members.items()}
        return CheckpointStore(self.run.path, artefact_key("fit", self.fit_parts), member_keys)

    @cached_property
    def fitted(self) -> Fitted:
        """What `fit` left, in memory or on disk; says so where that training is unfinished. RunError without one."""
        changed = self.run.changes("fit", self.fit_parts)
        named = f"{change_text(changed)}: " if changed else ""
        fix = f"{named}set that back, choose another --run, or run `fit`, which trains anew in its place"
        weights, progress = load_weights(self.checkpoints, fix=fix)  # refuses before a graph is built
        model = restored_model(weights, self.recipe, self.dataset, self.graph, self.device)
        if not progress.finished(schedule_of(self.recipe.training, len(self.dataset.train), self.recipe.model)):
            self.console.warning(f"the training stopped after epoch {progress.epoch} and is unfinished; `fit` goes on")
        return Fitted(model, progress)

    def _fingerprint(self) -> str:
        """The data's, which the run remembers with the next artefact."""
        self.run.fingerprint = self.dataset.fingerprint()
        return self.run.fingerprint

    @cached_property
    def summary_parts(self) -> dict[str, Any]:
        """What `dataset.json` is made from."""
        return provenance.summary_parts(self.recipe, self._fingerprint())

    @cached_property
    def graphs_parts(self) -> dict[str, Any]:
        """What the graphs are made from."""
        return provenance.graphs_parts(self.recipe, self._fingerprint())

    @cached_property
    def fit_parts(self) -> dict[str, Any]:
        """What the training is made from."""
        return provenance.fit_parts(self.recipe, self._fingerprint())

    @property
    def model_parts(self) -> dict[str, Any]:
        """What the model of the best epoch is made from: after more epochs it may be another."""
        return {**self.fit_parts, "the epoch": self.fitted.progress.best_epoch}

    @cached_property
    def metrics_parts(self) -> dict[str, Any]:
        """What the metrics are made from."""
        return provenance.metrics_parts(self.recipe, self._fingerprint())

    @cached_property
    def floor_parts(self) -> dict[str, Any]:
        """What the metrics of the floor are made from."""
        return provenance.floor_parts(self.recipe, self._fingerprint())

    @cached_property
    def study_parts(self) -> dict[str, Any]:
        """What the tables of studies are made from: all of the recipe that moves numbers."""
        return provenance.result_parts(self.recipe, self._fingerprint())

    @property
    def is_synthetic(self) -> bool:
        """Whether the numbers come from the synthetic shop."""
        return self.recipe.data.is_synthetic

    @property
    def synthetic_note(self) -> str:
        """What a title ends with: ", synthetic data", or nothing."""
        return ", synthetic data" if self.is_synthetic else ""


def writing_stage(stage: Stage[Given, Result]) -> Stage[Given, Result]:
    """A stage that writes from the start: it is refused at once, and not after its work, where it cannot."""

    @functools.wraps(stage)
    def only_writer(workspace: Workspace, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        with workspace.writing(stage.__name__):
            return stage(workspace, *args, **kwargs)

    return only_writer
