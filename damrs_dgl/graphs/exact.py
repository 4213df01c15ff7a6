"""Item-item relations by comparing all pairs of items (Eq. 1), tile by tile.

Cosines are symmetric: a tile holds those of one block of items with another, is worked out once, and serves the items
of both blocks. Memory is O(tile + |I| k).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from damrs_dgl.graphs.buffers import Buffers
from damrs_dgl.graphs.similarity import CosineTable
from damrs_dgl.graphs.top_k import Shortlist, top_k_pairs

Pairs = tuple[Tensor, Tensor]
_LONGEST_SIDE = 4096  # float32 counts a tile's pairs exactly: 2^24
_ROW_VALUES = 2**24  # similarities of one modality in memory at once where rows are compared with everyone, 64 MB;
_FEWEST_ROWS = 512  # but at least so many rows: for each part all features are read
_BELOW_ANY = -2.0  # a cosine is -1 or more


@dataclass
class Pruned:
    """By modality, of the ordered pairs of items that have it: those below its mean; those that reach it and fall below
    the mean of another one that both items have."""

    below_mean: dict[str, int] = field(default_factory=dict)
    inconsistent: dict[str, int] = field(default_factory=dict)


def exact_neighbors(
    tables: Mapping[str, CosineTable],
    *,
    k: int,
    consistency: bool,
    block_size: int,
    on_tile: Callable[[int, int], None],
) -> tuple[dict[str, Pairs], Pruned]:
    """Edges {modality: (items, neighbours)} of the items that have it, and what the consistency rule pruned on the way.

    Parameters
    ----------
    block_size: side of a tile, 4,096 where it is more; without influence on the result.
    on_tile: called with (tiles done, tiles to do).
    """
    num_items = max((table.num_items for table in tables.values()), default=0)  # one number for all
    side = min(block_size, _LONGEST_SIDE)
    pruned = Pruned(dict.fromkeys(tables, 0), dict.fromkeys(tables, 0))
    if not num_items:
        return dict.fromkeys(tables, (torch.empty(0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))), pruned
    lists = {name: Shortlist(num_items, k, device=table.device) for name, table in tables.items()}
    buffer = Buffers(side * side, next(iter(tables.values())).device)
    blocks = -(-num_items // side)
    done, total = 0, blocks * (blocks + 1) // 2
    for start in range(0, num_items, side):
        left = _unit_rows(tables, start, side)
        for first in range(start, num_items, side):
            right = left if first == start else _unit_rows(tables, first, side)
            tiles = {
                name: torch.mm(
                    left[name], right[name].T, out=buffer(f"tile of {name}", len(left[name]), len(right[name]))
                )
                for name in tables
            }
            if consistency:
                _drop_inconsistent(tiles, tables, start, first, pruned, buffer)
            _drop_missing(tiles, tables, start, first)
            for name, tile in tiles.items():
                lists[name].offer(start, tile, first)
                if first > start:
                    lists[name].offer(first, buffer("transposed", *tile.T.shape).copy_(tile.T), start)
            done += 1
            on_tile(done, total)
    found = {}
    for name, table in tables.items():
        best, crowded = lists[name].top_k_pairs(tolerance=table.tolerance, levels=table.levels)
        more = edges_of(crowded, [name], tables, k=k, consistency=consistency)[name]
        found[name] = joined([best, more])
    return found, pruned


def _unit_rows(tables: Mapping[str, CosineTable], start: int, count: int) -> dict[str, Tensor]:
    return {name: table.rows(start, start + count) for name, table in tables.items()}


def _drop_inconsistent(
    tiles: Mapping[str, Tensor],
    tables: Mapping[str, CosineTable],
    start: int,
    first: int,
    pruned: Pruned,
    buffer: Buffers,
) -> None:
    """Set inconsistent pairs below any cosine and count them.

    Masks are numbers, 1 or 0: several times faster than booleans.
    """
    shape = next(iter(tiles.values())).shape
    allowed = buffer("allowed", *shape).fill_(1.0)
    rows = torch.arange(start, start + shape[0], device=allowed.device)
    items = torch.arange(first, first + shape[1], device=allowed.device)
    reached = {}
    for name, tile in tiles.items():
        mask = tables[name].reaches_mean(tile, rows[:, None], items, out=buffer("mask", *shape))
        reached[name] = _count(mask, tables[name], rows, items)
        allowed *= mask
    times = 1 if first == start else 2  # the mirror image of a tile counts too
    for name, count in reached.items():
        table = tables[name]
        pairs = int(table.present[rows].sum()) * int(table.present[items].sum())
        pruned.below_mean[name] += times * (pairs - count)
        pruned.inconsistent[name] += times * (count - _count(allowed, table, rows, items))
    penalty = torch.sub(allowed, 1.0, out=buffer("mask", *shape)).mul_(-_BELOW_ANY)
    for tile in tiles.values():
        torch.addcmul(penalty, tile, allowed, out=tile)


def _count(mask: Tensor, table: CosineTable, rows: Tensor, items: Tensor) -> int:
    """How many pairs of items that have the modality a mask of ones and zeros holds."""
    if table.complete:
        return int(mask.sum())
    return int(mask[table.present[rows]].sum(0)[table.present[items]].sum())


def _drop_missing(tiles: Mapping[str, Tensor], tables: Mapping[str, CosineTable], start: int, first: int) -> None:
    """Set the pairs that a modality has no say on below any cosine."""
    for name, tile in tiles.items():
        table = tables[name]
        if not table.complete:
            tile[~table.present[start : start + tile.shape[0]]] = _BELOW_ANY
            tile[:, ~table.present[first : first + tile.shape[1]]] = _BELOW_ANY


def edges_of(
    rows: Tensor, modalities: Sequence[str], tables: Mapping[str, CosineTable], *, k: int, consistency: bool
) -> dict[str, Pairs]:
    """{modality: (items, neighbours)}: exact edges of some items, each compared with everyone.

    An item that lacks a modality has none in it.
    """
    found = {name: [(rows[:0], rows[:0])] for name in modalities}
    num_items = max((table.num_items for table in tables.values()), default=0)
    everyone = torch.arange(num_items, device=rows.device)
    for part in rows.split(max(_FEWEST_ROWS, _ROW_VALUES // max(num_items, 1))) if len(rows) else ():
        similarity = {name: _with_everyone(tables[name], part) for name in (tables if consistency else modalities)}
        refused = torch.zeros(len(part), num_items, dtype=torch.bool, device=rows.device)
        if consistency:
            for name, values in similarity.items():
                refused |= ~tables[name].reaches_mean(values, part[:, None], everyone)
        for name in modalities:
            table, values = tables[name], similarity[name]
            places, neighbors = top_k_pairs(
                values.masked_fill_(refused | table.lacks(part[:, None], everyone), -torch.inf),
                k,
                tolerance=table.tolerance,
                levels=partial(_levels, table, part),
            )
            found[name].append((part[places], neighbors))
    return {name: joined(parts) for name, parts in found.items()}


def joined(parts: Sequence[Pairs]) -> Pairs:
    """Pairs found one part after the other."""
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def _with_everyone(table: CosineTable, items: Tensor) -> Tensor:
    """Similarities of some items with all, float32 [n, I]."""
    left = table.rows_of(items)
    similarity = torch.empty(len(items), table.num_items, device=table.device)
    for start in range(0, table.num_items, _LONGEST_SIDE):
        right = table.rows(start, start + _LONGEST_SIDE)
        similarity[:, start : start + len(right)] = left @ right.T
    return similarity


def _levels(table: CosineTable, rows: Tensor, places: Tensor, items: Tensor) -> Tensor:
    return table.levels(rows[places], items)
