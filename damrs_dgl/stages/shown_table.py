"""A table on standard output, for reading or for pasting into a paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from damrs_dgl.console import Console
from damrs_dgl.report.tables import render


def show_table(
    console: Console,
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    format: str | None = None,
    *,
    keys: int = 1,
) -> None:
    """Print a table with its title; in a `format` (md, latex, csv) without one, so that the output is the table.

    keys: columns that a terminal too narrow for the table shows again in each part of it.
    """
    if format is None:
        console.table(title, columns, rows, keys=keys)
    else:
        console.info(render(columns, rows, format).rstrip("\n"))
