"""From a file or a shipped name and ``-o`` overrides to a checked recipe."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from damrs_dgl.errors import RecipeError
from damrs_dgl.recipe.locations import expand_home, shipped_recipes
from damrs_dgl.recipe.making import AnyRecipe, changed, check
from damrs_dgl.recipe.mistakes import Mistake

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT_RECIPE: Final = "demo"


@dataclass
class _Reading:
    """What was read so far, and the mistakes in it."""

    values: dict[str, Any] = field(default_factory=dict)
    in_file: frozenset[str] = frozenset()
    overridden: set[tuple[str, ...]] = field(default_factory=set)
    mistakes: list[RecipeError] = field(default_factory=list)

    def is_overridden(self, mistake: Mistake) -> bool:
        """Whether an override set a key that the mistake is about, or made the section."""
        return any(
            key[: len(way)] == way or (way[: len(key)] == key and (len(key) > 1 or key[0] not in self.in_file))
            for key in mistake.keys
            for way in self.overridden
        )


def recipe_header(name: str) -> str:
    """What a shipped recipe is, in its own first comment line."""
    first = _text(_find(name)).partition("\n")[0]
    return first.lstrip("#").strip() if first.startswith("#") else ""


def load_recipe(source: str | Path | None = None, overrides: Sequence[str] = ()) -> AnyRecipe:
    """Read and check a recipe.

    Parameters
    ----------
    source: a .toml file or the name of a shipped recipe; None: the shipped ``demo``.
    overrides: ``section.key=value`` strings, the value in TOML; a bare word is a string.

    Raises ``RecipeError``: the first mistake, and how many more there are.
    """
    recipe, mistakes = _load(source, overrides)
    if recipe is not None and not mistakes:
        return recipe
    first, rest = mistakes[0], len(mistakes) - 1
    if not rest:
        raise first
    shown = DEFAULT_RECIPE if source is None else source
    more = f"{rest} more mistake{'s' if rest > 1 else ''}: `damrs-dgl recipes validate {shown}` lists them"
    raise RecipeError(first.what, where=first.where, fix=f"{first.fix}; {more}" if first.fix else more)


def recipe_mistakes(source: str | Path | None = None, overrides: Sequence[str] = ()) -> list[str]:
    """All mistakes of a recipe, one line each; empty for a sound one. Builds and reads nothing else."""
    return [str(mistake) for mistake in _load(source, overrides)[1]]


def _load(source: str | Path | None, overrides: Sequence[str]) -> tuple[AnyRecipe | None, list[RecipeError]]:
    reading = _Reading()
    try:
        path = _find(DEFAULT_RECIPE if source is None else source)
        reading.values = _parse(path)
        reading.in_file = frozenset(reading.values)
    except RecipeError as error:
        return None, [error]
    reading.values.setdefault("name", path.stem)
    _anchor(reading.values, Path.cwd() if _is_shipped(path) else path.parent)
    for text in overrides:
        _override(reading, text)
    _anchor(reading.values, Path.cwd())
    recipe, found = check(reading.values)
    for mistake in found:
        reading.mistakes.append(mistake.error(where="-o" if reading.is_overridden(mistake) else str(path)))
    return recipe, reading.mistakes


def _is_shipped(path: Path) -> bool:
    return path in shipped_recipes().values()


def _find(source: str | Path) -> Path:
    """The file of a recipe: a shipped name comes before a file of that name, a path with a suffix is a file."""
    shipped = shipped_recipes()
    if str(source) in shipped:
        return shipped[str(source)]
    path = expand_home(source)
    if path.is_file():
        return path.absolute()
    if path.is_dir():
        raise RecipeError(f'the recipe "{source}" is a folder', fix="give the path of a .toml file")
    raise RecipeError(f'there is no recipe "{source}"', fix=_nearest(path, shipped))


def _nearest(path: Path, shipped: dict[str, Path]) -> str:
    try:
        files = {file.name: str(file) for file in path.parent.glob("*.toml")}
    except OSError:
        files = {}
    bare = path.stem if path.suffix == ".toml" else path.name
    if bare in shipped:
        return f'did you mean the shipped recipe "{bare}"?'
    names = {**files, **{name: f'"{name}"' for name in shipped}}
    if near := get_close_matches(path.name, names, n=1) or get_close_matches(bare, names, n=1):
        return f"did you mean {names[near[0]]}?"
    return f"give the path of a .toml file or one of the shipped recipes: {', '.join(shipped)}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors put a byte order mark before the first line
    except UnicodeDecodeError as error:
        raise RecipeError(f"byte {error.start + 1} is not UTF-8", where=path, fix="save the file as UTF-8") from None
    except OSError as error:
        raise RecipeError(f"cannot be read: {error.strerror}", where=path) from None


def _parse(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        match = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
        lines = text.split("\n")
        line, column = (match[1], match[2]) if match and match[1] else (len(lines), len(lines[-1]) + 1)
        reason = message[: match.start()] if match else message
        where = f"{path}, line {line}, column {column}"
        raise RecipeError(f"not valid TOML: {reason}", where=where, fix="mend that line") from None


def _anchor(values: dict[str, Any], folder: Path) -> None:
    """Make a relative ``data.path`` absolute, so that the recipe means the same from every folder."""
    data = values.get("data")
    if not isinstance(data, dict):
        return
    path = data.get("path")
    if isinstance(path, str) and path and not path.startswith("$"):
        data["path"] = str(folder / expand_home(path))


def _override(reading: _Reading, text: str) -> None:
    try:
        path, value = _parse_override(text)
        reading.values = changed(reading.values, {".".join(path): value})
    except ValueError as error:
        reading.mistakes.append(RecipeError(str(error), where=f"-o {text}", fix="write -o section.key=value"))
    else:
        reading.overridden.add(path)


def _parse_override(text: str) -> tuple[tuple[str, ...], object]:
    """``section.key=value`` -> (path, value); ``ValueError`` that says what is wrong with it."""
    key, sign, value = (part.strip() for part in text.partition("="))
    path = tuple(part.strip() for part in key.split("."))
    if not sign:
        raise ValueError("there is no = in the override")
    if not all(re.fullmatch(r"[\w-]+", part) for part in path):
        raise ValueError(f'"{key}" is not a key of the form section.key')
    if not value:
        raise ValueError(f'{key} has no value; an empty string is ""')
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        parsed = {}
    if list(parsed) == ["value"]:
        return path, parsed["value"]
    if value[0] in "[{\"'" or "\n" in value:
        raise ValueError(f"{value} is not a TOML value; quote the whole override for the shell")
    return path, value
