"""Tables to paste into a paper or a page: Markdown, LaTeX and CSV from the same cells."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from damrs_dgl.console.tables import cell_text, is_numeric

FORMATS: Final = ("md", "latex", "csv")

_MARKDOWN_SPECIAL = re.compile(r"[\\`*\[\]<>|~&$]|(?<![^\W_])_|_(?![^\W_])")  # an underscore inside a word is itself
_MARKDOWN_MARKS: Final = {1: ("**", "**"), 2: ("<ins>", "</ins>")}  # GitHub leaves <u> out
_LATEX_MARKS: Final = {1: r"\textbf", 2: r"\underline"}
_LATEX_SPECIAL: Final = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # else an argument of the \\ that ends the row above
    "*": "{*}",  # so is this
    "±": r"$\pm$",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


@dataclass(frozen=True)
class Marked:
    """A cell that stands out: the best of its column (place 1, bold) or the second best (place 2, underlined)."""

    value: Any
    place: int


def render(columns: Sequence[str], rows: Sequence[Sequence[Any]], format: str) -> str:
    """A table as text that ends in a newline.

    Parameters
    ----------
    columns: the header.
    rows: cells of any type, as many in each row as there are columns; :class:`Marked` where one stands out. Floats get
        four decimals, and all their digits in CSV; None is "-", and empty in CSV; booleans are yes and no.
    format: `md` (GitHub's), `latex` (a tabular that needs no package) or `csv` (marks are left out).

    Every cell means what it says: what a format would take for markup is escaped, and line breaks become spaces (CSV
    keeps them). Raises ValueError for another format, and for a row of another length.
    """
    writers = {"md": _markdown, "latex": _latex, "csv": _csv}
    if format not in writers:
        raise ValueError(f"there is no table format {format!r}; choose one of {', '.join(FORMATS)}")
    for number, row in enumerate(rows):
        if len(row) != len(columns):
            raise ValueError(f"row {number} has {len(row)} cells for {len(columns)} columns")
    return writers[format](columns, rows)


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    def escaped(value: Any) -> str:
        return _MARKDOWN_SPECIAL.sub(lambda found: "\\" + found[0], _text(value))

    def cell(value: Any) -> str:
        if not isinstance(value, Marked):
            return escaped(value)
        start, end = _MARKDOWN_MARKS[value.place]
        return f"{start}{escaped(value.value)}{end}"

    rules = ["---:" if right else "---" for right in _right_columns(columns, rows)]
    lines = [[escaped(column) for column in columns], rules, *([cell(value) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _latex(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    def escaped(value: Any) -> str:
        text = "".join(_LATEX_SPECIAL.get(letter, letter) for letter in _text(value))
        if _is_number(value):
            return text.replace("-", "$-$", 1) if text.startswith("-") else text
        return text.replace("--", "-{}-").replace("--", "-{}-")  # twice: "---" holds two pairs

    def cell(value: Any) -> str:
        if not isinstance(value, Marked):
            return escaped(value)
        return f"{_LATEX_MARKS[value.place]}{{{escaped(value.value)}}}"

    alignment = "".join("r" if right else "l" for right in _right_columns(columns, rows))
    lines = [[escaped(column) for column in columns], *([cell(value) for value in row] for row in rows)]
    header, *body = [f"{' & '.join(line)} \\\\" for line in lines]
    return "\n".join(
        [f"\\begin{{tabular}}{{{alignment}}}", "\\hline", header, "\\hline", *body, "\\hline", "\\end{tabular}", ""]
    )


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    def plain(value: Any) -> Any:
        value = value.value if isinstance(value, Marked) else value
        return _text(value) if isinstance(value, bool) else value

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([plain(value) for value in row] for row in rows)
    return text.getvalue()


def _text(value: Any) -> str:
    """A value as it is read, on one line."""
    return " ".join(cell_text(value).split())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _right_columns(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[bool]:
    """Which columns hold numbers."""
    return [
        is_numeric([_text(getattr(row[position], "value", row[position])) for row in rows])
        for position in range(len(columns))
    ]
