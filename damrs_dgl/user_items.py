"""Which items each user has, to be looked up for blocks of users."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from damrs_dgl.errors import DataError


@dataclass(frozen=True)
class UserItems:
    """The distinct items of every user, as compressed rows.

    ``offsets`` is int64 [num_users + 1]; user u has ``items[offsets[u]:offsets[u + 1]]``, ascending, int64.
    ``span`` is one more than the highest item in it (0 when there is none).
    """

    offsets: Tensor
    items: Tensor
    span: int

    @classmethod
    def from_pairs(cls, users: Tensor, items: Tensor, num_users: int) -> UserItems:
        """Rows from int64 pairs ``users`` [n], ``items`` [n] in any order; a repeated pair counts once.

        Raises ``DataError`` for lengths that differ, and for users or items out of range.
        """
        if users.shape != items.shape or users.dim() != 1:
            raise DataError(
                f"users and items must be two lists of one length, got {list(users.shape)} and {list(items.shape)}"
            )
        users, items = users.long(), items.long()
        if len(users) == 0:
            return cls(users.new_zeros(num_users + 1), items, 0)
        if int(users.min()) < 0 or int(users.max()) >= num_users:
            raise DataError(f"user {first_outside(users, num_users)} is not in 0..{num_users - 1}")
        if int(items.min()) < 0:
            raise DataError(f"item {int(items.min())} is negative")
        span = int(items.max()) + 1
        keys = torch.unique(users * span + items)
        counts = torch.bincount(keys // span, minlength=num_users)
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return cls(offsets, keys % span, span)

    @property
    def num_users(self) -> int:
        return len(self.offsets) - 1

    def to(self, device: torch.device | str) -> UserItems:
        """The same on another device."""
        return UserItems(self.offsets.to(device), self.items.to(device), self.span)

    def counts(self) -> Tensor:
        """How many items each user has, int64 [num_users]."""
        return self.offsets[1:] - self.offsets[:-1]

    def pairs_of(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """All items of ``users`` [b] as (row in ``users``, item), both int64 [n], sorted by row, then item."""
        users = users.to(self.offsets.device)
        starts = self.offsets[users]
        counts = self.offsets[users + 1] - starts
        ends = counts.cumsum(0)
        total = int(ends[-1]) if len(ends) else 0
        rows = torch.repeat_interleave(torch.arange(len(users), device=users.device), counts, output_size=total)
        # position n of the result lies at starts[row] + (n - first n of that row) in self.items
        shifts = torch.repeat_interleave(starts - (ends - counts), counts, output_size=total)
        return rows, self.items[torch.arange(total, device=users.device) + shifts]

    def mask_(self, scores: Tensor, users: Tensor) -> Tensor:
        """Set what ``users`` [b] have seen to -inf in ``scores`` [b, I], in place; returns ``scores``."""
        rows, items = self.pairs_of(users)
        scores[rows.to(scores.device), items.to(scores.device)] = -torch.inf
        return scores


def first_outside(indices: Tensor, size: int) -> int:
    """The first index that is not in 0..size - 1."""
    return int(indices[((indices < 0) | (indices >= size)).nonzero()[0, 0]])
