"""What a page is made of: sections with paragraphs, tables, figures. The template draws each kind of block once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from markupsafe import Markup

from damrs_dgl.report.svg import number, swatch


@dataclass(frozen=True)
class Picture:
    """A picture in a table's cell: the file's content as a data address, and what it shows."""

    address: str
    alt: str


_NUMBER = re.compile(r"[+-]?[\d,.]+(e[+-]\d+)?%?( ± [\d.]+)?")
_SHORT = 34  # letters that a table does not break
_WORD = 16  # letters of a head that paper does not break
_JOINT = re.compile(r"(?<=[._])")  # where it may break longer ones
_MANY, _WIDE = 8, 13  # columns; so many are set smaller on paper, or each row as a card


Cell: TypeAlias = str | int | float | bool | Picture | None


@dataclass(frozen=True)
class Paragraph:
    """Plain text. `tone`: "" or "warning"."""

    text: str
    tone: str = ""
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Findings:
    """A list of sentences, the most important first."""

    sentences: Sequence[str]
    kind: ClassVar[str] = "findings"


@dataclass(frozen=True)
class Tiles:
    """Figures to see at a glance: (what, value, in small letters)."""

    tiles: Sequence[tuple[str, str, str]]
    kind: ClassVar[str] = "tiles"


@dataclass(frozen=True)
class Table:
    """A table that scrolls inside its box. `folded`: shown when asked for. `strong`: rows to stand out.

    `cards`: on a narrow screen each row is a card with its columns' names, for tables that are read row by row.
    `names`: columns of ids and names, which are text also where they look like numbers.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    folded: bool = False
    strong: frozenset[int] = frozenset()
    cards: bool = False
    names: frozenset[str] = frozenset()
    kind: ClassVar[str] = "table"

    def cells(self) -> list[list[tuple[str | Picture, str]]]:
        """By row: (what is shown, how: "number", "short", "long", or "" for a picture)."""
        about = list(zip(self.columns, self.numeric(), strict=True))
        return [
            [
                (shown(cell), _manner(cell, among_numbers=numeric, is_name=column in self.names))
                for cell, (column, numeric) in zip(row, about, strict=True)
            ]
            for row in self.rows
        ]

    def heads(self) -> list[tuple[Markup, str]]:
        """Of each column: its name, which paper may break at a dot or an underscore, and how it is shown."""
        found = []
        for name, numeric in zip(self.columns, self.numeric(), strict=True):
            parts = _JOINT.split(name)
            is_long = max(len(word) for part in parts for word in part.split(" ")) > _WORD
            manner = ("number " if numeric else "") + ("long-word" if is_long else "")
            found.append((Markup("<wbr>").join(parts), manner.strip()))
        return found

    def manner(self) -> str:
        """How the table is shown: "cards", "many" for many columns, "wide" for more than paper has room for."""
        count = len(self.columns)
        found = {"cards": self.cards, "many": _MANY <= count < _WIDE, "wide": count >= _WIDE}
        return " ".join(name for name, is_so in found.items() if is_so)

    def numeric(self) -> list[bool]:
        """Whether a column holds numbers, which stand to the right."""
        columns = zip(*self.rows, strict=True) if self.rows else [()] * len(self.columns)
        return [
            name not in self.names and any(map(_is_number, column))
            for name, column in zip(self.columns, columns, strict=True)
        ]


@dataclass(frozen=True)
class Figure:
    """A drawing with its title, its legend [(position of the mark, name)], a sentence, and its numbers as a table."""

    title: str
    svg: Markup
    legend: Sequence[tuple[int, str]] = ()
    caption: str = ""
    numbers: Table | None = None
    points_only: bool = False  # the legend's marks have no line through them

    def keys(self) -> list[tuple[Markup, str]]:
        """The legend as (mark, name)."""
        return [(swatch(position, line=not self.points_only), name) for position, name in self.legend]


@dataclass(frozen=True)
class Figures:
    """Drawings side by side, below each other where there is no room. `paired`: two and two belong together."""

    figures: Sequence[Figure]
    paired: bool = False
    kind: ClassVar[str] = "figures"

    @property
    def in_twos(self) -> bool:
        """Whether two stand beside each other; else three, and two where three would leave one alone."""
        count = len(self.figures)
        return self.paired or (count % 2 == 0 and count % 3 != 0)


@dataclass(frozen=True)
class Code:
    """Lines to copy. `folded`: shown when asked for."""

    title: str
    text: str
    folded: bool = False
    kind: ClassVar[str] = "code"


Block: TypeAlias = Paragraph | Findings | Tiles | Table | Figures | Code


@dataclass(frozen=True)
class Section:
    """A part of the page. `name`: its anchor, and with a capital its entry in the list of sections."""

    name: str
    title: str
    blocks: list[Block] = field(default_factory=list)


def shown(cell: Cell) -> str | Picture:
    """A cell as the reader sees it."""
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:.4f}" if 1e-4 <= abs(cell) < 1000 else number(cell)
    return cell


def _is_number(cell: Cell) -> bool:
    if isinstance(cell, str):
        return _NUMBER.fullmatch(cell) is not None
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def _manner(cell: Cell, *, among_numbers: bool, is_name: bool) -> str:
    if isinstance(cell, Picture):
        return ""
    if (_is_number(cell) and not is_name) or (cell is None and among_numbers):
        return "number"
    return "long" if isinstance(cell, str) and len(cell) > _SHORT else "short"
