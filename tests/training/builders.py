"""A small DA-MRS training, the same at every call."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.factory import build_recipe_graph, prepare_training
from damrs_dgl.recipe import Recipe, load_recipe, with_values
from damrs_dgl.training.checkpoint import CheckpointStore
from damrs_dgl.training.schedule import Progress, Schedule
from damrs_dgl.training.trainer import Trainer

SETTINGS: dict[str, object] = {
    "model.dim": 8,
    "graphs.k": 3,
    "model.anchors": 16,
    "model.relation_k": 4,
    "training.batch_size": 128,
    "training.start": "random",
    "training.epochs": 5,
    "training.patience": 50,
    "training.learning_rate": 0.02,
}


@lru_cache
def dataset() -> MultimodalDataset:
    return synthetic_shop(
        users=60, items=48, clicks_per_user=7, styles=4, dims={"visual": 6, "textual": 5}, seed=4
    ).dataset


@lru_cache
def graph() -> dgl.DGLGraph:
    return build_recipe_graph(recipe(), dataset()).graph


def recipe(**changes: Any) -> Recipe[Any]:
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return with_values(with_values(load_recipe("demo"), SETTINGS), dotted)


def make_trainer(
    folder: Path | None = None,
    *,
    key: str = "key",
    device: str = "cpu",
    on_epoch: Callable[[Progress, Schedule], None] | None = None,
    **changes: Any,
) -> Trainer:
    """A trainer with fresh weights; with a folder it keeps its checkpoints there (and has not resumed yet)."""
    store = CheckpointStore(folder, key) if folder else None
    trainer = prepare_training(recipe(**changes), dataset(), graph(), device=torch.device(device), store=store)
    trainer.listeners += [] if on_epoch is None else [on_epoch]
    return trainer


def without_times(progress: Progress) -> dict[str, Any]:
    """All that a training has come to, but for how long it took."""
    history = [{key: value for key, value in row.items() if "seconds" not in key} for row in progress.history]
    return {**vars(progress), "history": history}
