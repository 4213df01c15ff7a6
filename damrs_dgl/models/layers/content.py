"""Content vectors as systems take them: side by side, scaled, projected."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from damrs_dgl.models.base import ModelInputs


def unit_content(modalities: Sequence[Tensor]) -> Tensor:
    """Modalities [I, D_m] side by side [I, D], each row of each of length 1; a missing row stays zero.

    So no modality drowns the others, or the ID vectors, whatever units its extractor gave it: TikTok's pictures have
    rows of length 33 and its sounds of length 4.5.
    """
    return torch.cat([nn.functional.normalize(content, dim=1) for content in modalities], dim=1)


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
