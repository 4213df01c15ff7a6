"""Tables as wide as the terminal: words wrapped, columns that have no room put below, nothing cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import rich.table

_GAP = 3  # between two columns; a framed table has 1 at each side
_WORD = 24  # a longer word, such as a path, may be broken on a narrow terminal


def side_by_side(columns: Sequence[str], cells: list[list[str]], width: int, keys: int) -> list[list[int]]:
    """Which columns stand side by side on a terminal so wide: all, or a few behind the first `keys` in each part."""
    least = [_least_width(column, [row[place] for row in cells]) + _GAP for place, column in enumerate(columns)]
    full = width - 2 + _GAP
    keys = min(keys, len(columns) - 1)
    while keys and sum(least[:keys]) + max(least[keys:]) > full:
        keys -= 1
    repeated = list(range(keys))
    parts: list[list[int]] = []
    room = -1
    for place in range(len(repeated), len(columns)):
        room -= least[place]
        if room < 0:
            parts.append([*repeated])
            room = full - sum(least[key] for key in repeated) - least[place]
        parts[-1].append(place)
    return parts


def layout(columns: Sequence[str], cells: list[list[str]], width: int | None) -> rich.table.Table:
    """A table in a frame for a terminal of so many signs, or without frame and as wide as it is."""
    from rich import box
    from rich.table import Table

    framed = width is not None
    widths: Sequence[int | None] = [None] * len(columns) if width is None else _widths(columns, cells, width)
    table = Table(box=box.SIMPLE_HEAD if framed else None, pad_edge=False, header_style="bold" if framed else "")
    for position, column in enumerate(columns):
        values = [row[position] for row in cells]
        numeric = is_numeric(values)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold", width=widths[position])
    for row in cells:
        table.add_row(*row)
    return table


def _widths(columns: Sequence[str], cells: list[list[str]], width: int) -> list[int]:
    """Signs for each column on a terminal so wide: the least that it can do with, and of the rest what it can use."""
    from rich.cells import cell_len

    by_column = [[row[place] for row in cells] for place in range(len(columns))]
    widths = [_least_width(column, values) for column, values in zip(columns, by_column, strict=True)]
    wanted = [max(map(cell_len, [column, *values])) for column, values in zip(columns, by_column, strict=True)]
    rest = max(0, width - 2 + _GAP - sum(widths) - _GAP * len(widths))
    order = sorted(range(len(widths)), key=lambda place: wanted[place] - widths[place])
    for done, place in enumerate(order):  # who wants little gets all of it, the others share what is left
        more = min(wanted[place] - widths[place], rest // (len(order) - done))
        widths[place] += more
        rest -= more
    return [min(size, max(width - 2, 1)) for size in widths]


def _least_width(column: str, values: list[str]) -> int:
    """The fewest signs that a column can do with: a number whole, text by its longest word up to `_WORD`."""
    from rich.cells import cell_len

    if is_numeric(values):
        return max(map(cell_len, [*column.split(), *values]), default=0)
    longest = max((cell_len(word) for value in values for word in value.split()), default=0)
    return max([*map(cell_len, column.split()), min(longest, _WORD)], default=0)


def is_numeric(values: Sequence[str]) -> bool:
    """Whether a column holds numbers, or text that begins with a digit or a sign, such as 0.21 ± 0.01; "-" is none."""
    return any(value != "-" for value in values) and all(map(_looks_numeric, values))


def _looks_numeric(cell: str) -> bool:
    return cell == "-" or cell.lstrip("+-")[:1].isdigit()


def cell_text(value: Any) -> str:
    """A value as the user reads it; strings stay as they are."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e6 else f"{value:.3g}"
    return str(value)
