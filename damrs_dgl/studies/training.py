"""Training one cell after the other in one process; what several of them need is made once."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.noise import corrupt
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.errors import DamrsError, InternalError, RunError, as_ours
from damrs_dgl.factory import SplitEvaluator, build_recipe_graph, prepare_training, scorer_of
from damrs_dgl.graphs.keys import GraphKeys
from damrs_dgl.models.base import RankingModel
from damrs_dgl.models.registry import find_model
from damrs_dgl.studies.judging import Judge
from damrs_dgl.studies.results import CellResult
from damrs_dgl.studies.study import Cell, Outcome, Study
from damrs_dgl.training.schedule import Progress
from damrs_dgl.training.setup import schedule_of
from damrs_dgl.training.trainer import Trainer


class CellTrainer:
    """Trains the cells of a study. Called with a cell; returns its result, or the error that it failed with."""

    def __init__(self, study: Study) -> None:
        self.study = study
        # of the cell before: what its data set is made by, that data set, and its graphs by their settings
        self._made_by: tuple[str, float, int] | None = None
        self._data = study.dataset
        self._graphs: dict[GraphKeys, dgl.DGLGraph] = {}

    def __call__(self, cell: Cell) -> Outcome:
        try:
            return self.train(cell)
        except Exception as error:  # of whatever kind: it stops no other cell
            return self._failure(cell, error)

    def train(self, cell: Cell) -> CellResult:
        """Train a cell, or go on with it where a killed process left it, and keep its result."""
        started = time.perf_counter()
        trainer = self._trainer(cell)
        progress = trainer.fit()
        return keep_result(
            self.study, cell, trainer.model, progress, dataset=self._data, wall_seconds=time.perf_counter() - started
        )

    def _trainer(self, cell: Cell) -> Trainer:
        recipe, dataset, store = (
            self.study.recipe_of(cell),
            self._data_of(cell),
            self.study.results.training(self.study.key(cell)),
        )
        graph = self._graph_of(cell, dataset)
        if find_model(recipe.model.name).is_floor:  # which is there on weighed clicks too, and cannot heed the weights
            dataset = dataset.replace(train=dataset.train.unweighted())
        trainer = prepare_training(recipe, dataset, graph, device=self.study.device, store=store)
        try:
            trainer.resume()
        except RunError:  # what a killed process left is damaged
            store.clear()
            trainer = prepare_training(recipe, dataset, graph, device=self.study.device, store=store)
        return trainer

    def _data_of(self, cell: Cell) -> MultimodalDataset:
        """The corrupted data of a cell, always made from the clean data."""
        if cell.data != self._made_by:
            clean = self.study.dataset
            self._data = corrupt(clean, cell.noise, cell.ratio, seed=cell.seed) if cell.data else clean
            self._made_by, self._graphs = cell.data, {}
        return self._data

    def _graph_of(self, cell: Cell, dataset: MultimodalDataset) -> dgl.DGLGraph:
        recipe = self.study.recipe_of(cell)
        if recipe.graphs not in self._graphs:
            self._graphs[recipe.graphs] = build_recipe_graph(recipe, dataset, device=self.study.device).graph
        return self._graphs[recipe.graphs]

    def _failure(self, cell: Cell, error: Exception) -> DamrsError:
        """What to say of a cell that failed; the trace of a fault of ours is kept."""
        known = as_ours(error)
        if not isinstance(known, InternalError):
            return known
        try:
            path = self.study.results.write_trace(self.study.key(cell), traceback.format_exc())
        except DamrsError:
            return known
        return InternalError(known.what, where=known.where, fix=f"this is a fault of damrs-dgl: report {path}")


def keep_result(
    study: Study,
    cell: Cell,
    model: RankingModel,
    progress: Progress,
    *,
    dataset: MultimodalDataset,
    wall_seconds: float,
) -> CellResult:
    """Judge a trained model as a cell's, on both splits, and keep the result.

    Noise gives clicks to users who had none and takes them from others: means are over the clean data's users, so that
    those of different cells are of the same users.
    """
    recipe, clean = study.recipe_of(cell), study.dataset
    scorer = scorer_of(model)
    validation = SplitEvaluator(recipe, dataset, "validation", users_of=clean)(scorer)
    test = Judge(recipe, dataset, users_of=clean)(scorer)
    other_clicks = dataset.train is not clean.train
    schedule = schedule_of(recipe.training, len(dataset.train), recipe.model)
    facts = {
        **({"clean_candidates": SplitEvaluator(recipe, clean, "test")(scorer)} if other_clicks else {}),
        "validation": validation,
        "curve": progress.curve(schedule),
        "best_epoch": progress.best_epoch,
        "epochs": progress.epoch,
        "seconds": progress.seconds,
        "wall_seconds": round(max(wall_seconds, progress.seconds), 3),  # of earlier processes too
    }
    return study.results.write(study.key(cell), {**study.facts_of(cell), **facts}, test)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch and every numerical library while it lasts.

    How sums are split among threads moves their last digits, and a training carries those on. With one thread for every
    cell, a study's numbers are the same however many trainings run side by side and on however many cores.
    """
    before = torch.get_num_threads()
    with threadpool_limits(limits=1):
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
