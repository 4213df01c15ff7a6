"""What the MMRec and MMSSL layouts share: ids are the integers 0..max themselves, and feature row = item id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from damrs_dgl.data.cleaning import clean_splits
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.formats.features import present_modalities
from damrs_dgl.data.formats.files import require_folder
from damrs_dgl.data.formats.npy import open_npy
from damrs_dgl.data.parts import Finding, ModalityFeatures
from damrs_dgl.errors import DataError


def features_by_item(
    path: str | Path, modalities: Mapping[str, str] | None, optional: bool
) -> tuple[Path, dict[str, ModalityFeatures], list[Finding]]:
    """The folder and its feature files, row = item id; DataError where two modalities differ in rows."""
    folder = require_folder(path)
    files, findings = present_modalities(folder, modalities or {}, optional)
    features: dict[str, ModalityFeatures] = {}
    for modality, file in files.items():
        features[modality], notes = open_npy(file)
        findings.extend(notes)
    rows = {modality: len(content) for modality, content in features.items()}
    if len(set(rows.values())) > 1:
        counts = ", ".join(f"{modality} {count:,}" for modality, count in rows.items())
        raise DataError(
            f"modalities have different row counts: {counts}", where=folder, fix="give each one row per item"
        )
    return folder, features, findings


def integer_dataset(
    name: str,
    users: np.ndarray,
    items: np.ndarray,
    labels: np.ndarray,
    *,
    features: Mapping[str, ModalityFeatures],
    findings: Sequence[Finding],
    where: str,
    num_users: int = 0,
) -> MultimodalDataset:
    """A data set whose internal and original ids are both 0..max; ``num_users`` is a lower bound on the users.

    Raises DataError for feature files with fewer rows than item ids, and for ids so sparse that they cannot be indices.
    """
    if len(users) == 0:
        raise DataError("no interactions", where=where, fix="check the file")
    num_users = max(_id_range(users, "user", where), num_users)
    rows = max((len(content) for content in features.values()), default=0)
    if features:
        _check_feature_rows(items, rows, features, where)
    num_items = rows if features else _id_range(items, "item", where)
    user_ids, item_ids = pa.array(np.arange(num_users)), pa.array(np.arange(num_items))
    clean = clean_splits(users, items, labels, user_ids=user_ids, item_ids=item_ids, where=where)
    notes = (*findings, *clean.findings)
    return MultimodalDataset(name, user_ids, item_ids, clean.train, clean.validation, clean.test, dict(features), notes)


def _id_range(ids: np.ndarray, what: str, where: str) -> int:
    """max + 1, unless the ids are plainly no indices."""
    size, distinct = int(ids.max()) + 1, len(np.unique(ids))
    if size > 10 * distinct + 1000:
        raise DataError(
            f"{what} ids reach {size - 1:,} and only {distinct:,} occur, so they are no row numbers",
            where=where,
            fix='read the file with format = "tables", which takes any ids',
        )
    return size


def _check_feature_rows(items: np.ndarray, rows: int, features: Mapping[str, ModalityFeatures], where: str) -> None:
    highest = int(items.max())
    if highest >= rows:
        beyond = np.unique(items[items >= rows])
        raise DataError(
            f"{len(beyond):,} item ids, the first {beyond[0]:,} and the last {highest:,}, are beyond the {rows:,} "
            f"feature rows of {', '.join(features)}",
            where=where,
            fix="give one feature row per item id",
        )
