"""What every source of interactions goes through: duplicates, overlapping or empty splits, what has no training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from damrs_dgl.data.parts import SPLITS, Finding, Interactions
from damrs_dgl.data.splits import TRAIN
from damrs_dgl.errors import DataError


@dataclass(frozen=True)
class Splits:
    """Three clean splits and what was found on the way."""

    train: Interactions
    validation: Interactions
    test: Interactions
    findings: tuple[Finding, ...]


def pair_keys(users: np.ndarray, items: np.ndarray, num_items: int) -> np.ndarray:
    """One int64 number per (user, item) pair: user * |I| + item."""
    return users.astype(np.int64) * max(num_items, 1) + items


def first_occurrences(
    users: np.ndarray, items: np.ndarray, num_items: int, timestamps: np.ndarray | None = None
) -> np.ndarray:
    """Rows, ascending, that hold a pair for the first time: in the file, or in time given timestamps; int64."""
    keys = pair_keys(users, items, num_items)
    order = np.argsort(keys, kind="stable") if timestamps is None else np.lexsort((timestamps, keys))
    first = np.ones(len(keys), dtype=bool)
    first[1:] = np.diff(keys[order]) != 0
    return np.sort(order[first])


def clean_splits(
    users: np.ndarray,
    items: np.ndarray,
    labels: np.ndarray,
    *,
    user_ids: pa.Array,
    item_ids: pa.Array,
    where: str,
) -> Splits:
    """Splits of internal ids without duplicates, in the order of the rows.

    A pair that is twice in one split is kept once (a Finding); a pair in two splits and an empty split are DataErrors.
    Users and items without a training interaction stay, and are counted.
    """
    rows, findings = unique_rows(users, items, labels, user_ids=user_ids, item_ids=item_ids, where=where)
    parts = []
    for label, split in enumerate(SPLITS):
        chosen = rows[labels[rows] == label]
        if len(chosen) == 0:
            raise DataError(
                f"no {split} interactions among {len(rows):,}", where=where, fix=f"give at least one row to {split}"
            )
        parts.append(Interactions.from_numpy(users[chosen], items[chosen]))
    for kind, ids, size in (
        ("users", parts[TRAIN].users.numpy(), len(user_ids)),
        ("items", parts[TRAIN].items.numpy(), len(item_ids)),
    ):
        untrained = size - int((np.bincount(ids, minlength=size) > 0).sum())
        if untrained:
            findings.append(Finding(f"{kind} without a training interaction", untrained, where, "kept"))
    train, validation, test = parts
    return Splits(train, validation, test, tuple(findings))


def unique_rows(
    users: np.ndarray, items: np.ndarray, labels: np.ndarray, *, user_ids: pa.Array, item_ids: pa.Array, where: str
) -> tuple[np.ndarray, list[Finding]]:
    """The first row of each pair, ascending, int64, and a Finding of the others; see `clean_splits`.

    Raises DataError for a pair in two splits.
    """
    keys = pair_keys(users, items, len(item_ids))
    order = np.argsort(keys, kind="stable")
    repeated = np.zeros(len(keys), dtype=bool)
    repeated[1:] = np.diff(keys[order]) == 0
    again = np.flatnonzero(repeated)
    crossing = again[labels[order[again]] != labels[order[again - 1]]]
    if len(crossing):
        earlier, later = order[crossing[0] - 1], order[crossing[0]]
        pairs = len(np.unique(keys[order[crossing]]))
        pair = f"user {user_ids[int(users[later])]}, item {item_ids[int(items[later])]}"
        both = f"{SPLITS[labels[earlier]]} and {SPLITS[labels[later]]}"
        raise DataError(
            f"{pairs:,} (user, item) pairs are in two splits, the first: {pair} in {both}",
            where=where,
            fix="keep each pair in one split",
        )
    if len(again) == 0:
        return np.arange(len(keys)), []
    found = Finding("duplicate interactions", len(again), where, "kept once")
    return np.sort(order[~repeated]), [found]
