"""MMSSL's layout: train.json, val.json, test.json, each {"user": [items]}, beside *_feat.npy with row = item id."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from damrs_dgl.data.columns import first_line
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.formats.files import require_file
from damrs_dgl.data.formats.integer_ids import features_by_item, integer_dataset
from damrs_dgl.data.formats.keys import FORMAT, FolderKeys
from damrs_dgl.data.modality_names import ModalityName
from damrs_dgl.errors import DataError
from damrs_dgl.settings import Name

FILES = ("train.json", "val.json", "test.json")


class MMSSLData(FolderKeys):
    """MMSSL's layout: train.json, val.json and test.json, one .npy per modality whose row is the item's number."""

    format: Literal["mmssl"] = Field(default="mmssl", description=FORMAT)
    modalities: dict[ModalityName, Name] = Field(default_factory=dict, description="Modality name = feature file")

    def read(self) -> MultimodalDataset:
        return read_mmssl(self.folder(), **self.arguments())


def read_mmssl(
    path: str | Path, *, modalities: Mapping[str, str] | None = None, optional_modalities: bool = False
) -> MultimodalDataset:
    """Read a folder in MMSSL's layout; ids are kept as they are. Raises DataError for everything that does not fit."""
    folder, features, findings = features_by_item(path, modalities, optional_modalities)
    users, items, labels, num_users = [], [], [], 0
    for label, name in enumerate(FILES):
        split_users, split_items, highest = _read_json(require_file(folder / name))
        users.append(split_users)
        items.append(split_items)
        labels.append(np.full(len(split_users), label, dtype=np.int8))
        num_users = max(num_users, highest + 1)
    all_users = np.concatenate(users)
    return integer_dataset(
        folder.resolve().name,
        all_users,
        np.concatenate(items),
        np.concatenate(labels),
        features=features,
        findings=findings,
        where=str(folder),
        # a user whose lists are all empty counts, unless the number is far beyond the others and so no row number
        num_users=num_users if num_users <= 10 * len(np.unique(all_users)) + 1000 else 0,
    )


def _read_json(file: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Users and items of one split, int64 [n] each, and the highest user id, which may have no items."""
    try:
        lists = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_refuse_repeats)
    except _RepeatedKeyError as error:
        raise DataError(
            f"user {error.key[:60]!r} is there more than once", where=file, fix="keep one list per user"
        ) from error
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or an integer of thousands of digits
        raise DataError(f"not readable JSON ({first_line(error)[:300]})", where=file) from error
    if not isinstance(lists, dict):
        raise DataError(
            f"holds a {type(lists).__name__}, expected an object", where=file, fix='write {"user": [items]}'
        )
    for key, listed in lists.items():
        if not (key.isascii() and key.isdigit() and len(key) <= 18):
            raise DataError(f"user {key[:60]!r} is not a number from 0", where=file, fix='use format = "tables"')
        if not isinstance(listed, list):
            raise DataError(f"user {key[:60]!r} has {str(listed)[:60]!r}, expected a list of items", where=file)
    users = np.fromiter(map(int, lists), dtype=np.int64, count=len(lists))
    _refuse_equal_users(list(lists), users, file)
    lengths = np.fromiter(map(len, lists.values()), dtype=np.int64, count=len(lists))
    items = _as_integers(list(itertools.chain.from_iterable(lists.values())), file)
    return np.repeat(users, lengths), items, int(users.max(initial=-1))


def _refuse_equal_users(keys: list[str], users: np.ndarray, file: Path) -> None:
    """DataError for keys such as "7" and "007", which are one number."""
    if len(np.unique(users)) < len(users):
        written: dict[int, str] = {}
        for key, user in zip(keys, users.tolist(), strict=True):
            if user in written:
                raise DataError(
                    f"users {written[user]!r} and {key!r} are one number",
                    where=file,
                    fix='keep one list per user, or use format = "tables"',
                )
            written[user] = key


def _as_integers(values: list[Any], file: Path) -> np.ndarray:
    wrong = [value for value in values if type(value) is not int or not 0 <= value < 10**18]
    if wrong:
        raise DataError(
            f"{len(wrong):,} items are not numbers from 0, the first {str(wrong[0])[:60]!r}",
            where=file,
            fix='number items from 0, or use format = "tables"',
        )
    return np.array(values, dtype=np.int64)


class _RepeatedKeyError(Exception):
    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(key)


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON's own reader keeps the last of two equal keys without a word."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RepeatedKeyError(key)
            seen.add(key)
    return found
