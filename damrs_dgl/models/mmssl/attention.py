"""Multi-head attention of a node's modalities over each other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from damrs_dgl.models.base import ModelInputs


class ModalityAttention(nn.Module):
    """z = mean_m [a^1_m Y || .. || a^H_m Y] W, a^h_m = softmax_k(y^m Q_h . y^k K_h / sqrt(d / H)), Y = (y^1 .. y^M).

    Q and K are d x d and split into H heads, W is H d x d; the heads share the values, which stay as they are. The mean
    over m is taken of the attention, before the values: both maps after it are linear.
    Shapes: M tensors [n, d] -> [n, d]. O(n (M d^2 + H d^2)).
    """

    def __init__(self, inputs: ModelInputs, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = inputs.table(dim, dim)
        self.key = inputs.table(dim, dim)
        self.output = inputs.table(num_heads * dim, dim)

    def forward(self, modalities: Sequence[Tensor]) -> Tensor:
        values = torch.stack(list(modalities), dim=1)
        nodes, count, dim = values.shape
        split = (nodes, count, self.num_heads, dim // self.num_heads)
        queries, keys = (values @ self.query).view(split), (values @ self.key).view(split)
        logits = torch.einsum("nmhc,nkhc->nhmk", queries, keys) / (dim / self.num_heads) ** 0.5
        attention = logits.softmax(dim=-1).mean(dim=2)
        return torch.einsum("nhk,nkd->nhd", attention, values).reshape(nodes, -1) @ self.output
