"""What a data set is put together from: interactions, content features, and what was found while reading them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import torch
from scipy import sparse
from torch import Tensor

from damrs_dgl.data.mapping import release_pages, take_rows
from damrs_dgl.errors import DataError

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Interactions:
    """Observed (user, item) pairs of one split: ``users`` and ``items`` are int64 [n], internal ids, no pair twice.

    ``weights``: float32 [n] in [0, 1], how much training is to make of each pair; None: 1 of all.
    """

    users: Tensor
    items: Tensor
    weights: Tensor | None = None

    def __post_init__(self) -> None:
        if self.weights is not None and self.weights.shape != self.users.shape:
            raise DataError(f"{len(self.weights)} weights for {len(self.users)} interactions")
        if self.users.shape != self.items.shape or self.users.ndim != 1:
            raise DataError(
                f"users and items of a split differ in shape: {tuple(self.users.shape)}, {tuple(self.items.shape)}"
            )

    @classmethod
    def from_numpy(cls, users: np.ndarray, items: np.ndarray) -> Interactions:
        """From two integer arrays of the same length; copied as int64."""
        return cls(torch.from_numpy(users.astype(np.int64)), torch.from_numpy(items.astype(np.int64)))

    def take(self, chosen: Tensor) -> Interactions:
        """Some of the pairs, by bool [n] or places int64, with their weights."""
        weights = None if self.weights is None else self.weights[chosen]
        return Interactions(self.users[chosen], self.items[chosen], weights)

    def keys(self, num_items: int) -> Tensor:
        """One number for each pair: user * |I| + item, int64 [n]."""
        return self.users * max(num_items, 1) + self.items

    def matrix(self, num_users: int, num_items: int, dtype: type[np.generic] = np.float32) -> sparse.csr_matrix:
        """R [U, I]: 1 where there is a pair, whatever its weight."""
        pairs = (self.users.numpy(), self.items.numpy())
        matrix = sparse.csr_matrix((np.ones(len(self), dtype=dtype), pairs), shape=(num_users, num_items))
        matrix.data[:] = 1  # of a pair that is there twice, too
        return matrix

    def unweighted(self) -> Interactions:
        """The same pairs without weights."""
        return Interactions(self.users, self.items)

    def __len__(self) -> int:
        return len(self.users)

    def __repr__(self) -> str:
        return f"Interactions({len(self):,})"


def no_interactions() -> Interactions:
    """A split without any."""
    return Interactions(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))


@dataclass(frozen=True, eq=False)
class ModalityFeatures:
    """Content vectors of one modality, row = internal item id.

    ``values`` float16 or float32 [I, D], maybe memory-mapped, never modified; ``missing`` bool [I]: the row has NaN or
    infinity, is all zero, or was not supplied (whatever stands in ``values`` there has no meaning).
    """

    values: np.ndarray
    missing: np.ndarray

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype not in (np.float16, np.float32):
            raise DataError(f"features must be float16 or float32 [I, D], not {self.values.dtype} {self.values.shape}")
        if self.missing.shape != self.values.shape[:1] or self.missing.dtype != np.bool_:
            raise DataError(f"missing must be bool [{len(self.values)}], not {self.missing.dtype} {self.missing.shape}")

    @property
    def dim(self) -> int:
        """Width D of a feature vector."""
        return int(self.values.shape[1])

    @property
    def num_missing(self) -> int:
        """How many items have no usable vector."""
        return int(self.missing.sum())

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"ModalityFeatures({len(self):,} x {self.dim} {self.values.dtype}, {self.num_missing:,} missing)"

    def block(self, start: int, stop: int) -> Tensor:
        """Rows start..stop as float32 [n, D], missing rows as zeros; one block in memory, never the whole file."""
        rows = self._as_tensor(self.values[start:stop], self.missing[start:stop])
        release_pages(self.values)
        return rows

    def take(self, indices: Tensor | np.ndarray) -> Tensor:
        """The rows of an int64 index array [n] as float32 [n, D], missing rows as zeros."""
        rows = indices.cpu().numpy() if isinstance(indices, Tensor) else np.asarray(indices, dtype=np.int64)
        return self._as_tensor(take_rows(self.values, rows), self.missing[rows])

    @staticmethod
    def _as_tensor(values: np.ndarray, missing: np.ndarray) -> Tensor:
        rows = np.array(values, dtype=np.float32, order="C", subok=False)
        rows[missing] = 0.0
        return torch.from_numpy(rows)


@dataclass(frozen=True)
class Finding:
    """Something put right or worth knowing in the data, e.g. ("duplicate interactions", 3, "x.inter", "kept once")."""

    kind: str
    count: int
    where: str
    action: str

    def __str__(self) -> str:
        return f"{self.where}: {self.count:,} {self.kind} ({self.action})"


@dataclass(frozen=True, eq=False)
class DatasetParts:
    """The fields of a data set, as the builder hands them over.

    ``user_ids`` and ``item_ids`` hold the original ids (position = internal id). A (user, item) pair occurs once over
    all splits and ``left_out``: training clicks that nothing is to learn from, and items that their user rated too low.
    Their users still know the items, which no ranking or recommendation shows them. ``features`` keeps the order in
    which the modalities were named; every modality has a row for each item.
    """

    name: str
    user_ids: pa.Array
    item_ids: pa.Array
    train: Interactions
    validation: Interactions
    test: Interactions
    features: Mapping[str, ModalityFeatures]
    findings: tuple[Finding, ...] = ()
    left_out: Interactions = field(default_factory=no_interactions)
