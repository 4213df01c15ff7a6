"""Which interaction goes to training, validation and test; and the k-core of a set of interactions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from damrs_dgl.data.columns import encode_ids, row_number
from damrs_dgl.errors import DataError

TRAIN, VALIDATION, TEST = 0, 1, 2
_LABELS = {"0": TRAIN, "1": VALIDATION, "2": TEST, "train": TRAIN, "validation": VALIDATION, "valid": VALIDATION}
_LABELS |= {"val": VALIDATION, "test": TEST}


def ratio_split(
    users: np.ndarray, items: np.ndarray, *, timestamps: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """Label each interaction 0 (train), 1 (validation) or 2 (test), 8:1:1 per user; int8 [n].

    A user with n interactions gives h = max(1, n/10 rounded half up) to validation and as many to test, and the rest to
    training; with n < 3 all go to training. By time the latest h are the test set and the h before them the validation
    set (equal times keep their order); without ``timestamps`` the order is drawn by ``seed`` and does not depend on the
    order of the rows. ``users`` and ``items`` are internal ids, no pair twice.
    """
    order = np.lexsort((timestamps if timestamps is not None else _random_rank(users, items, seed), users))
    counts = np.bincount(users)
    held_out = np.where(counts < 3, 0, np.maximum(1, (counts + 5) // 10))
    ends = np.cumsum(counts)
    sorted_users = users[order]
    from_end = ends[sorted_users] - 1 - np.arange(len(users))
    share = held_out[sorted_users]
    labels = np.empty(len(users), dtype=np.int8)
    labels[order] = np.where(from_end < share, TEST, np.where(from_end < 2 * share, VALIDATION, TRAIN))
    return labels


def _random_rank(users: np.ndarray, items: np.ndarray, seed: int) -> np.ndarray:
    """A random number per pair that is the pair's own, in whatever order the rows stand."""
    generator = torch.Generator().manual_seed(seed)
    rank = np.empty(len(users), dtype=np.int64)
    rank[np.lexsort((items, users))] = torch.randperm(len(users), generator=generator).numpy()
    return rank


def k_core(users: np.ndarray, items: np.ndarray, k: int) -> np.ndarray:
    """Rows of the largest subset in which every user and every item has at least k interactions; bool [n].

    Rows are dropped until nothing changes, so the result does not depend on the order. No pair may occur twice.
    """
    kept = np.arange(len(users))
    while len(kept):
        user_counts, item_counts = np.bincount(users[kept]), np.bincount(items[kept])
        enough = (user_counts[users[kept]] >= k) & (item_counts[items[kept]] >= k)
        if enough.all():
            break
        kept = kept[enough]
    mask = np.zeros(len(users), dtype=bool)
    mask[kept] = True
    return mask


def split_labels(values: Any, *, where: str, rows: np.ndarray | None = None) -> np.ndarray:
    """A split column (0/1/2, or train/validation/valid/val/test in any case) as labels 0, 1, 2; int8 [n].

    ``rows``: which rows of their table the values are, for the errors; None: all.
    """
    codes, names = encode_ids(values, what="split values", where=where, rows=rows)
    label_of = [_LABELS.get(str(name).strip().lower(), -1) for name in names.to_pylist()]
    labels = np.array(label_of, dtype=np.int8)[codes]
    unknown = np.flatnonzero(labels < 0)
    if len(unknown):
        found = names[int(codes[unknown[0]])].as_py()
        row = row_number(int(unknown[0]), rows)
        raise DataError(
            f"{len(unknown):,} split values are none of the known ones, the first {found!r} in row {row:,}",
            where=where,
            fix="use 0, 1, 2 or train, validation, test",
        )
    return labels
