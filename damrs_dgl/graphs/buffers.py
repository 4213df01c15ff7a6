"""Memory that is filled again and again: fresh from the system it is slow."""

from __future__ import annotations

import torch
from torch import Tensor


class Buffers:
    """Float32 memory by what it is used for, each of `size` values, taken from the system at its first use."""

    def __init__(self, size: int, device: torch.device) -> None:
        self._size, self._device = size, device
        self._buffers: dict[str, Tensor] = {}

    def __call__(self, use: str, rows: int, columns: int) -> Tensor:
        """[rows, columns], at most `size` values; it holds what was last written for this use."""
        if use not in self._buffers:
            self._buffers[use] = torch.empty(self._size, device=self._device)
        return self._buffers[use][: rows * columns].view(rows, columns)
