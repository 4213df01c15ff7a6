"""What a metric looks at: the ranked lists of some users, and facts of the items that do not depend on any system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

# Content is kept as unit rows up to this many numbers (256 MiB of float32); above that, only rows that are asked for.
_MAX_KEPT_NUMBERS = 2**26


class ContentRows(Protocol):
    """Content vectors of one modality, a row for each item; the data set's features are such."""

    missing: np.ndarray  # bool [I]: the item has no content

    @property
    def dim(self) -> int:
        """Width D of a vector."""

    def take(self, indices: Tensor) -> Tensor:
        """The rows of int64 [n] as float32 [n, D], zero where content is missing."""


@dataclass(frozen=True)
class RankedLists:
    """The lists of the users that metrics are averaged over, those with relevant items and a training interaction.

    users: int64 [n], ascending.
    items: int64 [n, K], best first, K no more than there are items; a user with fewer candidates has -1 at the end.
    hits: bool [n, K], whether the item at each rank is relevant.
    num_relevant: int64 [n], how many items were to be found, at least 1.
    All are on the CPU.
    """

    users: Tensor
    items: Tensor
    hits: Tensor
    num_relevant: Tensor

    def __len__(self) -> int:
        return len(self.users)


class UnitContent:
    """The content of one modality as rows of length 1."""

    def __init__(self, rows: ContentRows) -> None:
        self._rows = rows
        self.present = torch.from_numpy(~np.asarray(rows.missing))  # bool [I]
        small = len(self.present) * rows.dim <= _MAX_KEPT_NUMBERS
        self._kept = normalize(rows.take(torch.arange(len(self.present))), dim=1) if small else None

    def lookup(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """(table [m, D], rows int64 like `items`): the unit vector of items[...] is table[rows[...]]."""
        if self._kept is not None:
            return self._kept, items
        distinct, rows = torch.unique(items, return_inverse=True)
        return normalize(self._rows.take(distinct), dim=1), rows


@dataclass(frozen=True)
class Catalogue:
    """Facts of the items.

    popularity: int64 [I], training interactions of each item.
    content: {modality: its vectors}; empty where items have none.
    """

    popularity: Tensor
    content: Mapping[str, ContentRows] = field(default_factory=dict)

    @property
    def num_items(self) -> int:
        return len(self.popularity)

    @cached_property
    def unit_content(self) -> dict[str, UnitContent]:
        """The content by modality as rows of length 1, made at first use."""
        return {name: UnitContent(rows) for name, rows in self.content.items()}


def catalogue_of(train_items: Tensor, num_items: int, content: Mapping[str, Any]) -> Catalogue:
    """The catalogue of a training split, whose items are int64 [n]."""
    return Catalogue(torch.bincount(train_items, minlength=num_items), dict(content))
