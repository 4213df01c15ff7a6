"""The operations that count for the floor are those of dense products alone."""

from __future__ import annotations

import torch

from benchmarks.gpu import counting, traffic_of
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.models.layers.propagation import SparseRelation


def test_a_sparse_product_counts_by_its_bytes() -> None:
    graph = dgl.heterograph({("item", "visual", "item"): (torch.tensor([0, 1]), torch.tensor([1, 2]))}, {"item": 100})
    relation = SparseRelation(graph["visual"], torch.device("cpu"))
    x = torch.randn(100, 8, requires_grad=True)
    with traffic_of(relation) as traffic, counting() as counter:
        (relation(x) @ torch.randn(8, 3)).sum().backward()
    assert counter.get_total_flops() == 2 * 2 * 100 * 8 * 3  # forward, and backward to what was propagated
    assert sum(traffic) == 2 * (4 * 2 * 800 + 4 * 2)
