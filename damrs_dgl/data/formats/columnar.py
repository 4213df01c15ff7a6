"""Named columns of CSV, TSV and Parquet files, ids as they are written ("007" stays "007")."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from damrs_dgl.data.columns import encode_ids, find_ids, first_line
from damrs_dgl.data.formats.files import is_pipe, read_pipe
from damrs_dgl.data.formats.pandas_index import without_index
from damrs_dgl.data.formats.text_table import TextTable, not_utf8
from damrs_dgl.errors import DataError

_SIGNS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t", ".inter": "\t"}
_PARQUET = (".parquet", ".pq")
_VALUE = re.compile(r"[-+]?[0-9.,]*[0-9]|[0-9]{4}-[0-9]{2}-[0-9]{2}.*")  # a number or a date
_ID = pa.dictionary(pa.int32(), pa.string())  # so that millions of rows cost a number each


def read_columns(file: Path, ids: list[str], others: list[str]) -> pa.Table:
    """The columns ``ids`` (dictionary-encoded text, or int64 where every value reads as one) and ``others`` of a table.

    The table may come through a pipe (``-``, /dev/stdin), as CSV or TSV. Raises DataError for another kind of file, a
    column that is missing or doubled, or text that does not parse.
    """
    wanted = list(dict.fromkeys([*ids, *others]))
    if file.suffix in _PARQUET and not is_pipe(file):
        return read_parquet(file, wanted)
    source = _text_table(file)
    _check_header(source, wanted)
    table = _read_text(source, ids, others)
    for name in ids:
        table = table.set_column(table.schema.get_field_index(name), name, _numbers_if_all(table[name]))
    return table


def read_parquet(file: Path, wanted: list[str]) -> pa.Table:
    """Columns of a Parquet file. Raises DataError for a damaged one, a missing column, text that is not UTF-8."""
    with readable_parquet(file):
        _check_names(pq.read_schema(file).names, wanted, file)
        table = pq.read_table(file, columns=wanted)
        for column in table.columns:
            column.validate(full=True)
    return table


@contextmanager
def readable_parquet(file: Path) -> Iterator[None]:
    """Whatever pyarrow raises of a Parquet file as DataError; one of our own passes."""
    try:
        yield
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"not a readable Parquet file ({first_line(error)[:300]})", where=file) from error


def read_id_list(file: Path, column: str | None, *, item: str, known: pa.ChunkedArray) -> pa.ChunkedArray:
    """The ids of feature rows: the column named, else the one called ``item``, else the only one.

    A text of one column has a header where its first line is that name, and else none. As a header of another name
    would be taken for an id, and with one id too few every vector would move to another item, a first line that is no
    item of the interactions (``known``), while others are, is a DataError.
    """
    parquet = file.suffix in _PARQUET
    names = _parquet_names(file) if parquet else _text_table(file).header()
    name = column if column is not None else item if item in names else None
    if name is None and len(names) != 1:
        own = without_index(names)
        if len(own) != 1:
            shown = ", ".join(names)[:120]
            raise DataError(f"{len(names)} columns ({shown})", where=file, fix="name one as id_column")
        name = own[0]
    if parquet:
        name = names[0] if name is None else name
        return read_parquet(file, [name])[name]
    source = _text_table(file)
    if name is not None:
        _check_header(source, [name])
        return _numbers_if_all(_without_empty_end(_read_text(source, [name], [], empty_lines=len(names) == 1)[name]))
    table = _read_text(source, ["id"], [], names=["id"], empty_lines=True)
    ids = _numbers_if_all(_without_empty_end(table["id"]))
    _refuse_header(ids, known, item, file)
    return ids


def _refuse_header(ids: pa.ChunkedArray, known: pa.ChunkedArray, item: str, file: Path) -> None:
    """DataError where the first id may be the name of the column."""
    items = encode_ids(known, what="item ids")[1]
    _, distinct = encode_ids(ids.drop_null(), what="feature ids", where=str(file))
    first = ids[0].as_py() if len(ids) else None
    if first is None or find_ids(pa.array([first]), items)[0] >= 0 or (find_ids(distinct, items) < 0).all():
        return
    raise DataError(
        f"the first line, {str(first)[:60]!r}, is neither the column's name {item!r} nor an item of the interactions",
        where=file,
        fix=f"write id_column = {str(first)[:60]!r} if it is a header, and the line {item} before it if it is an id",
    )


def _without_empty_end(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without the empty lines that a file ends with; those between ids are ids that are missing."""
    present = np.flatnonzero(ids.is_valid().to_numpy())
    return ids.slice(0, int(present[-1]) + 1 if len(present) else 0)


def _text_table(file: Path) -> TextTable:
    if is_pipe(file):
        content = read_pipe(file, keep=True)
        first = content[: 1 << 16].partition(b"\n")[0]
        if first.startswith(b"PAR1"):
            raise DataError("Parquet through a pipe", where=file, fix="name the file itself, or send CSV")
        return TextTable(file, "\t" if b"\t" in first else ",", content=content)
    if file.suffix not in _DELIMITERS:
        known = ", ".join((*_DELIMITERS, *_PARQUET))
        raise DataError(f"a table in a {file.suffix or 'nameless'} file", where=file, fix=f"give one of {known}")
    return TextTable(file, _DELIMITERS[file.suffix])


def _parquet_names(file: Path) -> list[str]:
    with readable_parquet(file):
        return list(pq.read_schema(file).names)


def _check_header(source: TextTable, wanted: list[str]) -> None:
    names = source.header()
    _check_names(names, wanted, source.file, hint=_why_missing(names, wanted, source.delimiter))


def _why_missing(names: list[str], wanted: list[str], delimiter: str) -> str:
    """What is the matter with a text that lacks a column, as far as its first line tells, and the cure."""
    if any("\ufffd" in name for name in names):
        return ", and is not UTF-8 text: save it as UTF-8"
    if not names:
        return ", as its first line is empty: begin with the columns' names"
    if len(names) == 1:
        sign = max((sign for sign in _SIGNS if sign != delimiter), key=names[0].count)
        if sign in names[0]:
            suffix = next((suffix for suffix in (".csv", ".tsv") if _DELIMITERS[suffix] == sign), None)
            cure = f"name it {suffix}" if suffix else f"save it with {_SIGNS[delimiter]}"
            return f", and seems to be separated by {_SIGNS[sign]}: {cure}"
    values = any(_VALUE.fullmatch(name) for name in names) or all(re.search("[0-9]", name) for name in names)
    if values and not set(names) & set(wanted):
        return ", which seems to be data: write a line with the columns' names before it"
    return ""


def _check_names(names: list[str], wanted: list[str], file: Path, *, hint: str = "") -> None:
    for name in wanted:
        if name not in names:
            found = ", ".join(names)[:160] or "nothing"
            raise DataError(f"no column {name!r}", where=file, fix=f"it has {found}{hint}")
        if names.count(name) > 1:
            raise DataError(f"column {name!r} is there {names.count(name)} times", where=file, fix="keep one")


def _read_text(
    source: TextTable,
    ids: list[str],
    others: list[str],
    *,
    names: list[str] | None = None,
    empty_lines: bool = False,
) -> pa.Table:
    """Ids dictionary-encoded; ``others`` as Arrow infers them, or as text where it would be wrong about them.

    Arrow infers a type from the first block, which a later value may not have, and takes 0x10 for 16.
    """
    wanted = list(dict.fromkeys([*ids, *others]))
    typed = dict.fromkeys(ids, _ID)
    texts = typed | {name: pa.string() for name in others if name not in ids}
    try:
        try:
            types = texts if others and source.holds_hexadecimal else typed
            return _refuse_bytes(source.read(wanted, types, names=names, empty_lines=empty_lines), source.file)
        except pa.ArrowInvalid as error:
            if not others or "conversion error" not in str(error):
                raise
            return source.read(wanted, texts, names=names, empty_lines=empty_lines)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise source.unreadable(error, "table") from error


def _refuse_bytes(table: pa.Table, file: Path) -> pa.Table:
    """The table; DataError for a column of text that Arrow, as it is not UTF-8, took for bytes."""
    if any(pa.types.is_binary(kind) for kind in table.schema.types):
        raise not_utf8(file)
    return table


def _numbers_if_all(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text ids as int64 where each is the plain form of a number, so that "7" is 7 but "007" stays text."""
    unified = column.unify_dictionaries()
    if unified.num_chunks == 0:
        return column
    known = unified.chunk(0).dictionary
    plain = pc.all(pc.match_substring_regex(known, r"^(0|-?[1-9][0-9]{0,17})$")).as_py()
    if not plain:
        return unified
    numbers = known.cast(pa.int64())
    chunks = [pa.DictionaryArray.from_arrays(chunk.indices, numbers) for chunk in unified.chunks]
    return pa.chunked_array(chunks)
