"""The parts of a graph filter that are sparse: who was chosen together, what looks alike, polynomials of the first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from damrs_dgl.dgl_backend import dgl
from damrs_dgl.graphs.schema import ITEM, content_relations
from damrs_dgl.models.layers.item_item import degree_power, degrees, largest_entries, row_blocks, scaled


def cooccurrence(
    interactions: sp.csr_matrix, user_exponent: float, top_n: int, weights: np.ndarray
) -> tuple[sp.csr_matrix, float]:
    """C_q = D_i^-1/2 R^T D_u^q R D_i^-1/2 [I, I], brought to the sum of all entries that q = -1 gives, float32.

    Of each row the `top_n` entries are kept that are largest when column j counts weights[j]; returned with the share
    of the weight that was kept. O(sum of d_u^2) time, in blocks of rows.
    """
    users = degrees(interactions, 1)
    by_user = scaled(np.ones(len(users)), interactions, degree_power(degrees(interactions, 0), -0.5))
    sums = degrees(by_user, 1) ** 2  # a user's co-clicks sum to this before they are weighed
    total, unscaled = (float(sums @ degree_power(users, power)) for power in (-1.0, user_exponent))
    factor = total / unscaled if unscaled else 1.0
    weighted = scaled(degree_power(users, user_exponent) * factor, by_user, np.ones(by_user.shape[1]))
    by_item = by_user.T.tocsr()
    parts, share = [], KeptShare()
    for rows in row_blocks(by_item.shape[0], by_item.shape[0]):
        whole = by_item[rows] @ weighted
        parts.append(largest_entries(whole, top_n, weights))
        share.add(whole, parts[-1], weights)
    return sp.vstack(parts, format="csr"), share.value


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


def _weight(matrix: sp.csr_matrix, weights: np.ndarray | None) -> float:
    size = np.abs(matrix.data)
    return float(size.sum(dtype=np.float64) if weights is None else size @ weights[matrix.indices])
