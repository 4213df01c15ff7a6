"""Columns from anywhere (lists, numpy, torch, pandas, polars, pyarrow) as Arrow arrays, and the ids in them."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from damrs_dgl.errors import DataError

_UNREADABLE = (pa.ArrowException, TypeError, ValueError, OverflowError)  # of a whole number beyond 64 bits


def to_arrow(values: Any, *, what: str, where: str | None = None) -> pa.Array:
    """One column as one Arrow array, whatever library it comes from; none of them is imported for it.

    Raises DataError where the values cannot be one column (mixed types, more than one dimension).
    """
    try:
        column = _convert(values)
    except _UNREADABLE as error:
        raise DataError(f"{what} cannot be read as one column ({first_line(error)})", where=where) from error
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def encode_ids(
    values: Any, *, what: str, where: str | None = None, rows: np.ndarray | None = None
) -> tuple[np.ndarray, pa.Array]:
    """An id column as (codes int64 [n], the distinct ids ascending); ids become int64, or text if not numbers.

    Raises DataError for a null or empty id, naming how many and the first row, and for ids neither whole numbers nor
    text. ``rows``: which rows of their table the values are, for the errors; None: all.
    """
    try:
        column = _convert(values)
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.unify_dictionaries().combine_chunks()
    except _UNREADABLE as error:
        raise DataError(f"{what} cannot be read as one column ({first_line(error)})", where=where) from error
    if len(encoded) == 0:
        return np.empty(0, dtype=np.int64), pa.array([], pa.int64())
    codes = pc.fill_null(encoded.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False).copy()
    known = encoded.dictionary
    empty = pc.is_null(known, nan_is_null=True).to_numpy(zero_copy_only=False)
    codes[np.append(empty, True)[codes]] = -1
    _refuse(codes < 0, f"null {what}", where, rows)
    used = np.bincount(codes, minlength=len(known)) > 0  # a pandas Categorical may list values that do not occur
    ids = _normalise(known.filter(pa.array(used)), what, where)
    order = pc.sort_indices(ids).to_numpy(zero_copy_only=False)
    rank = np.empty(len(ids), dtype=np.int64)
    rank[order] = np.arange(len(ids))
    position = np.full(len(known), -1, dtype=np.int64)
    position[used] = rank
    codes = position[codes]
    blank = _blank(ids)
    if blank.any():
        _refuse(blank[order][codes], f"empty {what}", where, rows)
    return codes, ids.take(pa.array(order))


def differ_in_spaces(ids: pa.Array) -> list[str]:
    """Of distinct ids those, as text, that become equal to another without the spaces around them, such as "c1 "."""
    if not is_text(ids.type):
        return []
    plain = pc.utf8_trim_whitespace(ids)
    spaced = ids.filter(pc.not_equal(ids, plain))
    if len(spaced) == 0:
        return []
    counts = pc.value_counts(plain)
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    return spaced.filter(pc.is_in(pc.utf8_trim_whitespace(spaced), value_set=repeated)).to_pylist()


def find_ids(wanted: pa.Array, known: pa.Array) -> np.ndarray:
    """Position of each wanted id among the known ones, int64, -1 where unknown or null.

    Ids of different types are compared as text, so "12" finds 12 (a command line hands over text).
    """
    if len(wanted) == 0 or len(known) == 0:
        return np.full(len(wanted), -1, dtype=np.int64)
    if wanted.type != known.type:
        wanted, known = wanted.cast(pa.string()), known.cast(pa.string())
    positions = pc.index_in(wanted, value_set=known, skip_nulls=True)
    return pc.fill_null(positions, -1).to_numpy(zero_copy_only=False).astype(np.int64)


def to_numbers(
    values: Any, *, what: str, where: str | None = None, dates: bool = True, rows: np.ndarray | None = None
) -> np.ndarray:
    """A column of numbers, or with ``dates`` of dates, as int64 or float64; dates count from 1970.

    Text is read as numbers where all of it are numbers. Raises DataError for nulls, infinity, and other types.
    ``rows``: which rows of their table the values are, for the errors; None: all.
    """
    column = to_arrow(values, what=what, where=where)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kinds = "neither numbers nor dates" if dates else "not numbers"
    fix = "write numbers or ISO dates" if dates else "write numbers"
    try:
        if is_text(column.type):
            parsed = _parsed(column, dates)
            if parsed is None:
                raise DataError(f"{what} {_why_unread(column, dates, kinds, rows)}", where=where, fix=fix)
            column = parsed
        if pa.types.is_temporal(column.type) and not dates:
            raise DataError(f"{what} is {kinds} but {column.type}", where=where, fix=fix)
        if pa.types.is_date(column.type):
            column = column.cast(pa.timestamp("ms"))
        if pa.types.is_temporal(column.type):
            column = column.cast(pa.int64())
        real = pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)
        column = column.cast(pa.float64() if real else pa.int64())
    except pa.ArrowException as error:
        raise DataError(f"{what} is {kinds} ({first_line(error)[:300]})", where=where, fix=fix) from error
    empty = pc.is_null(column, nan_is_null=True).to_numpy(zero_copy_only=False)
    _refuse(empty, f"null values of {what}", where, rows)
    numbers = column.to_numpy(zero_copy_only=False)
    _refuse(np.isinf(numbers), f"infinite values of {what}", where, rows)
    return numbers


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _parsed(text: pa.Array, dates: bool) -> pa.Array | None:
    """Text as whole numbers, else as numbers, else with ``dates`` as times; the first way that all of it allows."""
    for kind, form in ((pa.int64(), r"^-?[0-9]+$"), (pa.float64(), r"^[-+.0-9eEinfatyINFATY]+$")):
        matching = pc.match_substring_regex(text, form)  # Arrow by itself would read 0x10 as 16
        if pc.all(matching, min_count=0).as_py():
            with contextlib.suppress(pa.ArrowInvalid):
                return text.cast(kind)
    for time in (pa.timestamp("us"), pa.timestamp("us", "UTC")) if dates else ():  # without a zone, with one
        with contextlib.suppress(pa.ArrowInvalid):
            text.drop_null().slice(0, 1).cast(time)  # one error soon, where Arrow would make one of every value
            return text.cast(time)
    return None


def _why_unread(text: pa.Array, dates: bool, kinds: str, rows: np.ndarray | None) -> str:
    """Names the first value of a text that `_parsed` cannot read which is not of the kind of those before it."""
    present = text.drop_null()
    place, end = 0, len(present)  # the values before `place` can be read, those before `end` cannot
    while end - place > 1:
        middle = (place + end) // 2
        some = pa.concat_arrays([present.slice(0, 1), present.slice(place, middle - place)])  # the first sets the kind
        place, end = (place, middle) if _parsed(some, dates) is None else (middle, end)
    row = row_number(int(np.flatnonzero(text.is_valid().to_numpy(zero_copy_only=False))[place]), rows)
    by_itself = _parsed(present.slice(place, 1), dates) is not None
    found = "is neither all numbers nor all dates of one form" if by_itself else f"is {kinds}"
    return f"{found} ({repr(present[place].as_py())[:60]} in row {row:,})"


def first_line(error: Exception) -> str:
    """The first line of another library's message, which may be long."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _convert(values: Any) -> pa.Array | pa.ChunkedArray:
    column = _as_arrow(values)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    views = {
        "string_view": pa.large_string(),
        "binary_view": pa.large_binary(),
    }  # of polars; Arrow computes little on them
    return column.cast(views[str(kind)]) if str(kind) in views else column


def _as_arrow(values: Any) -> pa.Array | pa.ChunkedArray:
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if hasattr(values, "to_arrow"):  # polars
        return values.to_arrow()
    if isinstance(values, (list, tuple, range)):
        return pa.array(values)
    if hasattr(values, "to_numpy"):  # pandas: from_pandas reads its NaN and None as null
        return pa.array(values.to_numpy(), from_pandas=True)
    if hasattr(values, "__arrow_c_stream__"):
        return pa.chunked_array(values)
    array = np.asarray(values)  # numpy, torch
    if array.ndim != 1:
        raise ValueError(f"{array.ndim} dimensions, expected 1")
    return pa.array(array, from_pandas=True)


def _refuse(values: np.ndarray, what: str, where: str | None, rows: np.ndarray | None) -> None:
    """DataError that counts the values of a mask and names the row of the first."""
    wrong = np.flatnonzero(values)
    if len(wrong):
        row = row_number(int(wrong[0]), rows)
        raise DataError(f"{len(wrong):,} {what}, the first in row {row:,}", where=where, fix="fill or drop those rows")


def row_number(place: int, rows: np.ndarray | None) -> int:
    """What errors call the row of a value: rows of values count from 1, and the header of a file is none."""
    return 1 + (place if rows is None else int(rows[place]))


def _blank(ids: pa.Array) -> np.ndarray:
    """Which ids are text without a sign in it but spaces; bool [n]."""
    if not is_text(ids.type):
        return np.zeros(len(ids), dtype=bool)
    return pc.equal(pc.utf8_trim_whitespace(ids), "").to_numpy(zero_copy_only=False)


def _normalise(ids: pa.Array, what: str, where: str | None) -> pa.Array:
    """Distinct ids as int64 or text."""
    try:
        if pa.types.is_integer(ids.type) or pa.types.is_floating(ids.type):
            return ids.cast(pa.int64())
        return ids.cast(pa.string())
    except pa.ArrowException as error:
        raise DataError(
            f"{what} of type {ids.type} cannot be ids ({first_line(error)})",
            where=where,
            fix="use whole numbers or text",
        ) from error
