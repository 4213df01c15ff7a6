"""What a data set in memory is made from: lists, arrays, tensors and frames, each checked and told what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from damrs_dgl.data.builder import FeatureTable, distinct_ids, parts_from_ids
from damrs_dgl.data.columns import encode_ids, to_numbers
from damrs_dgl.data.content import as_features
from damrs_dgl.data.modality_names import check_modality_name
from damrs_dgl.data.parts import DatasetParts, Finding
from damrs_dgl.data.splits import split_labels
from damrs_dgl.errors import DataError


def parts_from_arrays(
    users: Any,
    items: Any,
    *,
    features: Mapping[str, Any],
    item_ids: Any | None,
    split: Any | None,
    timestamps: Any | None,
    seed: int,
    name: str,
) -> DatasetParts:
    """What ``MultimodalDataset.from_arrays`` does; see there."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not -(2**63) <= seed < 2**63:
        raise DataError(f"seed = {seed!r}", where=name, fix="give a whole number of at most 64 bits")
    count = _length(users, "users", name)
    _length(items, "items", name)
    if not isinstance(features, Mapping):
        raise DataError(
            f"features are a {type(features).__name__}, not a dict {{modality: array}}",
            where=name,
            fix='write features={"visual": array}',
        )
    catalogue = None
    if item_ids is not None:
        catalogue = distinct_ids(item_ids, "item ids", f"{name}: item_ids")
    elif features:
        catalogue = encode_ids(items, what="item ids", where=name)[1]
    tables, findings = _tables_of_arrays(features, catalogue, name, has_ids=item_ids is not None)
    for what, column in (("split", split), ("timestamps", timestamps)):
        if column is not None and (length := _length(column, what, name)) != count:
            raise DataError(f"{length:,} values of {what} for {count:,} interactions", where=name)
    return parts_from_ids(
        users,
        items,
        name=name,
        where=name,
        labels=None if split is None else split_labels(split, where=f"{name}: split"),
        timestamps=None if timestamps is None else to_numbers(timestamps, what="timestamps", where=name),
        catalogue=catalogue,
        features=tables,
        seed=int(seed),
        findings=findings,
    )


def _tables_of_arrays(
    features: Mapping[str, Any], catalogue: pa.Array | None, name: str, *, has_ids: bool
) -> tuple[dict[str, FeatureTable], list[Finding]]:
    """Feature rows that stand in the order of the catalogue; `has_ids`: the caller gave that order."""
    tables: dict[str, FeatureTable] = {}
    findings: list[Finding] = []
    for modality, values in features.items():
        check_modality_name(modality)
        where, fix = f"{name}: {modality}", "give item_ids, one per feature row"
        content, notes = as_features(_in_order(values, catalogue, where), where=where)
        if catalogue is None or len(content) != len(catalogue):
            items = 0 if catalogue is None else len(catalogue)
            raise DataError(f"{len(content):,} feature rows for {items:,} items", where=where, fix=fix)
        if not has_ids and not _are_row_numbers(catalogue):  # their order need not be the caller's: s10 before s2
            found = f"the items ({catalogue[0]}, ...) are not the row numbers 0 to {len(content) - 1:,}"
            raise DataError(f"which row is whose is not known: {found}", where=where, fix=fix)
        tables[modality] = FeatureTable(content, catalogue, where)
        findings.extend(notes)
    return tables, findings


def _in_order(values: Any, catalogue: pa.Array | None, where: str) -> Any:
    """A pandas frame whose index holds the items' ids as text, in the items' order; anything else as it is.

    Numbers in an index are left alone: they may as well be those of the rows. Raises DataError for an index that holds
    most of the ids, and not all of them once.
    """
    index: Any = getattr(values, "index", None)
    if catalogue is None or not hasattr(values, "reindex") or getattr(index, "nlevels", 0) != 1:
        return values
    ids = catalogue.to_pylist()
    if index.dtype.kind in "iufMmb" or len(ids) != len(index) or 2 * index.isin(ids).sum() <= len(ids):
        return values
    if not (index.is_unique and index.isin(ids).all()):
        odd = index[(~index.isin(ids)) | index.duplicated()][0]
        what = f"the index of its rows holds {odd!r}, which is no item, or twice"
        raise DataError(what, where=where, fix="give rows in the order of item_ids, or an index of them")
    return values.reindex(ids)


def _length(column: Any, what: str, where: str) -> int:
    try:
        return len(column)
    except TypeError:  # None, a number, a generator
        found = f"{what} of type {type(column).__name__}, expected one value for each row"
        raise DataError(found, where=where, fix="give a list, an array or a column of a frame") from None


def _are_row_numbers(ids: pa.Array) -> bool:
    """Whether distinct ascending ids are the integers 0..n-1."""
    return bool(ids.equals(pa.array(np.arange(len(ids)))))
