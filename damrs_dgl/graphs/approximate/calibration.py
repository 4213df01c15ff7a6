"""How fine the estimates have to be: tried on some items whose exact edges are worked out for the purpose."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from damrs_dgl.graphs.approximate.projection import Projection, spread
from damrs_dgl.graphs.approximate.rescoring import Content, best_candidates
from damrs_dgl.graphs.approximate.scan import DuplicateGroups, Scan, Wanted
from damrs_dgl.graphs.exact import edges_of
from damrs_dgl.graphs.similarity import CosineTable

_ASKED = 128  # items of each modality that it is tried on
_RECALL = 0.992  # of their edges are to be found, in every modality


def calibrated(
    tables: Mapping[str, CosineTable], duplicates: Mapping[str, DuplicateGroups], wanted: Wanted
) -> dict[str, Content]:
    """Tables with projections as coarse as the sampled items allow; the finest where none is fine enough."""
    contents = {name: Content(table, Projection(table, k=wanted.k)) for name, table in tables.items()}
    coarse = [name for name, content in contents.items() if not content.projection.is_exact]
    if not coarse:
        return contents
    rows = torch.cat([spread(tables[name].present, _ASKED) for name in coarse]).unique()
    edges = edges_of(rows, coarse, tables, k=wanted.k, consistency=wanted.consistency)
    exact = {name: items * tables[name].num_items + neighbors for name, (items, neighbors) in edges.items()}
    while coarse:
        recall = _recall(Scan(contents, duplicates, wanted), rows, coarse, exact)
        coarse = [name for name in coarse if recall[name] < _RECALL and contents[name].projection.refine()]
    for content in contents.values():
        content.projection.settle()
    return contents


def _recall(scan: Scan, rows: Tensor, modalities: list[str], exact: Mapping[str, Tensor]) -> dict[str, float]:
    """Share of the exact edges that the candidates lead to, by modality."""
    wanted, found = scan.wanted, dict.fromkeys(modalities, 0)
    for name, candidates in scan(rows, modalities):
        items, neighbors = best_candidates(candidates, scan.contents, name, k=wanted.k, consistency=wanted.consistency)
        found[name] += int(torch.isin(items * scan.num_items + neighbors, exact[name]).sum())
    return {name: count / max(len(exact[name]), 1) for name, count in found.items()}
