"""Content vectors as systems take them: side by side, scaled, projected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from damrs_dgl.models.base import ModelInputs

_BLOCK_ROWS = 256  # of content in one block: 4 MiB at 4,096 columns, which stay in the processor's cache


def unit_content(modalities: Sequence[Tensor]) -> Tensor:
    """Modalities [I, D_m] side by side [I, D], each row of each of length 1; a missing row stays zero.

    So no modality drowns the others, or the ID vectors, whatever units its extractor gave it: TikTok's pictures have
    rows of length 33 and its sounds of length 4.5.
    """
    return torch.cat([_unit_rows(content) for content in modalities], dim=1)


def _unit_rows(content: Tensor) -> Tensor:
    """Rows of length 1, however large or small their values; scaled by a power of two, which is exact, before."""
    exponents = torch.frexp(content.abs().amax(dim=1, keepdim=True)).exponent
    return nn.functional.normalize(torch.ldexp(content, -exponents), dim=1)


def raw_content(modalities: Sequence[Tensor]) -> Tensor:
    """Modalities [I, D_m] side by side as they are, [I, D]; what the authors' code projects."""
    return torch.cat(list(modalities), dim=1)


class Projection(nn.Module):
    """x W + b with Xavier-uniform W [D, width] and b = 0, drawn from the inputs' generator.

    Shapes: [n, D] -> [n, width].
    """

    def __init__(self, inputs: ModelInputs, width_in: int, width_out: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = inputs.table(width_in, width_out)
        self.bias = inputs.zeros(width_out) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight if self.bias is None else torch.addmm(self.bias, x, self.weight)

    def of_rows(self, x: Tensor, rows: Tensor) -> Tensor:
        """`forward(x[rows])` for rows int64 [b], each once, of x [n, D]; [b, width].

        Rows are taken block by block, now and for the gradient, so that no [b, D] copy of them is made. The gradient of
        x is sparse.
        """
        product = _ProductOfRows.apply(x, rows, self.weight)
        return product if self.bias is None else product + self.bias


class _ProductOfRows(torch.autograd.Function):
    """x[rows] W. The gradients are x[rows]^T g of W, and g W^T of the rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, rows, weight)
        return torch.cat([x[part] @ weight for part in rows.split(_BLOCK_ROWS)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, Tensor]:
        x, rows, weight = ctx.saved_tensors
        weight_grad, x_grad = torch.zeros_like(weight), None
        for part, grad in zip(rows.split(_BLOCK_ROWS), grads[0].split(_BLOCK_ROWS), strict=True):
            weight_grad.addmm_(x[part].T, grad)
        if ctx.needs_input_grad[0]:
            values = grads[0] @ weight.T
            x_grad = torch.sparse_coo_tensor(rows.unsqueeze(0), values, x.shape, check_invariants=False)
        return x_grad, None, weight_grad
