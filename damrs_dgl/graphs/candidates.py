"""Item-item relations from candidate neighbours: an approximation of Eq. 1 that does not compare all pairs exactly.

Estimated cosines (projection.py) choose a few candidates of every item, exact ones choose the edges among them
(rescoring.py). An edge of this graph has the exact order and meets the consistency rule; what can be lost is an edge
whose item was no candidate. Two ways to find them:

* ``projected`` estimates every pair, in blocks: still |I|^2, at a fraction of the width;
* ``faiss`` looks into the nearest cells of an inverted file (nearest.py), about |I|^1.5. The consistency rule can leave
  fewer than k of what is found there, the more so for an item whose picture and text belong to different kinds of
  things; such items are looked up by ``projected``.

Items with the same vector (a placeholder picture) tie, and the lower index comes first, if consistent. ``projected``
takes that into account exactly. ``faiss`` has one row for all of them in its index and offers the lowest ones of them
in their place, a few times k; an item for which these do not suffice is looked up by ``projected`` too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from damrs_dgl.graphs.nearest import load_faiss, nearest_rows
from damrs_dgl.graphs.projection import Projection
from damrs_dgl.graphs.rescoring import Candidates, Content, best_candidates
from damrs_dgl.graphs.similarity import CosineTable

Pairs = tuple[Tensor, Tensor]
Listed = tuple[Candidates, Tensor]
OnRows = Callable[[int, int], None]

_LISTED = 8  # nearest rows asked of the index, times k
_SCAN_VALUES = 2**21  # estimates of one modality in memory at once, 8 MB: they stay in the cache
_PILE = 16
_LIST_VALUES = 2**21  # values of the rows gathered for the candidates of a block


@dataclass(frozen=True)
class Wanted:
    """What is asked for: `k` neighbours, the rule or not, and who takes part (bool [I])."""

    k: int
    consistency: bool
    usable: Tensor


def candidate_neighbors(
    tables: Mapping[str, CosineTable], usable: Tensor, *, method: str, k: int, consistency: bool, on_rows: OnRows
) -> dict[str, Pairs]:
    """Edges {modality: (items, neighbours)} of the usable items by way of candidates.

    Parameters
    ----------
    usable: bool [I] on the tables' device; the others are nobody's neighbour and have none.
    method: "projected" or "faiss".
    on_rows: called with (rows done, rows to do); a row counts once per modality.

    The same from run to run. Blocks and threads change the last bits of the estimates, which can exchange candidates
    that are alike to six digits; what is chosen among the candidates does not depend on either.
    """
    if method == "faiss":
        load_faiss()  # before the work, not after half of it
    wanted = Wanted(k, consistency, usable)
    contents = {name: Content(table, Projection(table)) for name, table in tables.items()}
    twins = {name: _Twins(table.twins) for name, table in tables.items()}
    rows = torch.nonzero(usable).squeeze(1)
    scan = _Scan(contents, twins, wanted)
    found: dict[str, list[Pairs]] = {name: [] for name in tables}
    done, total = 0, len(rows) * len(tables)

    def take(name: str, candidates: Candidates) -> None:
        nonlocal done
        found[name].append(best_candidates(candidates, contents, name, k=k, consistency=consistency))
        done += len(candidates.rows)
        on_rows(done, total)

    if method == "projected":
        for name, candidates in scan(rows, list(tables)):
            take(name, candidates)
        return _joined(found)
    for name in tables:
        short = [rows[:0]]
        for candidates, enough in _listed(contents, twins[name], name, wanted):
            short.append(candidates.rows[~enough])
            take(name, _only(candidates, enough))
        for _, candidates in scan(torch.cat(short), [name]):
            take(name, candidates)
    return _joined(found)


def _joined(found: Mapping[str, list[Pairs]]) -> dict[str, Pairs]:
    return {
        name: (torch.cat([part[0] for part in parts]).cpu(), torch.cat([part[1] for part in parts]).cpu())
        if parts
        else (torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
        for name, parts in found.items()
    }


def _only(found: Candidates, rows: Tensor) -> Candidates:
    estimates = {name: part[rows] for name, part in found.estimates.items()}
    return Candidates(found.rows[rows], found.items[rows], found.allowed[rows], estimates)


class _Twins:
    """Items by feature vector: `members[starts[g] : starts[g] + sizes[g]]` have vector g and are in ascending order.

    Groups are in the order of their lowest item, `lowest[g]`; `group[i]` is the group of item i.
    """

    def __init__(self, twins: Tensor) -> None:
        self.lowest, self.group, self.sizes = torch.unique(twins, return_inverse=True, return_counts=True)
        self.members = torch.argsort(self.group, stable=True)
        self.starts = self.sizes.cumsum(0) - self.sizes

    def of(self, groups: Tensor, most: int | None = None) -> tuple[Tensor, Tensor]:
        """(position in `groups`, member): the members of each group, only the `most` lowest where that is given."""
        sizes = self.sizes[groups] if most is None else self.sizes[groups].clamp(max=most)
        places = torch.repeat_interleave(torch.arange(len(groups), device=groups.device), sizes)
        offsets = torch.arange(len(places), device=groups.device) - (sizes.cumsum(0) - sizes)[places]
        return places, self.members[self.starts[groups[places]] + offsets]

    def crowded(self, most: int) -> tuple[Tensor, Tensor]:
        """Items of groups larger than `most`, group by group, and for each the place where its group starts."""
        groups = torch.nonzero(self.sizes > most).squeeze(1)
        places, members = self.of(groups)
        sizes = self.sizes[groups]
        return members, (sizes.cumsum(0) - sizes)[places]


class _Scan:
    """Candidates from the estimates of all pairs of some rows, block by block."""

    def __init__(self, contents: Mapping[str, Content], twins: Mapping[str, _Twins], wanted: Wanted) -> None:
        self.contents, self.twins, self.wanted = contents, twins, wanted
        self.usable, self.all_usable = wanted.usable.float(), bool(wanted.usable.all())
        self.crowded = {name: group.crowded(wanted.k) for name, group in twins.items()}

    def __call__(self, rows: Tensor, modalities: list[str]) -> Iterator[tuple[str, Candidates]]:
        step = max(1, _SCAN_VALUES // max(len(self.usable), 1))
        for block in rows.split(step) if len(rows) else ():
            estimates = {name: self._estimates(name, block) for name in self.contents}
            # masks as numbers, 1 or 0, and by multiplication: several times faster than by booleans, and an estimate
            # that is not above 0 leads to no edge anyway
            masks = {}
            if self.wanted.consistency:
                masks = {name: part.clone().ge_(self.contents[name].threshold) for name, part in estimates.items()}
            for name in modalities:
                # its own mean needs no mask: what is below it comes last
                others = [mask for other, mask in masks.items() if other != name]
                if not (others and self.all_usable):
                    others.append(self.usable)
                allowed = reduce(torch.mul, others)
                promise = self._without_crowds(name, estimates[name] * allowed, allowed)
                best, items = _largest(promise, self.contents[name].scored(self.wanted.k))
                gathered = {other: part.gather(1, items) for other, part in estimates.items()}
                yield name, Candidates(block, items, best > 0, gathered)

    def _estimates(self, name: str, block: Tensor) -> Tensor:
        rows = self.contents[name].projection.rows
        estimates = rows[block] @ rows.T
        estimates[self.twins[name].of(self.twins[name].group[block])] = 1.0
        return estimates

    def _without_crowds(self, name: str, promise: Tensor, allowed: Tensor) -> Tensor:
        """Of items with the same vector only the k first that are allowed can be among the k best: others leave."""
        items, starts = self.crowded[name]
        if not len(items):
            return promise
        part = allowed.expand_as(promise)[:, items]
        before = part.cumsum(1) - part
        promise[:, items] *= before - before[:, starts] < self.wanted.k
        return promise


def _largest(values: Tensor, count: int) -> Pairs:
    """(values, columns) of the `count` largest of each row, in no particular order.

    The columns are dealt into piles; the largest lie in the piles with the largest tops, which one pass finds.
    """
    width = values.shape[1] // _PILE
    if width <= 4 * count:
        return torch.topk(values, min(count, values.shape[1]), dim=1, sorted=False)
    piled = values[:, : width * _PILE].view(len(values), _PILE, width)
    piles = torch.topk(piled.amax(1), count, dim=1, sorted=False).indices
    within = torch.arange(_PILE, device=values.device) * width
    left_over = torch.arange(width * _PILE, values.shape[1], device=values.device).expand(len(values), -1)
    columns = torch.cat([(piles[:, :, None] + within).view(len(values), -1), left_over], dim=1)
    best, chosen = torch.topk(values.gather(1, columns), count, dim=1, sorted=False)
    return best, columns.gather(1, chosen)


def _listed(contents: Mapping[str, Content], twins: _Twins, modality: str, wanted: Wanted) -> Iterator[Listed]:
    """Candidates of all usable items from an index over the distinct rows of one modality, and for whom they do."""
    most = _LISTED * wanted.k
    rows = contents[modality].projection.rows
    for start, nearest in nearest_rows(rows[twins.lowest], most):
        hits = nearest.to(rows.device)
        groups = torch.arange(start, start + len(hits), device=rows.device)
        places, items = twins.of(groups)
        kept = wanted.usable[items]
        places, items = places[kept], items[kept]
        width = sum(content.projection.rows.shape[1] for content in contents.values())
        step = max(1, _LIST_VALUES // (2 * most * width))
        for part, block in zip(places.split(step), items.split(step), strict=True):
            if len(block):  # a chunk may have no usable item
                yield _candidates(contents, twins, wanted, block, hits[part], most)


def _candidates(
    contents: Mapping[str, Content], twins: _Twins, wanted: Wanted, rows: Tensor, hits: Tensor, most: int
) -> Listed:
    """The members of the groups `hits` [n, c] (-1: none; the nearest first) as candidates of the rows.

    At most the `most` lowest members of a group, and 2 `most` candidates of a row. Of a group the k first that are
    allowed are kept, as in the scan. Bool [n]: k were found, none of them behind a group whose other members could
    come before it.
    """
    flat = hits.reshape(-1)
    there = torch.nonzero(flat >= 0).squeeze(1)
    places, members = twins.of(flat[there], most)
    owners = there[places] // hits.shape[1]
    counts = torch.bincount(owners, minlength=len(rows))
    columns = torch.arange(len(owners), device=rows.device) - (counts.cumsum(0) - counts)[owners]
    kept = columns < 2 * most
    owners, columns, members = owners[kept], columns[kept], members[kept]
    items = torch.zeros(len(rows), min(2 * most, int(counts.max())), dtype=torch.int64, device=rows.device)
    allowed = torch.zeros(items.shape, dtype=torch.bool, device=rows.device)
    items[owners, columns] = members
    allowed[owners, columns] = wanted.usable[members]
    estimates = {}
    for name, content in contents.items():
        known = content.projection.rows
        part = torch.bmm(known[items], known[rows, :, None])[:, :, 0]
        estimates[name] = part.masked_fill_(content.table.are_twins(rows[:, None], items), 1.0)
        if wanted.consistency:
            allowed &= part >= content.threshold
    so_far = allowed.cumsum(1)
    enough = so_far[:, -1] >= wanted.k
    if int(twins.sizes.max()) > wanted.k:
        groups = twins.group[items]
        first = torch.ones_like(allowed)
        first[:, 1:] = groups[:, 1:] != groups[:, :-1]
        starts = torch.where(first, torch.arange(items.shape[1], device=rows.device), 0).cummax(1).values
        before = so_far - allowed.long()
        allowed &= before - before.gather(1, starts) < wanted.k
        cut_short = first.roll(-1, 1) & (twins.sizes[groups] > most)
        enough &= ~(cut_short & (so_far < wanted.k)).any(1)
    return Candidates(rows, items, allowed, estimates), enough
