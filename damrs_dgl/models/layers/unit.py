"""Rows of length 1, with a gradient that stays finite where a row is zero."""

from __future__ import annotations

import torch
from torch import Tensor

_ZERO = 1e-12  # rows that are shorter count as zero


def unit_rows(x: Tensor) -> Tensor:
    """Each row divided by its length; a zero row stays zero. Shapes: [n, d] -> [n, d].

    `torch.nn.functional.normalize` divides a zero row by 1e-12, and its gradient by as much: an item without content
    would give a bias one gradient of 1e12, which Adam's second moment remembers for thousands of steps. Here a zero row
    passes the gradient on as it is.
    """
    length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return x / torch.where(length > _ZERO, length, torch.ones_like(length))
