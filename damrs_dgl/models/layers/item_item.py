"""Item-item matrices W of systems without training: kept sparse or as factors, and what ranks by them, R W."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

Factors = tuple[np.ndarray, np.ndarray]
"""(of the history [I, r], of the candidates [I, r]): the matrix is their product, history @ candidates.T."""

_BLOCK = 2**24  # entries of a dense block of rows, 64 MiB


def degrees(matrix: sp.csr_matrix, axis: int) -> np.ndarray:
    """Row (axis 1) or column (axis 0) sums, float64."""
    return np.asarray(matrix.sum(axis=axis, dtype=np.float64)).ravel()


def degree_power(degree: np.ndarray, exponent: float) -> np.ndarray:
    """degree ** exponent, and 0 where the degree is 0, whatever the exponent; float64."""
    return np.where(degree > 0, np.where(degree > 0, degree, 1.0) ** exponent, 0.0)


def scaled(left: np.ndarray, matrix: sp.spmatrix, right: np.ndarray) -> sp.csr_matrix:
    """diag(left) @ matrix @ diag(right), float32."""
    return (sp.diags(left) @ matrix @ sp.diags(right)).tocsr().astype(np.float32)


def row_blocks(rows: int, width: int) -> Iterator[slice]:
    """All rows, as many at a time as make a dense block of [rows, width] no larger than 64 MiB."""
    step = max(1, min(rows, _BLOCK // max(width, 1)))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def largest_entries(matrix: sp.csr_matrix, n: int, weights: np.ndarray | None = None) -> sp.csr_matrix:
    """The n entries of each row that are largest in size, after column j's are weighed by weights[j]; others dropped.

    Of equal ones the lower columns. The entries themselves stay as they are.
    """
    matrix.sort_indices()
    counts = np.diff(matrix.indptr)
    if counts.max(initial=0) <= n:
        return matrix
    size = np.abs(matrix.data) if weights is None else np.abs(matrix.data * weights[matrix.indices])
    kept = np.ones(len(size), dtype=bool)
    for row in np.flatnonzero(counts > n):
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        kept[part] = False
        kept[part.start + np.argsort(-size[part], kind="stable")[:n]] = True
    indptr = np.concatenate([[0], np.cumsum(np.minimum(counts, n))])
    return sp.csr_matrix((matrix.data[kept], matrix.indices[kept], indptr), matrix.shape)


def as_buffers(matrix: sp.csr_matrix) -> dict[str, Tensor]:
    """A sparse matrix as three tensors that a checkpoint can hold."""
    return {
        "filter_offsets": torch.from_numpy(matrix.indptr.astype(np.int64)),
        "filter_items": torch.from_numpy(matrix.indices.astype(np.int32)),
        "filter_values": torch.from_numpy(matrix.data.astype(np.float32)),
    }


def from_buffers(offsets: Tensor, items: Tensor, values: Tensor) -> sp.csr_matrix:
    """The [I, I] matrix that `as_buffers` took apart."""
    num_items = len(offsets) - 1
    parts = (values.cpu().numpy(), items.cpu().numpy(), offsets.cpu().numpy())
    return sp.csr_matrix(parts, shape=(num_items, num_items))


class ItemItemScorer:
    """Scores R W of blocks of users, W = sparse + history @ candidates.T.

    interactions: R [U, I].  sparse: [I, I] or None.  factors: or None.  device: where the scores are put. They are made
    on the CPU, where sparse products are quick, in float32: b I numbers and O(b (d n + I r)) time for b users, d items
    in a history, n entries in a row of W, r the width of the factors.
    """

    def __init__(
        self, interactions: sp.csr_matrix, sparse: sp.csr_matrix | None, factors: Factors | None, device: torch.device
    ) -> None:
        self.interactions, self.sparse, self.factors = interactions, sparse, factors
        self.num_users, self.num_items = interactions.shape
        self.device = device

    def scores(self, users: Tensor, out: Tensor | None = None) -> Tensor:
        history = self.interactions[users.cpu().numpy()]
        found = torch.zeros(history.shape)
        if self.sparse is not None:
            (history @ self.sparse).toarray(out=found.numpy())
        if self.factors is not None:
            left, right = self.factors
            found.addmm_(torch.from_numpy(history @ left), torch.from_numpy(right).T)
        return found.to(self.device) if out is None else out.copy_(found)
