"""The data sets that the benchmarks run on, each with the recipe that trains on it.

Real interactions are taken where DAMRS_DATA has them, a synthetic shop of the same size otherwise. The folders of
Baby and Clothing hold no content, so theirs is synthetic: 4,096-d visual and 384-d textual, as the public features are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.errors import DamrsError
from damrs_dgl.factory import load_dataset
from damrs_dgl.recipe import Recipe, load_recipe
from damrs_dgl.training.sizes import batch_size_for

DIMS = {"visual": 4096, "textual": 384}


@dataclass(frozen=True)
class Size:
    """Size of a catalogue that stands in for a real one."""

    users: int
    items: int
    clicks_per_user: float


SIZES = {
    "tiktok": Size(9_308, 6_710, 7.4),
    "baby": Size(19_445, 7_050, 8.3),
    "clothing": Size(39_387, 23_033, 7.1),
    "tiny": Size(300, 200, 8),  # to see that a benchmark works
}
TINY_DIMS = {"visual": 32, "textual": 16}
TIKTOK_DIMS = {"visual": 128, "acoustic": 128}


@dataclass(frozen=True)
class Workload:
    """A data set, the recipe that trains on it, and which of its parts are synthetic (in words, for the table)."""

    name: str
    recipe: Recipe[Any]
    dataset: MultimodalDataset
    note: str


def load_workload(name: str, overrides: Sequence[str] = (), *, content: bool = True) -> Workload:
    """The workload `tiktok`, `baby`, `clothing` or `tiny`; `content` False leaves Baby and Clothing without features.

    `overrides` change the recipe, each "section.key=value".
    """
    if name == "tiny":
        recipe = load_recipe("demo", ["training.batch_size=256", *overrides])
        return Workload(name, recipe, synthetic(name, TINY_DIMS if content else {}), "all synthetic")
    recipe = load_recipe(name, overrides)
    try:
        dataset, note = load_dataset(recipe), "real interactions"
    except DamrsError as error:
        print(f"making up a catalogue instead: {error}")
        dims = TIKTOK_DIMS if name == "tiktok" else DIMS
        return Workload(name, recipe, synthetic(name, dims if content else {}), "all synthetic")
    if dataset.features:
        return Workload(name, recipe, dataset, "real")
    if content:
        features = synthetic_shop(users=100, items=dataset.num_items, dims=DIMS).dataset.features
        return Workload(name, recipe, dataset.replace(features=features), f"{note}, synthetic content")
    return Workload(name, recipe, dataset, note)


def synthetic(name: str, dims: dict[str, int]) -> MultimodalDataset:
    """A synthetic shop of a workload's size."""
    size = SIZES[name]
    return synthetic_shop(users=size.users, items=size.items, clicks_per_user=size.clicks_per_user, dims=dims).dataset


def batch_size_of(recipe: Recipe[Any], dataset: MultimodalDataset) -> int:
    """Pairs a step, `auto` filled in."""
    return batch_size_for(recipe.training.batch_size, len(dataset.train))


def write_mmrec(dataset: MultimodalDataset, folder: Path) -> dict[str, object]:
    """Write a data set in MMRec's layout; returns the recipe's overrides that read it."""
    rows = [
        np.stack([part.users.numpy(), part.items.numpy(), np.full(len(part), label)], axis=1)
        for label, (_, part) in enumerate(dataset.splits())
    ]
    header = "userID\titemID\tx_label"
    np.savetxt(folder / "data.inter", np.concatenate(rows), fmt="%d", delimiter="\t", header=header, comments="")
    for name, content in dataset.features.items():
        np.save(folder / f"{name}.npy", content.values)
    files = {name: f"{name}.npy" for name in dataset.features}
    return {"data": {"format": "mmrec", "path": str(folder), "interactions": "data.inter", "modalities": files}}
