"""From columns of original ids to a data set's parts: ids to indices, k-core, splits, features in the items' order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from damrs_dgl.data.cleaning import Splits, clean_splits, first_occurrences, unique_rows
from damrs_dgl.data.columns import differ_in_spaces, encode_ids, find_ids
from damrs_dgl.data.parts import DatasetParts, Finding, Interactions, ModalityFeatures, no_interactions
from damrs_dgl.data.splits import k_core as k_core_rows
from damrs_dgl.data.splits import ratio_split
from damrs_dgl.errors import DataError


@dataclass(frozen=True)
class FeatureTable:
    """One modality as it was supplied: ``content`` row r belongs to the item ``ids[r]``; ids are distinct."""

    content: ModalityFeatures
    ids: pa.Array
    where: str


def parts_from_ids(
    users: Any,
    items: Any,
    *,
    name: str,
    where: str,
    liked: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    timestamps: np.ndarray | None = None,
    catalogue: pa.Array | None = None,
    features: Mapping[str, FeatureTable] | None = None,
    k_core: int = 0,
    seed: int = 0,
    findings: Sequence[Finding] = (),
) -> DatasetParts:
    """The one way from original ids to a data set (``MultimodalDataset.from_parts``).

    Internal ids are the ascending order of the original ones, except that ``catalogue``, where given, is the item list
    in its own order. Items that only the features know are kept as items without interactions; items that the k-core
    dropped are left out. ``labels`` None splits 8:1:1 per user (:func:`~damrs_dgl.data.splits.ratio_split`).
    ``liked``: bool [n], the rows that are interactions, None: all; of the others it is kept who knows what
    (``left_out``). ``labels`` and ``timestamps`` are those of the liked rows.
    """
    if len(users) != len(items):
        raise DataError(f"{len(users):,} users for {len(items):,} items", where=where, fix="give one of each per row")
    every_user = user_codes, user_ids = encode_ids(users, what="user ids", where=where)
    every_item = item_codes, item_ids = encode_ids(items, what="item ids", where=where)
    if len(user_codes) == 0:
        raise DataError("no interactions", where=where, fix="check the file and the filters")
    if liked is not None:
        user_codes, user_ids = _compact(user_codes[liked], user_ids)
        item_codes, item_ids = _compact(item_codes[liked], item_ids)
    known_ids = {"user_ids": user_ids, "item_ids": item_ids}
    rows, more = _kept_rows(user_codes, item_codes, labels, timestamps, **known_ids, k_core=k_core, where=where)
    notes = [*findings, *more]
    kept = np.bincount(item_codes[rows], minlength=len(item_ids)) > 0
    dropped = item_ids.filter(pa.array(~kept))
    user_codes, user_ids = _compact(user_codes[rows], user_ids)
    item_codes, item_ids = _compact(item_codes[rows], item_ids)
    all_items = _item_universe(item_ids, dropped, catalogue, features or {}, where)
    item_codes = _places(item_codes, item_ids, all_items)
    if labels is None:
        times = None if timestamps is None else timestamps[rows]
        split = ratio_split(user_codes, item_codes, timestamps=times, seed=seed)
        if not split.any():
            what = f"no user has the three interactions that it takes to hold one out, of {len(rows):,} in all"
            raise DataError(what, where=where, fix="give more interactions, or a column `split`")
    else:
        split = labels[rows]
    clean = clean_splits(user_codes, item_codes, split, user_ids=user_ids, item_ids=all_items, where=where)
    left_out = no_interactions()
    if liked is not None:
        known = (_places(*every_user, user_ids)[~liked], _places(*every_item, all_items)[~liked])
        left_out = _in_no_split(*known, clean, len(all_items))
    aligned, more = _align_all(features or {}, all_items)
    notes += [*_nearly_equal(user_ids, "user", where), *_nearly_equal(all_items, "item", where), *more]
    splits = (clean.train, clean.validation, clean.test)
    return DatasetParts(name, user_ids, all_items, *splits, aligned, (*notes, *clean.findings), left_out)


def feature_table(content: ModalityFeatures, ids: Any, *, where: str, ids_where: str | None = None) -> FeatureTable:
    """Pair feature rows with their ids; DataError for no rows, other numbers of them, or an id that comes twice."""
    if len(content) == 0:
        raise DataError("it holds no rows", where=where, fix="give a row for each item, or leave the modality out")
    return FeatureTable(content, distinct_ids(ids, "feature ids", ids_where or where, rows=len(content)), where)


def distinct_ids(ids: Any, what: str, where: str, *, rows: int | None = None) -> pa.Array:
    """Ids in their own order; DataError where one comes twice, or where they are not as many as the feature rows."""
    codes, distinct = encode_ids(ids, what=what, where=where)
    if rows is not None and len(codes) != rows:
        raise DataError(f"{len(codes):,} ids for {rows:,} feature rows", where=where, fix="give one id per row")
    _refuse_repeats(codes, distinct, where)
    return distinct.take(pa.array(codes))


def _refuse_repeats(codes: np.ndarray, distinct: pa.Array, where: str) -> None:
    if len(codes) > len(distinct):
        repeated = int(np.flatnonzero(np.bincount(codes) > 1)[0])
        raise DataError(
            f"{len(codes) - len(distinct):,} repeated item ids, the first {distinct[repeated]}",
            where=where,
            fix="keep one row per item",
        )


def _kept_rows(
    users: np.ndarray,
    items: np.ndarray,
    labels: np.ndarray | None,
    timestamps: np.ndarray | None,
    *,
    user_ids: pa.Array,
    item_ids: pa.Array,
    k_core: int,
    where: str,
) -> tuple[np.ndarray, list[Finding]]:
    """Each pair once where no split is given, and the k-core of these; all rows of a given split without a k-core."""
    rows, notes = np.arange(len(users)), []
    if labels is None:
        rows = first_occurrences(users, items, len(item_ids), timestamps)
        if len(rows) < len(users):
            notes = [Finding("duplicate interactions", len(users) - len(rows), where, "kept once")]
    elif k_core > 1:  # while a pair that is in two splits can be seen
        rows, notes = unique_rows(users, items, labels, user_ids=user_ids, item_ids=item_ids, where=where)
    if k_core > 1:
        rows, note = _reduce_to_core(rows, users, items, k=k_core, where=where)
        notes = [*notes, *note]
    return rows, notes


def _reduce_to_core(
    rows: np.ndarray, users: np.ndarray, items: np.ndarray, *, k: int, where: str
) -> tuple[np.ndarray, list[Finding]]:
    """Those of the rows, each pair once, that are in the k-core."""
    core = rows[k_core_rows(users[rows], items[rows], k)]
    if len(core) == 0:
        raise DataError(
            f"nothing is left of {len(rows):,} interactions in the {k}-core", where=where, fix="lower k_core"
        )
    if len(core) == len(rows):
        return core, []
    return core, [Finding(f"interactions outside the {k}-core", len(rows) - len(core), where, "left out")]


def _compact(codes: np.ndarray, ids: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Renumber so that every id occurs; the order stays."""
    used = np.bincount(codes, minlength=len(ids)) > 0
    if used.all():
        return codes, ids
    return (np.cumsum(used) - 1)[codes], ids.filter(pa.array(used))


def _places(codes: np.ndarray, ids: pa.Array, among: pa.Array) -> np.ndarray:
    """Where the ids that codes stand for are among others, -1: nowhere."""
    return find_ids(ids, among)[codes]


def _in_no_split(users: np.ndarray, items: np.ndarray, clean: Splits, num_items: int) -> Interactions:
    """The distinct pairs, ascending, that are in no split; those with an unknown user or item (-1) are ignored."""
    inside = (users >= 0) & (items >= 0)
    keys = Interactions.from_numpy(users[inside], items[inside]).keys(num_items).numpy()
    for part in (clean.train, clean.validation, clean.test):
        keys = np.setdiff1d(keys, part.keys(num_items).numpy())
    return Interactions.from_numpy(*np.divmod(keys, num_items))


def _item_universe(
    item_ids: pa.Array,
    dropped: pa.Array,
    catalogue: pa.Array | None,
    features: Mapping[str, FeatureTable],
    where: str,
) -> pa.Array:
    """All items: the catalogue, or those with interactions or features, ascending."""
    if catalogue is not None:
        unknown = np.flatnonzero(find_ids(item_ids, catalogue) < 0)
        if len(unknown):
            raise DataError(
                f"{len(unknown):,} items with interactions are not in item_ids, the first {item_ids[int(unknown[0])]}",
                where=where,
                fix="add them to item_ids",
            )
        return catalogue
    parts = [item_ids]
    for table in features.values():
        if not (find_ids(item_ids, table.ids) >= 0).any():
            raise DataError(
                f"none of its {len(table.ids):,} ids ({table.ids.type}, such as {table.ids[0]!s}) "
                f"is an item of the interactions ({item_ids.type}, such as {item_ids[0]!s})",
                where=table.where,
                fix="use the same item ids in both",
            )
        parts.append(table.ids.filter(pa.array(find_ids(table.ids, dropped) < 0)))
    if len({part.type for part in parts}) > 1:
        parts = [part.cast(pa.string()) for part in parts]
    return encode_ids(pa.chunked_array(parts), what="item ids", where=where)[1]


def _nearly_equal(ids: pa.Array, what: str, where: str) -> list[Finding]:
    """Ids that are written twice, once with spaces around them: perhaps two, perhaps one."""
    spaced = differ_in_spaces(ids)
    if not spaced:
        return []
    kind = f"{what} ids that differ from others in spaces alone, such as {spaced[0]!r}"
    return [Finding(kind, len(spaced), where, "kept apart")]


def _align_all(
    features: Mapping[str, FeatureTable], item_ids: pa.Array
) -> tuple[dict[str, ModalityFeatures], list[Finding]]:
    """Every modality's rows in the items' order, and what was missing."""
    found = {modality: _align(table, item_ids) for modality, table in features.items()}
    notes = [note for _, more in found.values() for note in more]
    return {modality: content for modality, (content, _) in found.items()}, notes


def _align(table: FeatureTable, item_ids: pa.Array) -> tuple[ModalityFeatures, list[Finding]]:
    """Rows in the items' order; no copy where they stand in it already, as sorted feature files do."""
    rows = find_ids(item_ids, table.ids)
    content = table.content
    if len(rows) == len(content) and np.array_equal(rows, np.arange(len(rows))):
        return content, []
    absent = rows < 0
    values = content.values[np.where(absent, 0, rows)]
    values[absent] = 0
    aligned = ModalityFeatures(values, absent | content.missing[rows])
    if not absent.any():
        return aligned, []
    return aligned, [Finding("items without a feature row", int(absent.sum()), table.where, "treated as missing")]
