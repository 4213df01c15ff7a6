"""Matrices of torch's CSR kind, and their product with a gradient that transposes nothing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def csr_matrix(rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A torch CSR matrix; values at the same place are added."""
    with _without_beta_warning():
        indices = torch.stack([rows, columns])
        return torch.sparse_coo_tensor(indices, values, shape, check_invariants=False).to_sparse_csr()


def csr_from_lists(offsets: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """A torch CSR matrix of lists that stand as they are: `offsets` [rows + 1] of each row's `columns` and `values`."""
    with _without_beta_warning():
        return torch.sparse_csr_tensor(offsets, columns, values, shape, check_invariants=False)


@contextmanager
def _without_beta_warning() -> Iterator[None]:
    """Keep torch from saying at each process's first CSR matrix that they are new."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        yield


class SparseProduct(torch.autograd.Function):
    """matrix @ x, with the transposed matrix kept for the gradient (torch would transpose anew at each step)."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, transposed: Tensor, x: Tensor) -> Tensor:
        """matrix @ x; `transposed` is the same matrix the other way round. Shapes: [n, m], [m, n], [m, d] -> [n, d]."""
        ctx.transposed = transposed
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, Tensor]:
        """The gradient of x, [m, d]; the matrices have none."""
        return None, None, ctx.transposed @ grads[0].contiguous()
