"""TOML read, with the place of each mistake, and single values as TOML writes them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from damrs_dgl.errors import RecipeError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MOST_LEVELS: Final = 20  # of tables and lists in one another; a recipe has four


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a TOML file. Raises RecipeError that says where it is none, OSError where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors put a byte order mark before the first line
        values = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise RecipeError(f"byte {error.start + 1} is not UTF-8", where=path, fix="save the file as UTF-8") from None
    except (ValueError, RecursionError) as error:
        reason, _, place = str(error).removesuffix(")").partition(" (at ")
        if place == "end of document":
            lines = text.split("\n")
            place = f"line {len(lines)}, column {len(lines[-1]) + 1}"
        where = f"{path}, {place}" if place else path
        reason = "nested too deep" if isinstance(error, RecursionError) else reason.partition("; use sys.")[0]
        raise RecipeError(f"not valid TOML: {reason}", where=where, fix="mend that line") from None
    if too_deep(values):
        what = f"holds tables or lists more than {MOST_LEVELS} deep in one another"
        raise RecipeError(what, where=path, fix="no key of a recipe has such a value")
    return values


def parse_value(text: str) -> Any:
    """The value that stands after `key =` in TOML. Raises ValueError where it is none."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        table = {}
    if list(table) != ["value"]:
        raise ValueError(f"{text} is not a TOML value")
    return table["value"]


def too_deep(value: object, levels: int = MOST_LEVELS) -> bool:
    """Whether tables or lists stand deeper in one another than `levels`: what reads them calls itself for each."""
    if not isinstance(value, (dict, list)):
        return False
    return not levels or any(
        too_deep(inner, levels - 1) for inner in (value.values() if isinstance(value, dict) else value)
    )


def value_at(table: object, path: Sequence[str]) -> Any:
    """The value that a key of a table, or of a table in it, has; `...` where there is none."""
    for part in path:
        table = table.get(part, ...) if isinstance(table, Mapping) else ...
    return table


def toml_value(value: object) -> str:
    """``value`` as TOML writes it, tables inline."""
    if isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key} = {toml_value(item)}' for key, item in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml_value, value))}]"
    # Python writes no decimal number of more than some thousand digits.
    return hex(value) if isinstance(value, int) and value.bit_length() > 10_000 else str(value)
