"""The item-item behaviour relation: items that the same users chose in training (Eq. 2), by number or by cosine."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from damrs_dgl.data.parts import Interactions
from damrs_dgl.errors import RecipeError
from damrs_dgl.progress import OnProgress, silent

_BLOCK_VALUES = 500_000  # co-occurring pairs of a block; each thread has one in memory
_LABEL = "behaviour graph"
SIMILARITIES = ("count", "cosine")
_Best = tuple[np.ndarray, np.ndarray, np.ndarray]  # items, neighbours int64; how many users have both, or cosines


@dataclass(frozen=True)
class BehaviorNeighbors:
    """Item i keeps neighbour j with a weight: the number of users that have both, or the cosine; 1 for the self-loop.

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
    similarity: str = "count",
    progress: OnProgress = silent,
) -> BehaviorNeighbors:
    """The k items that co-occur most often with each item, among at least `min_count` users, and a self-loop (Eq. 2).

    `similarity`: "count", the number n_ij of users that have both, as the paper has it; "cosine", n_ij / sqrt(n_i n_j)
    with the items' own numbers of users, so that popular items are not everyone's neighbours. It ranks and weighs.
    Ties go to the lower item index. The counts A^T A are made in blocks of item rows; memory is bounded by the blocks
    at work and the result: one for each of torch's threads, as scipy's product and numpy's passes run side by side.
    Raises RecipeError for k or min_count below 1, and another similarity.
    """
    for name, value in (("behavior_k", k), ("behavior_min_count", min_count)):
        if value < 1:
            raise RecipeError(f"{name} must be at least 1 (got {value})", where=_LABEL)
    if similarity not in SIMILARITIES:
        raise RecipeError(
            f"behavior_similarity = {similarity!r}", where=_LABEL, fix=f"one of {', '.join(SIMILARITIES)}"
        )
    by_user = train.matrix(num_users, num_items, np.int32)
    by_item = by_user.T.tocsr()
    popularity = np.diff(by_item.indptr).astype(np.float64) if similarity == "cosine" else None

    def count(block: tuple[int, int]) -> tuple[_Best, int]:
        counts = by_item[slice(*block)] @ by_user
        return _best_companions(counts, block[0], k=k, min_count=min_count, popularity=popularity)

    loops = np.arange(num_items)
    found = [(loops, loops, np.ones(num_items, dtype=np.int64))]
    below_min_count = -int(np.count_nonzero(np.diff(by_item.indptr)))  # each item's number with itself is no pair
    blocks = list(_blocks(by_user, by_item))
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        for (_, stop), (best, dropped) in zip(blocks, threads.map(count, blocks), strict=True):
            found.append(best)
            below_min_count += dropped
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
    """Ranges of items whose rows of the product hold at most half a million values together (or a single item)."""
    user_degrees = np.diff(by_user.indptr).astype(np.int64)
    reached = np.concatenate([[0], np.cumsum(user_degrees[by_item.indices])])
    values = np.minimum(np.diff(reached[by_item.indptr]), by_item.shape[0])
    filled = np.cumsum(values)
    start = 0
    while start < len(values):
        before = filled[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(filled, before + _BLOCK_VALUES, side="right")))
        yield start, stop
        start = stop


def _best_companions(
    counts: sparse.csr_matrix, start: int, *, k: int, min_count: int, popularity: np.ndarray | None
) -> tuple[_Best, int]:
    """For the items from `start` on their k best companions, and how many numbers are no pair's or below `min_count`.

    `counts`: the items' rows of A^T A. Best is most frequent or, with `popularity` (the users of every item), of the
    highest cosine of both items' sets of users.
    """
    size = counts.shape[0]
    frequent = np.flatnonzero(counts.data >= min_count)
    rows = np.repeat(np.arange(size, dtype=np.int32), np.diff(np.searchsorted(frequent, counts.indptr)))
    columns, values = counts.indices[frequent], counts.data[frequent]
    kept = columns != rows + start
    dropped = len(counts.data) - int(np.count_nonzero(kept))
    if popularity is None:  # only numbers that may be among a row's k best are sorted
        kept &= values >= _floor(rows, values, size, k)[rows]
    rows, columns, values = rows[kept], columns[kept].astype(np.int64), values[kept]
    if popularity is not None:
        values = values / np.sqrt(popularity[rows + start] * popularity[columns])
    order = np.lexsort((columns, -values, rows))
    starts = np.searchsorted(rows, np.arange(size))  # rows are sorted
    order = order[np.arange(len(rows)) - starts[rows] < k]
    return (rows[order] + start, columns[order], values[order]), dropped


def _floor(rows: np.ndarray, values: np.ndarray, size: int, k: int) -> np.ndarray:
    """For each row a number that its k + 1 highest values (the item itself may be one) reach, from a histogram.

    The histogram has about as many cells as there are values: numbers above its last level count as that level.
    """
    levels = min(int(values.max(initial=0)), max(1, len(values) // size))
    cells = np.bincount(rows * np.int64(levels + 1) + np.minimum(values, levels), minlength=size * (levels + 1))
    reaching = cells.reshape(size, levels + 1)[:, ::-1].cumsum(1)  # column c: values of levels - c or more
    return levels - np.count_nonzero(reaching <= k, axis=1)
