"""Graphs of the items most alike: whom each item lists, how alike they are, and products with such a graph.

An item's list are the k items of the largest cosines, itself a candidate like any other; ties go to the lower item
index, two cosines being equal that agree to 1e-9. An item without content lists itself alone and is on no other list.
Edges run from the listed neighbour to the item: row i of the matrix is item i's list, and degrees are row sums.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from damrs_dgl.data.parts import ModalityFeatures
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.graphs.similarity import RESOLUTION, CosineTable
from damrs_dgl.graphs.top_k import top_k_pairs
from damrs_dgl.models.layers.propagation import uses_dgl
from damrs_dgl.models.layers.sparse import SparseProduct, csr_matrix

_BLOCK_VALUES = 2**22  # cosines in memory at a time, 16 MB
_SHIFT = 2  # makes every cosine positive: `top_k_pairs` leaves out what is not
_SHIFT_ERROR = 2.0**-22  # of the addition in float32


class Edges(NamedTuple):
    """A weighted graph of items, edge by edge: `items[e]` lists `neighbors[e]`. Shapes: int64 [E], int64 [E], [E]."""

    items: Tensor
    neighbors: Tensor
    weights: Tensor

    def scaled(self, factor: Tensor | float) -> Edges:
        """All weights times a number."""
        return self._replace(weights=self.weights * factor)

    def normalized(self, num_items: int) -> Edges:
        """Weights r_i^-1/2 s_ij r_j^-1/2 with the row sums r; 0 where a row sum is not positive. Differentiable."""
        sums = self.weights.new_zeros(num_items).index_add(0, self.items, self.weights)
        positive = sums > 0
        scale = torch.where(positive, sums, torch.ones_like(sums)).rsqrt() * positive
        return self._replace(weights=scale[self.items] * self.weights * scale[self.neighbors])


def merged(parts: list[Edges]) -> Edges:
    """The sum of graphs over the same items: all edges; an edge of several stands there as often."""
    items, neighbors, weights = zip(*parts, strict=True)
    return Edges(torch.cat(items), torch.cat(neighbors), torch.cat(weights))


class NeighborGraph:
    """Directed edges between items, for products with weights that carry gradient.

    By DGL (`u_dot_v`, `u_mul_e`/`sum`) or, on a device that DGL has no build for, by torch; the same numbers.
    """

    def __init__(self, items: Tensor, neighbors: Tensor, num_items: int, *, by_dgl: bool | None = None) -> None:
        self.items, self.neighbors, self.num_items = items, neighbors, num_items
        self.by_dgl = uses_dgl(items.device) if by_dgl is None else by_dgl

    @cached_property
    def _graph(self) -> dgl.DGLGraph:
        ends = (self.neighbors.int(), self.items.int())
        return dgl.graph(ends, num_nodes=self.num_items).formats(["coo", "csr", "csc"])

    def cosines(self, unit: Tensor) -> Tensor:
        """Cosines [E] of the edges' ends; exactly 1, without gradient, for a loop. `unit` [I, d]: rows of length 1."""
        if self.by_dgl:
            products = dgl.ops.u_dot_v(self._graph, unit, unit).squeeze(-1)
        else:
            products = (unit[self.items] * unit[self.neighbors]).sum(1)
        return torch.where(self.items == self.neighbors, torch.ones_like(products), products)

    def product(self, weights: Tensor, x: Tensor) -> Tensor:
        """sum_e weights[e] x[neighbors[e]] for each item. Shapes: [E], [I, d] -> [I, d]."""
        if self.by_dgl:
            return dgl.ops.u_mul_e_sum(self._graph, x, weights.unsqueeze(-1))
        return torch.zeros_like(x).index_add(0, self.items, weights.unsqueeze(-1) * x[self.neighbors])


class ConstantGraph:
    """The product with a graph whose weights stay as they are, by one sparse matrix (and its transpose, for gradients).

    torch's, on every device: DGL's `u_mul_e`/`sum` and its gradient take five to ten times as long. Edges between the
    same items are one. Shapes: [I, d] -> [I, d].
    """

    def __init__(self, edges: Edges, num_items: int) -> None:
        weights, shape = edges.weights.detach(), (num_items, num_items)
        self.matrix = csr_matrix(edges.items, edges.neighbors, weights, shape)
        self.transposed = csr_matrix(edges.neighbors, edges.items, weights, shape)

    def __call__(self, x: Tensor) -> Tensor:
        product: Any = SparseProduct.apply(self.matrix, self.transposed, x)
        return product

    def __deepcopy__(self, memo: dict[int, Any]) -> ConstantGraph:
        return self  # nothing changes it, and torch cannot copy its sparse matrices


def nearest_neighbors(table: CosineTable, usable: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(items, neighbours) int64, by item and then neighbour, on the table's device: each usable item's k nearest.

    Parameters
    ----------
    usable: bool [I] on the table's device; any other item lists itself alone and is on no other list.
    k: length of the lists; shorter where fewer items are usable.

    O(I^2 d) time; memory O(I k) beside a block of cosines and `table.unit`.
    """
    alone = torch.nonzero(~usable).squeeze(1)
    found = [(alone, alone)]
    tolerance = table.tolerance + _SHIFT_ERROR
    unit = table.unit
    everyone = torch.nonzero(usable).squeeze(1)
    for rows in everyone.split(max(1, _BLOCK_VALUES // table.num_items)) if len(everyone) else ():
        similarity = (unit[rows] @ unit.T).add_(_SHIFT)
        if len(alone):
            similarity[:, alone] = -torch.inf

        def levels(places: Tensor, items: Tensor, rows: Tensor = rows) -> Tensor:
            return table.levels(rows[places], items) + round(_SHIFT / RESOLUTION)

        places, neighbors = top_k_pairs(similarity, k, tolerance=tolerance, levels=levels)
        found.append((rows[places], neighbors))
    items, neighbors = (torch.cat(part) for part in zip(*found, strict=True))
    keys = (items * table.num_items + neighbors).sort().values
    return keys // max(table.num_items, 1), keys % max(table.num_items, 1)


def content_graph(features: ModalityFeatures, k: int, device: torch.device) -> Edges:
    """The graph of a modality's k nearest items by their content, normalised by its row sums; float32 weights."""
    table = CosineTable(features, device=device)
    usable = torch.from_numpy(~features.missing).to(device)
    items, neighbors = nearest_neighbors(table, usable, k)
    weights = NeighborGraph(items, neighbors, len(features)).cosines(table.unit)
    return Edges(items, neighbors, weights).normalized(len(features))


@torch.no_grad()
def mine(vectors: Tensor, missing: Tensor, k: int) -> NeighborGraph:
    """The k nearest items of each by `vectors` [I, d], compared as float32; `missing` bool [I]: items without content.

    A row of zeros is as good as missing.
    """
    without = missing | (vectors == 0).all(1)
    features = ModalityFeatures(vectors.float().cpu().numpy(), without.cpu().numpy())
    table = CosineTable(features, device=vectors.device)
    return NeighborGraph(*nearest_neighbors(table, ~without, k), len(vectors))


def learned_edges(graph: NeighborGraph, vectors: Tensor) -> Edges:
    """The graph with the cosines of `vectors` [I, d] as its weights, differentiable: the gradient of a dense top-k."""
    return Edges(graph.items, graph.neighbors, graph.cosines(normalize(vectors, dim=1)))
