"""A large sparse catalogue with known tastes, made block by block: 5 million users in minutes, not in memory twice.

Every item has a style, every user a few styles that they like. A click takes one of them (or, for a known share of
clicks, any style) and in it an item by popularity; styles and the items of a style both follow a power law, so that a
few items are in very many lists, as in real shops. Two modalities show the style under noise. All of it is synthetic.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.parts import Interactions, ModalityFeatures

ITEMS_PER_STYLE = 200
TASTES = 3
NOISY_SHARE = 0.1
STYLE_SKEW, ITEM_SKEW = 1.5, 2.0  # rank = size * u^skew: probability falls with rank^(1 / skew - 1)
USER_BLOCK = 200_000
ITEM_BLOCK = 100_000


def big_catalogue(
    items: int, *, users_per_item: int = 5, clicks_per_user: int = 10, dim: int = 64, seed: int = 0
) -> MultimodalDataset:
    """`items` items, `users_per_item` times as many users with about `clicks_per_user` distinct clicks each.

    All clicks are in the training split. Features are float16 [items, dim], `visual` and `textual`.
    """
    rng = np.random.default_rng(seed)
    users = items * users_per_item
    shelves = np.linspace(0, items, max(2, items // ITEMS_PER_STYLE) + 1).astype(np.int64)  # style s: items of a range
    names = rng.permutation(items).astype(np.int32)  # so that neighbouring ids have nothing in common
    user_ids = np.empty(users * clicks_per_user, dtype=np.int64)
    item_ids = np.empty_like(user_ids)
    size = 0
    for start in range(0, users, USER_BLOCK):
        who = np.arange(start, min(start + USER_BLOCK, users))
        found = _clicks(who, clicks_per_user, shelves, items, rng)
        span = slice(size, size + len(found))
        user_ids[span], places = np.divmod(found, items)
        item_ids[span] = names[places]
        size += len(found)
    nothing = Interactions.from_numpy(np.empty(0), np.empty(0))
    return MultimodalDataset(
        "big catalogue",
        pa.array(np.arange(users)),
        pa.array(np.arange(items)),
        Interactions(torch.from_numpy(user_ids[:size]), torch.from_numpy(item_ids[:size])),
        nothing,
        nothing,
        {modality: _features(shelves, names, dim, rng) for modality in ("visual", "textual")},
    )


def _power(rng: np.random.Generator, skew: float, size: np.ndarray) -> np.ndarray:
    """Ranks below `size`, low ones most often."""
    return (size * rng.random(len(size)) ** skew).astype(np.int64)


def _clicks(
    who: np.ndarray, clicks_per_user: int, shelves: np.ndarray, items: int, rng: np.random.Generator
) -> np.ndarray:
    """Distinct keys user * items + place, ascending; a click that comes twice is drawn again up to three times."""
    styles = len(shelves) - 1
    tastes = _power(rng, STYLE_SKEW, np.full(len(who) * TASTES, styles)).reshape(len(who), TASTES)
    keys = np.empty(0, dtype=np.int64)
    rows = np.repeat(np.arange(len(who)), clicks_per_user)
    for _ in range(4):
        style = tastes[rows, rng.integers(0, TASTES, len(rows))]
        style = np.where(rng.random(len(rows)) < NOISY_SHARE, rng.integers(0, styles, len(rows)), style)
        place = shelves[style] + _power(rng, ITEM_SKEW, shelves[style + 1] - shelves[style])
        keys = np.concatenate([keys, who[rows] * items + place])
        keys.sort()  # a fifth of the time of np.unique
        keys = keys[np.diff(keys, prepend=-1) > 0]
        missing = clicks_per_user - np.bincount(keys // items - who[0], minlength=len(who))
        rows = np.repeat(np.arange(len(who)), missing)
    return keys


def _features(shelves: np.ndarray, names: np.ndarray, dim: int, rng: np.random.Generator) -> ModalityFeatures:
    """A style's prototype, an offset that all share, and noise."""
    styles = np.repeat(np.arange(len(shelves) - 1), np.diff(shelves))
    prototypes = rng.standard_normal((len(shelves) - 1, dim), dtype=np.float32)
    offset = 0.4 * rng.standard_normal(dim, dtype=np.float32)
    values = np.empty((len(names), dim), dtype=np.float16)
    for start in range(0, len(names), ITEM_BLOCK):
        part = slice(start, start + ITEM_BLOCK)
        noise = rng.standard_normal((len(names[part]), dim), dtype=np.float32)
        values[names[part]] = prototypes[styles[part]] + offset + 0.8 * noise
    return ModalityFeatures(values, np.zeros(len(names), dtype=bool))
