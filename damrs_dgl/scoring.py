"""How a model's preferences are asked for: the scores of a block of users for all items, and nothing else."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from damrs_dgl.errors import DataError, TrainingError


class Scorer(Protocol):
    """Scores of users for all items; the higher, the better.

    num_users, num_items: U and I.  device: where the scores are made.
    """

    num_users: int
    num_items: int
    device: torch.device

    def scores(self, users: Tensor, out: Tensor | None = None) -> Tensor:
        """Scores [b, I] of some users, int64 [b]; written into `out` [b, I] where given."""


class DotProduct:
    """Scores by the dot product of a user's and an item's vector.

    user_emb [U, d] and item_emb [I, d] on one device; scores are float32, or float64 where the vectors are.
    Raises DataError for shapes that do not fit and TrainingError for vectors that are not finite.
    """

    def __init__(self, user_emb: Tensor, item_emb: Tensor) -> None:
        _check(user_emb, item_emb)
        dtype = torch.promote_types(torch.promote_types(user_emb.dtype, item_emb.dtype), torch.float32)
        self.user_emb = user_emb.detach().to(dtype)
        self.item_emb = item_emb.detach().to(dtype)
        self.num_users, self.num_items = len(user_emb), len(item_emb)
        self.device = self.user_emb.device

    def scores(self, users: Tensor, out: Tensor | None = None) -> Tensor:
        return torch.mm(self.user_emb[users.to(self.device)], self.item_emb.T, out=out)


def _check(user_emb: Tensor, item_emb: Tensor) -> None:
    if user_emb.dim() != 2 or item_emb.dim() != 2 or user_emb.shape[1] != item_emb.shape[1]:
        raise DataError(
            f"user and item vectors must be [n, d] and [I, d], got {list(user_emb.shape)} and {list(item_emb.shape)}"
        )
    for name, emb in (("user", user_emb), ("item", item_emb)):
        finite = torch.isfinite(emb).all(dim=1)
        if not bool(finite.all()):
            row = int((~finite).nonzero()[0])
            raise TrainingError(f"the {name} vector in row {row} holds NaN or infinity")
