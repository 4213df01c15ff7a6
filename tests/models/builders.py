"""Small data sets, systems and batches for the tests of single systems."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.errors import refusal
from damrs_dgl.graphs.build import build_graph
from damrs_dgl.models.base import Batch, ModelInputs, RankingModel
from damrs_dgl.models.registry import find_model
from damrs_dgl.models.specification.needs import unmet
from damrs_dgl.models.specification.tables import make_config

CPU = torch.device("cpu")


@lru_cache
def tiny_dataset(
    modalities: tuple[str, ...] = ("visual", "textual"), *, users: int = 16, items: int = 14, seed: int = 0
) -> MultimodalDataset:
    """About 30 nodes: each user has four to six items; the last item has no training click, and content in part."""
    random = np.random.default_rng(seed)
    rows = [(u, i) for u in range(users) for i in random.permutation(items - 1)[: 4 + u % 3]]
    labels = [2 if n % 5 == 4 else 1 if n % 7 == 6 else 0 for n in range(len(rows))]
    features = {}
    for offset, name in enumerate(modalities):
        values = random.normal(size=(items, 5 + offset)).astype(np.float32)
        values[items - 2 - offset] = np.nan
        features[name] = values
    return MultimodalDataset.from_arrays(
        [f"u{u:02d}" for u, _ in rows],
        [f"i{i:02d}" for _, i in rows],
        item_ids=[f"i{i:02d}" for i in range(items)],
        features=features,
        split=labels,
    )


def make_inputs(dataset: MultimodalDataset, *, seed: int = 0, k: int = 3) -> ModelInputs:
    """What a constructor looks at, with the graph of the data set."""
    generator = torch.Generator().manual_seed(seed)
    return ModelInputs(dataset, build_graph(dataset, k=k, behavior_k=k).graph, CPU, generator)


def build(name: str, dataset: MultimodalDataset | None = None, *, seed: int = 0, **keys: Any) -> RankingModel:
    """A freshly initialised system by its name, `keys` as in [model]; refused where the data lack what it needs."""
    config, dataset = make_config({"name": name, **keys}), dataset or tiny_dataset()
    if found := list(unmet(config, dataset.modalities, behavior=True, weighted=False, written={})):
        raise refusal(found)
    return find_model(name)(make_inputs(dataset, seed=seed), config)  # type: ignore[call-arg]


def make_batch(
    dataset: MultimodalDataset, size: int = 12, *, seed: int = 0, negatives: bool = True, model: Any = None
) -> Batch:
    """`size` training pairs, each with an item that its user has not met, and what `model` asks for beside."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(dataset.train), generator=generator)[:size]
    users, positive = dataset.train.users[chosen], dataset.train.items[chosen]
    met = set(zip(dataset.train.users.tolist(), dataset.train.items.tolist(), strict=True))
    negative = None
    if negatives:
        others = [[i for i in range(dataset.num_items) if (u, i) not in met] for u in users.tolist()]
        negative = torch.tensor([o[int(torch.randint(len(o), (), generator=generator))] for o in others])
    extra = model.sample_extra(users, positive, negative, generator) if model is not None else {}
    return Batch(users, positive, negative, generator, extra)


def dense_interactions(dataset: MultimodalDataset) -> torch.Tensor:
    """R of the training split, float64 [U, I], entries 0 and 1."""
    matrix = torch.zeros(dataset.num_users, dataset.num_items, dtype=torch.float64)
    matrix[dataset.train.users, dataset.train.items] = 1
    return matrix
