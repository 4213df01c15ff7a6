"""A search space: a TOML file that points at a recipe and lists keys, each with a list of values or a range."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from damrs_dgl.errors import RecipeError
from damrs_dgl.models.base import ModelConfig, Range, WrapperConfig
from damrs_dgl.models.core.ranges import Values
from damrs_dgl.models.specification.spaces import space_of
from damrs_dgl.recipe import Recipe, shipped_recipes, with_values
from damrs_dgl.settings import expand_home, nearest
from damrs_dgl.toml import read_toml, toml_value

_SECTIONS: Final = ("graphs", "model", "training")
# What says which system is trained and how it is judged; a search that changed it would compare the incomparable.
_FIXED: Final = ("model.name", "model.backbone", "model.backbone.name", "training.seed", "training.monitor")
_RANGE: Final = ("low", "high", "log")


@dataclass(frozen=True)
class SearchSpace:
    """Keys of a recipe and what may stand there.  where: the file, or what else it comes from, for messages."""

    entries: Mapping[str, Values]
    where: str

    @property
    def size(self) -> int | None:
        """How many combinations there are; None where a range of fractions makes them endless."""
        ranges = [values for values in self.entries.values() if isinstance(values, Range)]
        if not all(values.integers for values in ranges):
            return None
        lists = [values for values in self.entries.values() if not isinstance(values, Range)]
        return math.prod(map(len, lists)) * math.prod(int(values.high - values.low) + 1 for values in ranges)

    def as_json(self) -> dict[str, Any]:
        """The entries as plain values."""
        return {
            key: asdict(values) if isinstance(values, Range) else list(values) for key, values in self.entries.items()
        }


def load_space(path: Path) -> tuple[str | None, SearchSpace]:
    """The recipe that a space file names, None where it names none, and its space, not yet checked against a recipe.

    Raises RecipeError, one line, for a file that is missing, no TOML or no space.
    """
    path = expand_home(path)
    if not path.is_file():
        raise RecipeError(f'there is no search space "{path}"', fix="give the path of a .toml file")
    table = read_toml(path)
    for key in table:
        if key not in ("recipe", "space"):
            fix = nearest(key, ("recipe", "space")) or "a space file has `recipe` and [space]"
            raise RecipeError(f"unknown key {key}", where=path, fix=fix)
    recipe, space = table.get("recipe"), table.get("space")
    if not (recipe is None or (isinstance(recipe, str) and recipe)):
        raise RecipeError(f"recipe = {toml_value(recipe)}", where=path, fix="name a shipped recipe or a file")
    if not isinstance(space, dict) or not space:
        raise RecipeError("has no keys to try", where=path, fix='list them under [space]: "section.key" = [values]')
    if recipe is not None and recipe not in shipped_recipes():
        recipe = str(path.parent / expand_home(recipe))
    entries = {key: _values(key, found, f"{path}, [space]") for key, found in _flat(space)}
    return recipe, SearchSpace(entries, str(path))


def own_space(recipe: Recipe[Any], *, grid: bool) -> SearchSpace:
    """The space, or grid, of the recipe's system. Raises RecipeError where the system has nothing to try."""
    name = recipe.model.name
    entries = space_of(recipe.model.model_dump(), grid=grid)
    if not entries:
        raise RecipeError(f'"{name}" has no key to tune', where="model.name", fix="give --space FILE, or another model")
    return SearchSpace(entries, f"the {'grid' if grid else 'search space'} of {name}")


def check_space(recipe: Recipe[Any], space: SearchSpace, *, grid: bool) -> None:
    """Refuse what the recipe would not take. Raises RecipeError: the key, the value, and what is allowed there."""
    where = f"{space.where}, [space]"
    for key, values in space.entries.items():
        section = key.partition(".")[0]
        if section in Recipe.model_fields and (section not in _SECTIONS or key in _FIXED):
            fix = "a space holds keys of [graphs], [model] and [training], but for the system, the seed and the monitor"
            raise RecipeError(f"{key} cannot be tuned", where=where, fix=fix)
        if grid and isinstance(values, Range):
            fix = f'list its values: "{key}" = [...], or take --search optuna'
            raise RecipeError(f"{key} is a range, and a grid needs values", where=where, fix=fix)
        for value in (values.low, values.high) if isinstance(values, Range) else values:
            try:
                with_values(recipe, {key: value})
            except RecipeError as error:  # noqa: PERF203
                raise RecipeError(error.what, where=where, fix=error.fix) from None


def recipe_values(recipe: Recipe[Any], space: SearchSpace) -> dict[str, Any] | None:
    """The recipe's own values of a space's keys; None where one of them does not lie in it."""
    own = {key: _value(recipe, key) for key in space.entries}
    return own if all(_is_among(own[key], values) for key, values in space.entries.items()) else None


def _system_overrides(model: ModelConfig) -> str:
    """The overrides that make a system the recipe's, and what it wraps where that is not its default."""
    asked, place = [f"-o model.name={model.name}"], "model.backbone"
    while isinstance(model, WrapperConfig):
        default, model = model.DEFAULT_BACKBONE, model.backbone
        if model.name != default:
            asked.append(f"-o {place}={model.name}")
        place += ".backbone"
    return " ".join(asked)


def space_text(source: str, recipe: Recipe[Any], space: SearchSpace) -> str:
    """A space as the TOML file that `load_space` reads, to be edited; `source` names the recipe."""
    size = f"{space.size:,} combinations" if space.size else "endless, for --search optuna"
    lines = [
        f"# {space.where[0].upper()}{space.where[1:]}: {size}.",
        f"# Use it: damrs-dgl {_system_overrides(recipe.model)} tune --trials 20 --space FILE",
        f"recipe = {toml_value(source)}   # where the command line has no --recipe",
        "",
        "[space]   # each key with a list of values, or {low, high, log}: whole numbers where both ends are",
    ]
    for key, values in space.entries.items():
        bounds = (
            {name: end for name, end in asdict(values).items() if end is not False}
            if isinstance(values, Range)
            else values
        )
        lines.append(f'"{key}" = {toml_value(bounds)}')
    return "\n".join(lines) + "\n"


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Keys with their values, whether a key stands in quotation marks or not."""
    for key, value in table.items():
        if isinstance(value, dict) and value and not set(value) & {"low", "high"}:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _values(key: str, found: object, where: str) -> Values:
    if isinstance(found, list):
        if not found:
            raise RecipeError(f"{key} = [] has no value to try", where=where, fix="list one or more")
        shown = [toml_value(value) for value in found]
        if twice := [value for value in shown if shown.count(value) > 1]:
            raise RecipeError(f"{key}: {twice[0]} stands in it twice", where=where, fix="list each value once")
        return tuple(tuple(value) if isinstance(value, list) else value for value in found)
    if not isinstance(found, dict):
        fix = f'write "{key}" = [{toml_value(found)}, ...] or {{low = ..., high = ...}}'
        raise RecipeError(f"{key} = {toml_value(found)} is neither a list nor a range", where=where, fix=fix)
    for part in found:
        if part not in _RANGE:
            fix = nearest(part, _RANGE) or "a range is {low = ..., high = ..., log = true or false}"
            raise RecipeError(f"{key}: unknown key {part}", where=where, fix=fix)
    return _range(key, found, where)


def _range(key: str, found: Mapping[str, Any], where: str) -> Range:
    low, high, log = found.get("low"), found.get("high"), found.get("log", False)
    numbers = all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in (low, high))
    if not numbers or not isinstance(log, bool):
        fix = "a range is {low = number, high = number, log = true or false}"
        raise RecipeError(f"{key} = {toml_value(dict(found))} is no range", where=where, fix=fix)
    try:
        return Range(low, high, log)  # type: ignore[arg-type]
    except ValueError as error:
        raise RecipeError(f"{key}: {error}", where=where, fix="mend the range") from None


def _value(recipe: Recipe[Any], key: str) -> object:
    """What the recipe has at a key, which may be a backbone's that is written in [model]; `...` where there is none."""
    section, _, rest = key.partition(".")
    for way in (key, f"{section}.backbone.{rest}"):
        with suppress(ValueError):
            return recipe.value(way)
    return ...


def _is_among(value: object, values: Values) -> bool:
    return values.holds(value) if isinstance(values, Range) else toml_value(value) in map(toml_value, values)
