"""From a file or a shipped name and ``-o`` overrides to a checked recipe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from damrs_dgl.errors import RecipeError, refusal
from damrs_dgl.models.registry import models
from damrs_dgl.models.specification.systems import changed, precedence
from damrs_dgl.recipe.making import AnyRecipe, check
from damrs_dgl.recipe.mistakes import KeyPath, touches
from damrs_dgl.settings import expand_home
from damrs_dgl.toml import MOST_LEVELS, parse_value, read_toml, too_deep

PACKAGE: Final = Path(__file__).resolve().parents[1]
DEFAULT_RECIPE: Final = "demo"


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with the toolkit, name -> file, in alphabetical order."""
    installed = PACKAGE / "shipped_recipes"  # where a wheel puts the repository's recipes/ folder
    folder = installed if installed.is_dir() else PACKAGE.parent / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def recipe_header(name: str) -> str:
    """What a shipped recipe is, in its own first comment line."""
    first = shipped_recipes()[name].read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("#").strip() if first.startswith("#") else ""


def is_system(name: str) -> bool:
    """Whether a name is a system's and no shipped recipe's."""
    return name not in shipped_recipes() and (name.lower() in models() or ":" in name)


def load_recipe(source: str | Path | None = None, overrides: Sequence[str] = ()) -> AnyRecipe:
    """Read and check a recipe.

    Parameters
    ----------
    source: a .toml file or the name of a shipped recipe; None: the shipped ``demo``.
    overrides: ``section.key=value`` strings, the value in TOML; a bare word is a string.

    Raises ``RecipeError``: the first mistake, and how many more there are.
    """
    source = DEFAULT_RECIPE if source is None else source
    recipe, mistakes = _load(source, overrides)
    if recipe is None:
        raise refusal(mistakes, source)
    return recipe


def recipe_mistakes(source: str | Path | None = None, overrides: Sequence[str] = ()) -> list[str]:
    """All mistakes of a recipe, one line each; empty for a sound one. Builds and reads nothing else."""
    return [str(mistake) for mistake in _load(DEFAULT_RECIPE if source is None else source, overrides)[1]]


def _load(source: str | Path, overrides: Sequence[str]) -> tuple[AnyRecipe | None, list[RecipeError]]:
    try:
        path = _find(source)
        values = read_toml(path)
    except RecipeError as error:
        return None, [error]
    except OSError as error:
        return None, [RecipeError(f"cannot be read: {error.strerror}", where=source)]
    values.setdefault("name", path.stem)
    _anchor(values, Path.cwd() if path in shipped_recipes().values() else path.parent)
    mistakes: list[RecipeError] = []
    overridden: list[KeyPath] = []
    for text in sorted(overrides, key=lambda text: precedence(text.partition("=")[0].strip())):
        try:
            key, value = _parse_override(text)
            values = changed(values, {key: value})
            overridden.append(tuple(key.split(".")))
        except ValueError as error:  # noqa: PERF203
            mistakes.append(RecipeError(str(error), where=f"-o {text}", fix="write -o section.key=value"))
    _anchor(values, Path.cwd())
    recipe, found = check(values, reads_data=True)
    for mistake in found:
        mistake.where = "-o" if touches(mistake.keys, overridden) else str(path)
    mistakes += found
    return (None if mistakes else recipe), mistakes


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
    bare = path.stem if path.suffix == ".toml" else path.name
    names = {file.name: str(file) for file in path.parent.glob("*.toml")} | {name: f'"{name}"' for name in shipped}
    fix = f"give the path of a .toml file or one of the shipped recipes: {', '.join(shipped)}"
    if bare in shipped:
        fix = f'did you mean the shipped recipe "{bare}"?'
    elif near := get_close_matches(path.name, names, n=1) or get_close_matches(bare, names, n=1):
        fix = f"did you mean {names[near[0]]}?"
    raise RecipeError(f'there is no recipe "{source}"', fix=fix)


def _anchor(values: dict[str, Any], folder: Path) -> None:
    """Make a relative path of [data] absolute, so that the recipe means the same from every folder."""
    data = values.get("data")
    if not isinstance(data, dict):
        return
    for key in ("path", "left_out", "click_weights"):
        path = data.get(key)
        if isinstance(path, str) and path and not path.startswith("$"):
            data[key] = str(folder / expand_home(path))


def _parse_override(text: str) -> tuple[str, object]:
    """``section.key=value`` -> (section.key, value); ``ValueError`` that says what is wrong with it."""
    key, sign, value = (part.strip() for part in text.partition("="))
    parts = [part.strip() for part in key.split(".")]
    if not sign:
        raise ValueError("there is no = in the override")
    if not all(re.fullmatch(r"[\w-]+", part) for part in parts):
        raise ValueError(f'"{key}" is not a key of the form section.key')
    if len(parts) > MOST_LEVELS:
        raise ValueError(f"the key has {len(parts):,} parts, and no key of a recipe has so many")
    if not value:
        raise ValueError(f'{key} has no value; an empty string is ""')
    try:
        parsed = parse_value(value)
    except ValueError as error:
        if value[0] in "[{\"'" or "\n" in value:
            raise ValueError(f"{error}; quote the whole override for the shell") from None
        parsed = value  # a bare word
    if too_deep(parsed):
        raise ValueError(f"the value of {key} has lists or tables more than {MOST_LEVELS} deep in one another")
    return ".".join(parts), parsed
