"""One's own tables: interactions as CSV, TSV or Parquet with ids of any type; features as .npy with ids, or Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from damrs_dgl.data.builder import FeatureTable, feature_table, parts_from_ids
from damrs_dgl.data.columns import to_numbers
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.formats.columnar import read_columns, read_id_list
from damrs_dgl.data.formats.features import open_parquet
from damrs_dgl.data.formats.files import exists, is_pipe, require_file, require_folder
from damrs_dgl.data.formats.keys import FORMAT, FolderKeys
from damrs_dgl.data.formats.npy import open_npy
from damrs_dgl.data.modality_names import ModalityName
from damrs_dgl.data.parts import Finding
from damrs_dgl.data.splits import split_labels
from damrs_dgl.errors import DataError
from damrs_dgl.settings import Name, Section, Seed

FEATURE_KEYS = ("features", "ids", "id_column", "vector_column")


class FeatureFile(Section):
    """A modality's features with the items' own ids; a bare file name is short for ``{features = NAME}``."""

    features: Name = Field(description="File of the feature vectors, .npy or .parquet")
    ids: Name | None = Field(default=None, description="File of the item ids, one per row of the features")
    id_column: Name | None = Field(default=None, description="Column of the item ids")
    vector_column: Name | None = Field(default=None, description="Column of the vectors")

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"features": value} if isinstance(value, str) else value


class TablesData(FolderKeys):
    """Tables with the user's own ids: CSV or parquet, columns by name."""

    format: Literal["tables"] = Field(default="tables", description=FORMAT)
    interactions: Name = Field(
        default="interactions.csv", description="File of the interactions, .csv or .parquet; - is standard input"
    )
    user: Name = Field(default="user", description="Column of the user ids")
    item: Name = Field(default="item", description="Column of the item ids")
    timestamp: Name | None = Field(default=None, description="Column of the time; splits by time instead of by chance")
    rating: Name | None = Field(default=None, description="Column of the rating")
    rating_threshold: float | None = Field(
        default=None, description="Rows rated below this are left out; their users still know the items"
    )
    split: Name | None = Field(default=None, description="Column that says train, validation or test (0, 1, 2)")
    k_core: int = Field(
        default=0, ge=0, description="Keep users and items with at least this many interactions; 0: all"
    )
    seed: Seed = Field(default=0, description="Seed of a split by chance")
    modalities: dict[ModalityName, FeatureFile] = Field(
        default_factory=dict, description="Modality name = file, or {features, ids, id_column, vector_column}"
    )

    @property
    def reads_once(self) -> bool:
        return is_pipe(self.interactions)

    def read(self) -> MultimodalDataset:
        return read_tables(self.folder(), **self.arguments())


def read_tables(
    path: str | Path,
    *,
    interactions: str = "interactions.csv",
    user: str = "user",
    item: str = "item",
    timestamp: str | None = None,
    rating: str | None = None,
    rating_threshold: float | None = None,
    split: str | None = None,
    k_core: int = 0,
    seed: int = 0,
    modalities: Mapping[str, str | Mapping[str, str]] | None = None,
    optional_modalities: bool = False,
) -> MultimodalDataset:
    """Read a folder of tables; internal ids are the ascending order of the original ones.

    ``user``, ``item``, ``timestamp``, ``rating`` and ``split`` name columns. Rows rated below ``rating_threshold`` are
    left out (nothing learns from them, and no ranking shows them to their users), then what is outside the ``k_core``.
    ``split`` (0/1/2 or train/validation/test) is used as it is; without it each user is split 8:1:1, by time where
    ``timestamp`` is given, else by ``seed``.
    ``modalities``: {modality: file}, or {modality: {features, ids, id_column, vector_column}}. A .npy needs ``ids``, a
    file with one id per row; both that file and Parquet have the ids in their ``id_column`` (default: the name of the
    item column). Items that only the features know stay as items without interactions. ``interactions`` may be ``-``,
    a CSV or TSV on standard input.
    """
    folder = require_folder(path)
    file = Path(interactions) if is_pipe(interactions) else require_file(folder / interactions)
    if (rating is None) != (rating_threshold is None):
        given = "rating_threshold" if rating is None else "rating"
        raise DataError(f"{given} is given alone", where=file, fix="name both rating and rating_threshold, or neither")
    if user == item:
        raise DataError(f"user and item are both the column {user!r}", where=file, fix="name a column for each")
    table = read_columns(file, [user, item], [name for name in (timestamp, rating, split) if name is not None])
    findings: list[Finding] = []
    users, items = table[user], table[item]
    liked: np.ndarray | None = None
    rows: np.ndarray | None = None
    if rating is not None and rating_threshold is not None:
        liked, findings = _rated_enough(table[rating], rating, rating_threshold, file)
    if liked is not None:
        table, rows = table.filter(pa.array(liked)), np.flatnonzero(liked)
    features, notes = _open_features(folder, modalities or {}, item, items, optional_modalities)
    parts = parts_from_ids(
        users,
        items,
        name=folder.resolve().name,
        where=file.name,
        liked=liked,
        labels=None if split is None else split_labels(table[split], where=f"{file}: {split}", rows=rows),
        timestamps=None
        if timestamp is None
        else to_numbers(table[timestamp], what=timestamp, where=str(file), rows=rows),
        features=features,
        k_core=k_core,
        seed=seed,
        findings=[*findings, *notes],
    )
    return MultimodalDataset.from_parts(parts)


def _rated_enough(
    column: pa.ChunkedArray, rating: str, threshold: float, file: Path
) -> tuple[np.ndarray | None, list[Finding]]:
    """Which rows reach the threshold, None where all do, and what was left out."""
    ratings = to_numbers(column, what=rating, where=str(file), dates=False)
    liked = ratings >= threshold
    if len(liked) and not liked.any():
        raise DataError(
            f"none of {len(liked):,} ratings reaches {threshold:g}; the highest is {ratings.max():g}",
            where=f"{file}: {rating}",
            fix="lower rating_threshold",
        )
    if liked.all():
        return None, []
    action = "left out: nothing learns from them, and they are not recommended"
    return liked, [Finding(f"interactions rated below {threshold:g}", int((~liked).sum()), file.name, action)]


def _open_features(
    folder: Path,
    modalities: Mapping[str, str | Mapping[str, str]],
    item: str,
    known: pa.ChunkedArray,
    optional: bool,
) -> tuple[dict[str, FeatureTable], list[Finding]]:
    tables: dict[str, FeatureTable] = {}
    findings: list[Finding] = []
    for modality, given in modalities.items():
        keys = {"features": given} if isinstance(given, str) else dict(given)
        unknown = [key for key in keys if key not in FEATURE_KEYS]
        if unknown or "features" not in keys:
            wrong = f"unknown key {unknown[0]!r}" if unknown else "no key 'features'"
            raise DataError(f"{wrong} in modality {modality!r}", where=folder, fix=f"use {', '.join(FEATURE_KEYS)}")
        absent = [keys[key] for key in ("features", "ids") if key in keys and not exists(folder / keys[key])]
        if optional and absent:
            findings.append(Finding(f"absent feature file of {modality!r}", 1, absent[0], "modality left out"))
            continue
        tables[modality], notes = _open_one(folder, keys, item, known)
        findings.extend(notes)
    return tables, findings


def _open_one(
    folder: Path, keys: Mapping[str, str], item: str, known: pa.ChunkedArray
) -> tuple[FeatureTable, list[Finding]]:
    """One modality's vectors and ids; ``known``: the items of the interactions."""
    file = require_file(folder / keys["features"])
    if file.suffix == ".npy":
        if "ids" not in keys:
            raise DataError("a .npy has no item ids", where=file, fix='name a file that has them: ids = "ids.csv"')
        content, findings = open_npy(file)
        ids_file = require_file(folder / keys["ids"])
        ids = read_id_list(ids_file, keys.get("id_column"), item=item, known=known)
        return feature_table(content, ids, where=file.name, ids_where=ids_file.name), findings
    if file.suffix in (".parquet", ".pq"):
        if "ids" in keys:
            raise DataError("a Parquet file has its own ids", where=file, fix="name id_column instead of ids")
        content, ids, findings = open_parquet(
            file, id_column=keys.get("id_column", item), vector_column=keys.get("vector_column")
        )
        return feature_table(content, ids, where=file.name), findings
    raise DataError(
        f"features in a {file.suffix or 'nameless'} file", where=file, fix="give .npy with ids, or .parquet"
    )
