"""Item-item relations from candidate neighbours: an approximation of Eq. 1 that does not compare all pairs exactly.

Estimated cosines (projection.py) choose a few candidates of every item, exact ones choose the edges among them
(rescoring.py). How fine the estimates are is decided by trying them on sampled items (calibration.py). An edge of this
graph has the exact order and meets the consistency rule; what can be lost is an edge whose item was no candidate. Two
ways to find them:

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

import torch
from torch import Tensor

from damrs_dgl.graphs.approximate.calibration import calibrated
from damrs_dgl.graphs.approximate.nearest import load_faiss, nearest_rows
from damrs_dgl.graphs.approximate.rescoring import Candidates, Content, best_candidates
from damrs_dgl.graphs.approximate.scan import DuplicateGroups, Scan, Wanted
from damrs_dgl.graphs.exact import Pairs, joined
from damrs_dgl.graphs.similarity import CosineTable
from damrs_dgl.selection import place_in_group

Listed = tuple[Candidates, Tensor]
OnRows = Callable[[int, int], None]

_LISTED = 8  # nearest rows asked of the index, times k
_LIST_VALUES = 2**21  # values of the rows gathered for the candidates of a block


def candidate_neighbors(
    tables: Mapping[str, CosineTable], *, method: str, k: int, consistency: bool, on_rows: OnRows
) -> dict[str, Pairs]:
    """Edges {modality: (items, neighbours)} of the items that have it, by way of candidates.

    Parameters
    ----------
    method: "projected" or "faiss".
    on_rows: called with (rows done, rows to do); a row counts once per modality.

    The same from run to run. Blocks and threads change the last bits of the estimates, which can exchange candidates
    that are alike to six digits; what is chosen among the candidates does not depend on either.
    """
    if method == "faiss":
        load_faiss()  # before the work, not after half of it
    if not tables:
        return {}
    wanted = Wanted(k, consistency)
    duplicates = {name: DuplicateGroups(table.duplicate_of) for name, table in tables.items()}
    contents = calibrated(tables, duplicates, wanted)
    present = torch.stack([table.present for table in tables.values()])
    rows = torch.nonzero(present.any(0)).squeeze(1)
    scan = Scan(contents, duplicates, wanted)
    found: dict[str, list[Pairs]] = {name: [(rows[:0], rows[:0])] for name in tables}
    done, total = 0, int(present.sum())

    def take(name: str, candidates: Candidates) -> None:
        nonlocal done
        found[name].append(best_candidates(candidates, contents, name, k=k, consistency=consistency))
        done += len(candidates.rows)
        on_rows(done, total)

    if method == "projected":
        for name, candidates in scan(rows, list(tables)):
            take(name, candidates)
        return {name: joined(parts) for name, parts in found.items()}
    for name in tables:
        short = [rows[:0]]
        for candidates, enough in _listed(contents, duplicates[name], name, wanted):
            short.append(candidates.rows[~enough])
            take(name, candidates.of(enough))
        for _, candidates in scan(torch.cat(short), [name]):
            take(name, candidates)
    return {name: joined(parts) for name, parts in found.items()}


def _listed(
    contents: Mapping[str, Content], duplicates: DuplicateGroups, modality: str, wanted: Wanted
) -> Iterator[Listed]:
    """Candidates of all items that have a modality from an index over its distinct rows, and for whom they do."""
    most = _LISTED * wanted.k
    rows, present = contents[modality].projection.rows, contents[modality].table.present
    for start, nearest in nearest_rows(rows[duplicates.lowest], most):
        hits = nearest.to(rows.device)
        groups = torch.arange(start, start + len(hits), device=rows.device)
        places, items = duplicates.of(groups)
        kept = present[items]
        places, items = places[kept], items[kept]
        width = sum(content.projection.rows.shape[1] for content in contents.values())
        step = max(1, _LIST_VALUES // (2 * most * width))
        for part, block in zip(places.split(step), items.split(step), strict=True):
            if len(block):  # a chunk may hold only items that lack it
                yield _candidates(contents, duplicates, modality, wanted, block, hits[part], most)


def _candidates(
    contents: Mapping[str, Content],
    duplicates: DuplicateGroups,
    modality: str,
    wanted: Wanted,
    rows: Tensor,
    hits: Tensor,
    most: int,
) -> Listed:
    """The members of the groups `hits` [n, c] (-1: none; the nearest first) as candidates of the rows.

    At most the `most` lowest members of a group and 2 `most` candidates of a row; of a group, the first k allowed.
    Bool [n]: the row has k candidates, none of them ranked behind a group that was cut short.
    """
    flat = hits.reshape(-1)
    there = torch.nonzero(flat >= 0).squeeze(1)
    places, members = duplicates.of(flat[there], most)
    owners = there[places] // hits.shape[1]
    counts = torch.bincount(owners, minlength=len(rows))
    columns = place_in_group(owners, counts)
    kept = columns < 2 * most
    owners, columns, members = owners[kept], columns[kept], members[kept]
    items = torch.zeros(len(rows), min(2 * most, int(counts.max())), dtype=torch.int64, device=rows.device)
    allowed = torch.zeros(items.shape, dtype=torch.bool, device=rows.device)
    items[owners, columns] = members
    allowed[owners, columns] = contents[modality].table.present[members]
    estimates = {}
    for name, content in contents.items():
        known = content.projection.rows
        part = torch.bmm(known[items], known[rows, :, None])[:, :, 0]
        estimates[name] = part.masked_fill_(content.table.are_duplicates(rows[:, None], items), 1.0)
        if wanted.consistency:
            allowed &= content.may_reach(part, rows[:, None], items)
    so_far = allowed.cumsum(1)
    enough = so_far[:, -1] >= wanted.k
    if int(duplicates.sizes.max()) > wanted.k:
        groups = duplicates.group[items]
        first = torch.ones_like(allowed)
        first[:, 1:] = groups[:, 1:] != groups[:, :-1]
        starts = torch.where(first, torch.arange(items.shape[1], device=rows.device), 0).cummax(1).values
        before = so_far - allowed.long()
        allowed &= before - before.gather(1, starts) < wanted.k
        cut_short = first.roll(-1, 1) & (duplicates.sizes[groups] > most)
        enough &= ~(cut_short & (so_far < wanted.k)).any(1)
    return Candidates(rows, items, allowed, estimates), enough
