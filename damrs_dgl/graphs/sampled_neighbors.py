"""The nearest items of a sample of items in one modality: a look at the content before any graph is built."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from damrs_dgl.graphs.similarity import CosineTable
from damrs_dgl.selection import largest

_TILE_VALUES = 2**23  # similarities in memory at a time, 32 MB
_FEWEST_ITEMS = 500  # of a sample: shares of their edges are then known within a few percent of themselves
_PRODUCTS = 2**38  # multiplications that all samples together may cost in a modality, a few seconds of one core


def sample_items(present: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """At most ``size`` of the items that are True in ``present`` [I], int64, ascending; all where there are no more."""
    items = torch.nonzero(present.cpu()).squeeze(1)
    if len(items) <= size:
        return items
    return items[torch.randperm(len(items), generator=generator)[:size]].sort().values


def affordable_sample(num_items: int, dim: int) -> int:
    """How many items can be compared with all ``num_items`` at width ``dim`` in some seconds; never fewer than 500."""
    return max(_FEWEST_ITEMS, _PRODUCTS // max(num_items * dim, 1))


def sampled_neighbors(
    table: CosineTable, items: Tensor, k: int, *, progress: Callable[[int, int], None] | None = None
) -> Tensor:
    """The k items most like each of ``items`` [S] by cosine, int64 [S, k]; -1 where fewer have a cosine above 0.

    The item itself is not among them, nor are items without content. One pass over the features in blocks; memory is
    O(S (D + k) + block). Equally similar items may come in any order, as in `torch.topk`.
    """
    rows = table.rows_of(items.to(table.device))
    best = torch.full((len(items), k), -torch.inf, device=table.device)
    found = torch.full((len(items), k), -1, dtype=torch.int64, device=table.device)
    step = max(k, _TILE_VALUES // max(len(items), 1))
    for start in range(0, table.num_items, step):
        block = table.rows(start, min(start + step, table.num_items))
        tile = rows @ block.T
        inside = torch.nonzero((items >= start) & (items < start + len(block))).squeeze(1)
        tile[inside, items[inside] - start] = -torch.inf
        values, columns = largest(tile, min(k, tile.shape[1]))
        values, order = torch.cat([best, values], dim=1).topk(k, dim=1)
        found = torch.cat([found, columns + start], dim=1).gather(1, order)
        best = values
        if progress is not None:
            progress(min(start + step, table.num_items), table.num_items)
    return found.masked_fill(best <= 0, -1).cpu()
