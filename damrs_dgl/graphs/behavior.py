"""The item-item behaviour relation: items that the same users chose in training (Eq. 2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from damrs_dgl.data.dataset import Interactions
from damrs_dgl.errors import RecipeError
from damrs_dgl.graphs.semantic import Progress

_BLOCK_VALUES = 4_000_000  # co-occurring pairs in memory at once
_LABEL = "behaviour graph"


@dataclass(frozen=True)
class BehaviorNeighbors:
    """Item i keeps neighbour j with a weight: the number of users that have both; 1 for the self-loop.

    ``items``, ``neighbors`` int64 [E], ordered by item and then neighbour; ``weights`` float32 [E];
    ``below_min_count``: ordered pairs i != j that co-occur, but for fewer users than `min_count`.
    """

    items: Tensor
    neighbors: Tensor
    weights: Tensor
    below_min_count: int


def behavior_neighbors(
    train: Interactions,
    num_users: int,
    num_items: int,
    *,
    k: int = 10,
    min_count: int = 2,
    progress: Progress | None = None,
) -> BehaviorNeighbors:
    """The k items that co-occur most often with each item, among at least `min_count` users, and a self-loop (Eq. 2).

    Ties go to the lower item index. The counts A^T A are made in blocks of item rows, so memory is bounded by
    the block and the result. Raises RecipeError for k or min_count below 1.
    """
    for name, value in (("behavior_k", k), ("behavior_min_count", min_count)):
        if value < 1:
            raise RecipeError(f"{name} must be at least 1 (got {value})", where=_LABEL)
    users, items = train.users.numpy(), train.items.numpy()
    by_user = sparse.csr_matrix((np.ones(len(users), dtype=np.int32), (users, items)), shape=(num_users, num_items))
    by_item = by_user.T.tocsr()
    loops = np.arange(num_items)
    found = [(loops, loops, np.ones(num_items, dtype=np.int64))]
    below_min_count = 0
    for start, stop in _blocks(by_user, by_item):
        counts = by_item[start:stop] @ by_user
        rows = np.repeat(np.arange(stop - start), np.diff(counts.indptr))
        others = counts.indices != rows + start
        frequent = others & (counts.data >= min_count)
        below_min_count += int(np.count_nonzero(others)) - int(np.count_nonzero(frequent))
        best = _most_frequent(rows[frequent], counts.indices[frequent], counts.data[frequent], num_items, k)
        found.append((best[0] + start, *best[1:]))
        if progress is not None:
            progress(stop, num_items, _LABEL)
    rows, neighbors, weights = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(rows * num_items + neighbors)
    return BehaviorNeighbors(
        torch.from_numpy(rows[order]),
        torch.from_numpy(neighbors[order]),
        torch.from_numpy(weights[order].astype(np.float32)),
        below_min_count,
    )


def _blocks(by_user: sparse.csr_matrix, by_item: sparse.csr_matrix) -> Iterator[tuple[int, int]]:
    """Ranges of items whose rows of the product hold at most some million values together (or a single item)."""
    user_degrees = np.diff(by_user.indptr).astype(np.int64)
    reached = np.concatenate([[0], np.cumsum(user_degrees[by_item.indices])])
    values = np.minimum(np.diff(reached[by_item.indptr]), by_item.shape[0])
    filled = np.cumsum(values)
    most = int(np.diff(by_item.indptr).max(initial=0))
    most_rows = 2**62 // ((most + 1) * max(len(values), 1))  # the keys of `_most_frequent` are int64
    start = 0
    while start < len(values):
        before = filled[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(filled, before + _BLOCK_VALUES, side="right")))
        stop = min(stop, start + most_rows)
        yield start, stop
        start = stop


def _most_frequent(
    rows: np.ndarray, columns: np.ndarray, counts: np.ndarray, num_columns: int, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows, columns, counts) of the k highest counts of every row, ties by lower column; int64, in this order.

    One key holds all three, (row, how far the count is below the highest, column): sorting plain numbers is much faster
    than sorting their places.
    """
    most = int(counts.max(initial=0))
    keys = (rows * (most + 1) + (most - counts)) * num_columns + columns
    keys.sort()
    sizes = np.bincount(rows)
    taken = np.minimum(sizes, k)
    skipped = np.repeat(sizes.cumsum() - sizes - (taken.cumsum() - taken), taken)  # by the rows above, before each
    places, columns = np.divmod(keys[np.arange(len(skipped)) + skipped], num_columns)
    rows, below = np.divmod(places, most + 1)
    return rows, columns, most - below
