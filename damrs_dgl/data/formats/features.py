"""Feature files of Parquet, checked so that nothing wrong gets as far as a graph."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from damrs_dgl.data.content import as_features, converted
from damrs_dgl.data.formats.columnar import readable_parquet
from damrs_dgl.data.formats.files import exists, require_file
from damrs_dgl.data.formats.pandas_index import index_columns
from damrs_dgl.data.parts import Finding, ModalityFeatures
from damrs_dgl.errors import DataError


def open_parquet(
    path: str | Path, *, id_column: str, vector_column: str | None = None
) -> tuple[ModalityFeatures, pa.ChunkedArray, list[Finding]]:
    """A Parquet file with an id column and one vector column (lists of one length) or a numeric column per value.

    ``vector_column`` None takes the only list column, or else all numeric columns but the id and a pandas index, in
    the file's order. A null vector is a missing row.
    """
    file = require_file(path)
    with readable_parquet(file):
        schema = pq.read_schema(file)
        columns, notes = _value_columns(schema, id_column, vector_column, file)
        table = _read_table(file, schema, id_column, columns)
        table[id_column].validate(full=True)  # text that is not UTF-8
    if len(columns) == 1 and _is_list(schema.field(columns[0]).type):
        values, beyond = _stack_lists(table[columns[0]], f"{file.name}: {columns[0]}")
    else:
        dtype = np.float16 if all(schema.field(name).type == pa.float16() for name in columns) else np.float32
        values, beyond = np.empty((len(table), len(columns)), dtype=dtype), np.zeros(len(table), dtype=bool)
        for position, name in enumerate(columns):
            floats, over = converted(table[name].to_numpy()[:, None], dtype)
            values[:, position] = floats[:, 0]
            beyond |= over
    content, findings = as_features(values, where=file.name, beyond=beyond)
    return content, table[id_column], [*notes, *findings]


def present_modalities(
    folder: Path, modalities: Mapping[str, str], optional: bool
) -> tuple[dict[str, Path], list[Finding]]:
    """Path of each modality's file; absent ones are a DataError, or with ``optional`` left out with a Finding."""
    found: dict[str, Path] = {}
    findings: list[Finding] = []
    for modality, name in modalities.items():
        file = folder / name
        if optional and not exists(file):
            findings.append(Finding(f"absent feature file of {modality!r}", 1, str(name), "modality left out"))
        else:
            found[modality] = require_file(file)
    return found, findings


def _is_list(kind: pa.DataType) -> bool:
    plain = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return plain or _is_list_view(kind)


def _is_list_view(kind: pa.DataType) -> bool:
    return str(kind).startswith(("list_view", "large_list_view"))  # older versions of pyarrow have no name for them


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _value_columns(
    schema: pa.Schema, id_column: str, vector_column: str | None, file: Path
) -> tuple[list[str], list[Finding]]:
    """The columns of the values, and what was left out."""
    if repeated := [name for name in dict.fromkeys(schema.names) if schema.names.count(name) > 1]:
        raise DataError(f"column {repeated[0]!r} is there more than once", where=file, fix="keep one")
    for name in (id_column, vector_column):
        if name is not None and name not in schema.names:
            raise DataError(f"no column {name!r}", where=file, fix=f"it has {', '.join(schema.names)}")
    if vector_column is not None:
        kind = schema.field(vector_column).type
        if not _is_list(kind):
            raise DataError(f"column {vector_column!r} is {kind}, expected lists of numbers", where=file)
        return [vector_column], []
    index = [name for name in index_columns(schema) if name != id_column]
    others = [field for field in schema if field.name != id_column and field.name not in index]
    lists = [field.name for field in others if _is_list(field.type)]
    if len(lists) > 1:
        raise DataError(f"{len(lists)} list columns ({', '.join(lists)})", where=file, fix="name one as vector_column")
    numbers = [field.name for field in others if _is_number(field.type)]
    if not lists and not numbers:
        raise DataError("neither a list column nor numeric columns", where=file, fix="name the vector_column")
    if lists or not index:
        return lists or numbers, []
    found = Finding(f"columns of a pandas index ({', '.join(index)[:80]})", len(index), file.name, "left out")
    return numbers, [found]


def _read_table(file: Path, schema: pa.Schema, id_column: str, columns: list[str]) -> pa.Table:
    """The id column and ``columns`` in this order, lists of a fixed size as plain lists."""
    fixed = [name for name in columns if pa.types.is_fixed_size_list(schema.field(name).type)]
    table = pq.read_table(file, columns=[id_column, *(name for name in columns if name not in fixed)])
    for position, field in enumerate(table.schema):
        if _is_list_view(field.type):
            table = table.set_column(position, field.name, table[position].cast(pa.large_list(field.type.value_type)))
    for name in fixed:
        table = table.append_column(name, _read_plain_lists(file, name))
    return table


def _read_plain_lists(file: Path, name: str) -> pa.ChunkedArray:
    """A column of lists of a fixed size as large_list, which may have nulls in every version of pyarrow.

    A Parquet file has plain lists only; that they were of a fixed size is Arrow's own note in the footer, under the key
    ARROW:schema. pyarrow before 26 believes it and then refuses a null ("Expected all lists to be of size=2 but index
    1 had size=0"), so the file is read with a footer in which that key has another name.
    """
    tail = 8  # the last bytes of a Parquet file: the footer's length in 4, then PAR1
    with file.open("rb") as stream:
        stream.seek(-tail, os.SEEK_END)
        length = int.from_bytes(stream.read(4), "little")
        stream.seek(-tail - length, os.SEEK_END)
        footer = stream.read().replace(b"ARROW:schema", b"arrow:schema")
    metadata = pq.read_metadata(pa.BufferReader(b"PAR1" + footer))
    with pq.ParquetFile(file, metadata=metadata) as parquet:
        kind = pa.large_list(parquet.schema_arrow.field(name).type.value_type)
        batches = parquet.iter_batches(columns=[name])
        return pa.chunked_array([batch.column(name).cast(kind) for batch in batches], kind)


def _stack_lists(column: pa.ChunkedArray, where: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Lists of one length as [n, D], null lists as NaN rows; and which rows have a number beyond float32's range."""
    lists = column.combine_chunks()
    value_type = lists.type.value_type
    if not _is_number(value_type):
        raise DataError(
            f"lists of {value_type}, expected numbers", where=where, fix="write each item's vector as a list of numbers"
        )
    present = lists.is_valid().to_numpy(zero_copy_only=False)
    filled = lists.drop_null()
    flat = filled.flatten()
    if len(filled) == 0:
        raise DataError(
            "all vectors are null", where=where, fix="give a vector to some item, or leave the modality out"
        )
    lengths = filled.value_lengths().to_numpy(zero_copy_only=False)
    width = int(lengths[0])
    if not lengths.any():
        raise DataError("all vectors are empty", where=where, fix="give one number or more per item")
    if (lengths != width).any():
        row = int(np.flatnonzero(lengths != width)[0])
        raise DataError(
            f"vectors of different lengths: {width} at first, {lengths[row]} at the vector {row + 1:,}",
            where=where,
            fix="give all items as many numbers",
        )
    dtype = np.float16 if value_type == pa.float16() else np.float32
    if present.all() and flat.null_count == 0 and value_type in (pa.float16(), pa.float32()):
        return flat.to_numpy().reshape(-1, width), None
    values, beyond = np.full((len(lists), width), np.nan, dtype=dtype), np.zeros(len(lists), dtype=bool)
    values[present], beyond[present] = converted(flat.to_numpy(zero_copy_only=False).reshape(-1, width), dtype)
    return values, beyond
