"""How fine the estimates have to be: tried on some items whose exact edges are worked out for the purpose."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from damrs_dgl.graphs.projection import Projection, spread
from damrs_dgl.graphs.rescoring import Content, best_candidates
from damrs_dgl.graphs.scan import Scan, Twins, Wanted
from damrs_dgl.graphs.similarity import CosineTable, top_k_pairs

_ASKED = 128  # items that it is tried on
_RECALL = 0.992  # of their edges are to be found, in every modality


def calibrated(tables: Mapping[str, CosineTable], twins: Mapping[str, Twins], wanted: Wanted) -> dict[str, Content]:
    """Tables with projections as coarse as the sampled items allow; the finest where none is fine enough."""
    contents = {name: Content(table, Projection(table, k=wanted.k)) for name, table in tables.items()}
    coarse = [name for name, content in contents.items() if not content.projection.is_exact]
    if not coarse:
        return contents
    present = torch.nonzero(wanted.usable).squeeze(1)
    rows = present[spread(len(present), _ASKED).to(present.device)]
    exact = _exact_edges(tables, rows, wanted)
    while coarse:
        recall = _recall(Scan(contents, twins, wanted), rows, coarse, exact)
        coarse = [name for name in coarse if recall[name] < _RECALL and contents[name].projection.refine()]
    for content in contents.values():
        content.projection.settle()
    return contents


def _recall(scan: Scan, rows: Tensor, modalities: list[str], exact: Mapping[str, Tensor]) -> dict[str, float]:
    """Share of the exact edges that the candidates lead to, by modality."""
    wanted, found = scan.wanted, dict.fromkeys(modalities, 0)
    for name, candidates in scan(rows, modalities):
        items, neighbors = best_candidates(candidates, scan.contents, name, k=wanted.k, consistency=wanted.consistency)
        found[name] += int(torch.isin(items * len(wanted.usable) + neighbors, exact[name]).sum())
    return {name: count / max(len(exact[name]), 1) for name, count in found.items()}


def _exact_edges(tables: Mapping[str, CosineTable], rows: Tensor, wanted: Wanted) -> dict[str, Tensor]:
    """{modality: edges of the rows, as item |I| + neighbour}, by comparing with all items."""
    everyone = torch.arange(len(wanted.usable), device=rows.device)
    similarity = {name: table.unit[rows] @ table.unit.T for name, table in tables.items()}
    allowed = wanted.usable.repeat(len(rows), 1)
    if wanted.consistency:
        for name, part in similarity.items():
            allowed &= tables[name].reaches_mean(part, rows[:, None], everyone)
    edges = {}
    for name, part in similarity.items():
        table = tables[name]
        places, neighbors = top_k_pairs(
            part.masked_fill(~allowed, -torch.inf),
            wanted.k,
            tolerance=table.tolerance,
            levels=partial(_levels, table, rows),
        )
        edges[name] = rows[places] * len(everyone) + neighbors
    return edges


def _levels(table: CosineTable, rows: Tensor, places: Tensor, items: Tensor) -> Tensor:
    return table.levels(rows[places], items)
