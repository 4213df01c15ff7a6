"""The data set that everything downstream works on: ids, three splits as index tensors, features. Immutable."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from damrs_dgl.data.arrays import parts_from_arrays
from damrs_dgl.data.columns import find_ids, to_arrow
from damrs_dgl.data.fingerprint import hash_of
from damrs_dgl.data.parts import SPLITS, DatasetParts, Interactions
from damrs_dgl.errors import DataError


@dataclass(frozen=True, eq=False, repr=False)
class MultimodalDataset(DatasetParts):
    """Users, items, three splits of their interactions, and content features of any number of modalities.

    Its fields are those of :class:`~damrs_dgl.data.parts.DatasetParts`, checked to fit together.
    """

    def __post_init__(self) -> None:
        for modality, content in self.features.items():
            if len(content) != self.num_items:
                raise DataError(f"modality {modality!r} has {len(content):,} rows for {self.num_items:,} items")
        for split, interactions in self.splits():
            for what, ids, size in (
                ("user", interactions.users, self.num_users),
                ("item", interactions.items, self.num_items),
            ):
                if len(ids) and (int(ids.min()) < 0 or int(ids.max()) >= size):
                    raise DataError(f"{split} has a {what} index outside 0..{size - 1}")

    @property
    def num_users(self) -> int:
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        return len(self.item_ids)

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.features)

    def splits(self) -> Iterator[tuple[str, Interactions]]:
        """(name, interactions) of train, validation, test."""
        yield from zip(SPLITS, (self.train, self.validation, self.test), strict=True)

    def __repr__(self) -> str:
        content = ", ".join(f"{name} {part.dim}-d" for name, part in self.features.items()) or "no content"
        total = sum(len(part) for _, part in self.splits())
        sizes = f"{self.num_users:,} users, {self.num_items:,} items, {total:,} interactions"
        return f"MultimodalDataset({self.name!r}: {sizes}, {content})"

    @classmethod
    def from_parts(cls, parts: DatasetParts) -> MultimodalDataset:
        """From the fields that the builder made."""
        return cls(**{field.name: getattr(parts, field.name) for field in dataclasses.fields(DatasetParts)})

    @classmethod
    def from_arrays(
        cls,
        users: Any,
        items: Any,
        *,
        features: Mapping[str, Any] | None = None,
        item_ids: Any | None = None,
        split: Any | None = None,
        timestamps: Any | None = None,
        seed: int = 0,
        name: str = "arrays",
    ) -> MultimodalDataset:
        """From interactions in memory: lists, numpy, torch, pandas, polars or pyarrow, ids of any type.

        ``features``: {modality: array [I, D]}, rows aligned with ``item_ids``, which only items that are the integers
        0..I-1 can do without: row r is then item r's.
        ``split``: 0/1/2 or "train"/"validation"/"test" per row; None splits 8:1:1 per user, by time given
        ``timestamps``, else by ``seed``. Raises DataError for nulls, lengths that differ, or an empty split.
        """
        parts = parts_from_arrays(
            users,
            items,
            features={} if features is None else features,
            item_ids=item_ids,
            split=split,
            timestamps=timestamps,
            seed=seed,
            name=name,
        )
        return cls.from_parts(parts)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        user: str = "user",
        item: str = "item",
        split: str | None = None,
        timestamp: str | None = None,
        features: Mapping[str, Any] | None = None,
        item_ids: Any | None = None,
        seed: int = 0,
        name: str = "frame",
    ) -> MultimodalDataset:
        """As :meth:`from_arrays`, from the named columns of a pandas or polars frame, a pyarrow table or a dict."""
        named = frame if isinstance(frame, Mapping) else getattr(frame, "column_names", getattr(frame, "columns", ()))
        columns = [str(column) for column in named]
        for column in (user, item, split, timestamp):
            if column is not None and column not in columns:
                raise DataError(
                    f"no column {column!r}", where=name, fix=f"the frame has {', '.join(columns) or 'no columns'}"
                )
        return cls.from_arrays(
            frame[user],
            frame[item],
            features=features,
            item_ids=item_ids,
            split=None if split is None else frame[split],
            timestamps=None if timestamp is None else frame[timestamp],
            seed=seed,
            name=name,
        )

    def replace(self, **changes: Any) -> MultimodalDataset:
        """A copy with some fields changed; tensors and features are shared, the fingerprint is its own."""
        return dataclasses.replace(self, **changes)

    def fingerprint(self) -> str:
        """Hex digest (BLAKE2b, 256 bits) of ids, splits and features; the same whatever the name, path or findings."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        contents = {name: (part.values, part.missing) for name, part in self.features.items()}
        pairs = {name: (part.users, part.items) for name, part in self.splits()}
        if len(self.left_out):
            pairs["left out"] = (self.left_out.users, self.left_out.items)
        if self.train.weights is not None:
            pairs["weights"] = (self.train.weights,) * 2
        return hash_of((self.user_ids, self.item_ids), pairs, contents)

    def user_indices(self, ids: Any) -> np.ndarray:
        """Internal index of each original user id, int64, -1 where unknown; the text "12" finds the number 12."""
        return find_ids(to_arrow(ids, what="user ids"), self.user_ids)

    def item_indices(self, ids: Any) -> np.ndarray:
        """Internal index of each original item id, int64, -1 where unknown."""
        return find_ids(to_arrow(ids, what="item ids"), self.item_ids)

    def pairs_of(self, table: pa.Table) -> Interactions:
        """The internal indices of a table's columns "user" and "item", -1 where unknown."""
        return Interactions.from_numpy(self.user_indices(table["user"]), self.item_indices(table["item"]))

    def describe(self) -> dict[str, Any]:
        """Sizes, sparsity, splits, users and items without training, width and missing rows by modality."""
        counts = {split: len(interactions) for split, interactions in self.splits()}
        total = sum(counts.values())
        cells = self.num_users * self.num_items
        trained_users = torch.bincount(self.train.users, minlength=self.num_users).gt(0).sum()
        trained_items = torch.bincount(self.train.items, minlength=self.num_items).gt(0).sum()
        return {
            "name": self.name,
            "observations": total,
            "users": self.num_users,
            "items": self.num_items,
            "sparsity": 1.0 - total / cells if cells else 1.0,
            "splits": counts,
            "users_without_training": self.num_users - int(trained_users),
            "items_without_training": self.num_items - int(trained_items),
            "modalities": {
                name: {"dim": part.dim, "missing": part.num_missing} for name, part in self.features.items()
            },
        }
