"""A table on standard output, for reading or for pasting into a paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from damrs_dgl.console import Console


def show_table(
    console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], format: str | None = None
) -> None:
    """As `Console.table` does."""
    console.table(title, columns, rows, format=format)
