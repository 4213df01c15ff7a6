"""A file of user ids, whom to recommend for: Parquet, CSV, TSV, a line each, or standard input."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from damrs_dgl.data.columns import find_ids, first_line, to_arrow
from damrs_dgl.data.formats.files import is_pipe, read_pipe
from damrs_dgl.errors import DataError

HEADERS = ("user", "users", "user_id", "userid")  # names of the column, beside the data set's own


def read_ids(path: Path, names: Sequence[str] = (), users: pa.Array | None = None) -> pa.Array:
    """The user ids of a Parquet, CSV, TSV or plain text file, nulls and empty lines left out; `-`: standard input.

    They stand in the column that has one of `names` or of HEADERS, else in the first, of which no line is a header
    then. A text without such a column is read by whole lines where these are as many of the known `users` as its first
    column holds: an id may hold commas and quotes. Text is kept as it stands, so that "007" stays "007"; spaces around
    an id are left out where no user is called so. Raises DataError.
    """
    pipe = is_pipe(path)
    known = (*names, *HEADERS)
    try:
        if path.suffix in (".parquet", ".pq") and not pipe:
            column = _parquet_column(path, known)
        else:
            text = (read_pipe(path) if pipe else path.read_bytes()).decode("utf-8-sig")
            column = _text_ids(text, known, users)
    except (pa.ArrowException, csv.Error, OSError, ValueError) as error:
        raise DataError(
            f"cannot be read as a list of ids ({first_line(error)[:200]})",
            where=path,
            fix="one id a line, or a Parquet file",
        ) from error
    if not len(column):
        raise DataError("holds no ids", where=path, fix="write one user id a line")
    return column


def _parquet_column(path: Path, known: Sequence[str]) -> pa.Array:
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if not names:
            return pa.array([], pa.string())
        column = file.read(columns=[names[_column_of(names, known) or 0]]).column(0)
    column.validate(full=True)
    return to_arrow(column.drop_null(), what="user ids")


def _text_ids(text: str, known: Sequence[str], users: pa.Array | None) -> pa.Array:
    """The ids of a column, or the whole lines where these are of more `users`, or of as many and no column is named."""
    first = text.partition("\n")[0]
    delimiter = "\t" if "\t" in first else ","
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    named = _column_of(rows[0], known) if rows else None
    column = _texts((row[named or 0] for row in rows[named is not None :] if len(row) > (named or 0)), users)
    if users is None:
        return column
    lines = _texts((line.rstrip("\r") for line in text.split("\n")), users)
    by_column, by_line = (np.count_nonzero(find_ids(ids, users) >= 0) for ids in (column, lines))
    return lines if by_line > by_column or (named is None and by_line == by_column > 0) else column


def _texts(ids: Iterable[str], users: pa.Array | None) -> pa.Array:
    """The ids that are not empty, without spaces around them where none of `users` is called so."""
    found = [user for user in ids if user.strip()]
    plain = pa.array([user.strip() for user in found], pa.string())
    if users is None:
        return plain
    as_given = pa.array(found, pa.string())
    return pc.if_else(pa.array(find_ids(as_given, users) >= 0), as_given, plain)


def _column_of(header: Sequence[str], known: Sequence[str]) -> int | None:
    """Which column has a known name, None where none has; the first of `known` counts most."""
    lower = [name.strip().lower() for name in header]
    return next((lower.index(name.lower()) for name in known if name.lower() in lower), None)
