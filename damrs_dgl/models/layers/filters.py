"""The parts of a graph filter that are sparse: who was chosen together, what looks alike, polynomials of the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse as sp

from damrs_dgl.dgl_backend import dgl
from damrs_dgl.graphs.schema import ITEM, content_relations
from damrs_dgl.models.layers.item_item import degree_power, degrees, row_blocks, scaled


class CoClicks:
    """C_q = D_i^-1/2 R^T D_u^q R D_i^-1/2 [I, I], brought to the sum of all entries that q = -1 gives, float32.

    interactions: R [U, I].  room: bytes of matrices that may be kept for who asks again; those asked for last are.
    O(sum of d_u^2) time for a new q, in blocks of rows.
    """

    def __init__(self, interactions: sp.csr_matrix, *, room: int = 0) -> None:
        self.user_degrees = degrees(interactions, 1)
        ones = np.ones(len(self.user_degrees))
        self.by_user = scaled(ones, interactions, degree_power(degrees(interactions, 0), -0.5))
        self.by_item = self.by_user.T.tocsr()
        self.room = room
        self._kept: dict[float, list[sp.csr_matrix]] = {}

    def rows(self, user_exponent: float) -> Iterator[sp.csr_matrix]:
        """All rows of C_q, a block at a time; not to be changed."""
        kept = self._kept.pop(user_exponent, [])
        if not kept:
            left = self.room
            for block in self._blocks(user_exponent):
                left -= _bytes(block)
                kept = [*kept, block] if left >= 0 else []
                yield block
        else:
            yield from kept
        if kept:
            self._keep(user_exponent, kept)

    def _blocks(self, user_exponent: float) -> Iterator[sp.csr_matrix]:
        sums = degrees(self.by_user, 1) ** 2  # a user's co-clicks sum to this before they are weighed
        powers = degree_power(self.user_degrees, user_exponent)
        total, unscaled = float(sums @ degree_power(self.user_degrees, -1.0)), float(sums @ powers)
        factor = total / unscaled if unscaled else 1.0
        weighted = scaled(powers * factor, self.by_user, np.ones(self.by_user.shape[1]))
        for rows in row_blocks(self.by_item.shape[0], self.by_item.shape[0]):
            yield self.by_item[rows] @ weighted

    def _keep(self, user_exponent: float, blocks: list[sp.csr_matrix]) -> None:
        self._kept[user_exponent] = blocks
        while sum(_bytes(block) for kept in self._kept.values() for block in kept) > self.room:
            del self._kept[next(iter(self._kept))]


def content_matrix(graph: dgl.DGLGraph) -> sp.csr_matrix | None:
    """A = D^-1/2 (sum_m M_m + M_m^T) D^-1/2 [I, I] of the content relations M_m without loops; None without content.

    D: the row sums of what is normalised; an item without neighbours has a row of zeros. Float32.
    """
    num_items = graph.num_nodes(ITEM)
    found = sp.csr_matrix((num_items, num_items), dtype=np.float32)
    names = content_relations(graph)
    for name in names:
        neighbors, items = (ids.numpy() for ids in graph.edges(etype=(ITEM, name, ITEM)))
        others = neighbors != items
        ones = np.ones(int(others.sum()), dtype=np.float32)
        relation = sp.csr_matrix((ones, (items[others], neighbors[others])), shape=found.shape)
        found = found + relation + relation.T
    scale = degree_power(degrees(found, 1), -0.5)
    return scaled(scale, found, scale) if names else None


def polynomial_rows(rows: sp.csr_matrix, matrix: sp.csr_matrix, coefficients: Sequence[float]) -> sp.csr_matrix:
    """rows @ (p1 C + p2 C^2 + ...) for some rows [b, I] and C [I, I], by Horner's rule: no power of C is made."""
    *lower, last = (np.float32(value) for value in coefficients)
    found = (rows * last) @ matrix
    for coefficient in reversed(lower):
        found = (found + rows * coefficient) @ matrix
    return found


class KeptShare:
    """The share of a matrix's weight, the sum of the sizes of its entries, that is left when its rows are shortened."""

    def __init__(self) -> None:
        self.kept = self.whole = 0.0

    def add(self, whole: sp.csr_matrix, kept: sp.csr_matrix, weights: np.ndarray | None = None) -> None:
        """Count a block of rows, column j by weights[j]."""
        self.whole += _weight(whole, weights)
        self.kept += _weight(kept, weights)

    @property
    def value(self) -> float:
        return self.kept / self.whole if self.whole else 1.0


def _bytes(matrix: sp.csr_matrix) -> int:
    return int(matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes)


def _weight(matrix: sp.csr_matrix, weights: np.ndarray | None) -> float:
    size = np.abs(matrix.data)
    return float(size.sum(dtype=np.float64) if weights is None else size @ weights[matrix.indices])
