"""Rows of tables, rows of length 1, and the mean squares of tables."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import embedding

_SHORTEST = 1e-12  # below it a row counts as zero


def rows_of(table: Tensor, ids: Tensor) -> Tensor:
    """table[ids], [n, d] and int64 [b] -> [b, d].

    On the CPU the gradient of a parameter is sparse, so that no table of zeros is made for it; on a GPU, where the sum
    of equal rows of a sparse one comes out a little different each time, it is dense.
    """
    return embedding(ids, table, sparse=table.is_leaf and table.device.type == "cpu")


def chosen_rows(tables: Sequence[Tensor], chosen: Sequence[Tensor] | None) -> Sequence[Tensor]:
    """`rows_of` each table, one list of ids for each; the tables themselves where `chosen` is None."""
    return tables if chosen is None else [rows_of(*pair) for pair in zip(tables, chosen, strict=True)]


def unit_rows(x: Tensor) -> Tensor:
    """The rows of x [n, d] divided by their lengths; a row of zeros stays zeros and gets no gradient.

    (`torch.nn.functional.normalize` multiplies the gradient of such a row by 1e12, and Adam remembers that of a bias.)
    """
    length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return x * torch.where(length > _SHORTEST, length.clamp(min=_SHORTEST).reciprocal(), torch.zeros_like(length))


def mean_squares(tables: Sequence[Tensor]) -> Tensor:
    """The sum over some tables of the mean of their squared entries, a scalar (the regulariser of MMGCN and GRCN)."""
    return torch.stack([table.square().mean() for table in tables]).sum()
