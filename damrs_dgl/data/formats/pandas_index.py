"""The numbers of the rows that pandas writes beside one's own columns."""

from __future__ import annotations

import re

import pyarrow as pa

_INDEX = re.compile(r"Unnamed: \d+|__index_level_\d+__|")  # in CSV, read back; in Parquet; the empty name in CSV


def without_index(names: list[str]) -> list[str]:
    """Column names without those that pandas gives to an index that has none."""
    return [name for name in names if not _INDEX.fullmatch(name)]


def index_columns(schema: pa.Schema) -> list[str]:
    """Columns of a Parquet file that are a pandas index: by their name, or by what pandas noted in the file."""
    try:
        noted = (schema.pandas_metadata or {}).get("index_columns", [])
    except (ValueError, AttributeError):  # a note of another's making; JSON's and Unicode's errors are ValueErrors
        noted = []
    own = without_index(schema.names)
    listed = [name for name in noted if isinstance(name, str)] if isinstance(noted, list) else []
    return [name for name in schema.names if name not in own or name in listed]
