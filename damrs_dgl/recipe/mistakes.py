"""From pydantic's errors to lines that a user can act on: the key, the value found, what was expected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, cast

from pydantic import ValidationError

from damrs_dgl.data.formats import FORMATS
from damrs_dgl.errors import RecipeError
from damrs_dgl.models.registry import models
from damrs_dgl.recipe.text import Schema, expectation, schema_of, toml_value
from damrs_dgl.settings import Section

KeyPath = tuple[str, ...]
_FORMAT: Schema = {"enum": list(FORMATS)}  # of [data]


class Mistake(RecipeError):
    """One mistake. ``keys``: the keys that it is about, the one to blame first."""

    def __init__(self, keys: Sequence[KeyPath], what: str, fix: str | None = None) -> None:
        super().__init__(what, fix=fix)
        self.keys = keys


def refusal(mistakes: Sequence[RecipeError], source: object = None) -> RecipeError:
    """The first mistake as an exception that says how many more there are, and what lists those of a ``source``."""
    first, rest = mistakes[0], len(mistakes) - 1
    more = f"and {rest} more" if rest else None
    if rest and source is not None:
        more = f"{rest} more mistake{'s' if rest > 1 else ''}: `damrs-dgl recipes validate {source}` lists them"
    return RecipeError(first.what, where=first.where, fix="; ".join(filter(None, [first.fix, more])) or None)


def nearest(key: str, known: Sequence[str], otherwise: str) -> str:
    """The cure for a name that is none: the nearest one, or what else to say."""
    near = get_close_matches(key.lower(), known, n=1)
    return f"did you mean {near[0]}?" if near else otherwise


def find(table: object, path: KeyPath) -> Any:
    """The value that a key of a table, or of a table in it, has; `...` where there is none."""
    for part in path:
        table = table.get(part, ...) if isinstance(table, Mapping) else ...
    return table


def touches(keys: Sequence[KeyPath], others: Sequence[KeyPath]) -> bool:
    """Whether any of the keys is one of the others, inside of one, or around one."""
    return any(a[: len(b)] == b or b[: len(a)] == a for a in keys for b in others)


def explain(
    error: ValidationError, table: Mapping[str, Any], kind: type[Section], written: Mapping[str, Any]
) -> list[Mistake]:
    """Every mistake of a table, one per key, in the order of the recipe's sections.

    ``written``: the table as the user has it, where a key of a backbone may stand in [model] and is called so.
    """
    schema = schema_of(kind)
    named = [data for name, data in FORMATS.items() if name == find(table, ("data", "format"))]
    of_data = {}  # the keys of its format; where it names none, those of all
    for data in named or FORMATS.values():
        of_data.update(schema_of(data)["properties"])
    schema["properties"]["data"] = {"properties": {**of_data, "format": _FORMAT}}
    found: dict[KeyPath, Mistake] = {}
    for detail in error.errors(include_url=False):
        path = _path(detail["type"], detail["loc"], table)
        key = _as_written(path, written)
        what, fix = _what_and_fix(cast("dict[str, Any]", detail), path, ".".join(key), table, schema)
        found.setdefault(path, Mistake((key, path), what, fix))
    return list(found.values())


def _path(kind: str, loc: tuple[int | str, ...], table: Mapping[str, Any]) -> KeyPath:
    """The key in the user's terms: pydantic's location without the names of union members and list positions."""
    path: list[str] = []
    found: object = table
    for part in loc:
        if isinstance(found, Mapping) and part in found:
            path.append(str(part))
            found = found[part]
    if kind.startswith("union_tag"):
        path.append("format")
    return (*path, str(loc[-1])) if kind == "missing" else tuple(path)


def _as_written(path: KeyPath, written: Mapping[str, Any]) -> KeyPath:
    """The key as the recipe has it: `model.backbone.dim` may stand there as `model.dim`."""
    if path[:2] != ("model", "backbone") or path[-1] == "name":
        return path
    forms = [(*path[:depth], path[-1]) for depth in range(len(path) - 1, 0, -1)]
    return next((form for form in forms if find(written, form) is not ...), path)


def _what_and_fix(
    detail: Mapping[str, Any], path: KeyPath, key: str, table: Mapping[str, Any], schema: Schema
) -> tuple[str, str | None]:
    """What is wrong with the value of a key, or its absence, and the cure."""
    kind, value, declared = detail["type"], find(table, path), _declared(path, schema)
    if kind == "extra_forbidden" and len(path) == 1 and isinstance(value, Mapping):
        return f"unknown section [{key}]", next(_section_cures(path, value, schema))
    if kind == "extra_forbidden":
        return f"unknown key {key}", next(_key_cures(path, table, schema))
    if kind == "value_error":
        shown = f"[{key}]" if isinstance(value, Mapping) else f"{key} = {toml_value(value)}"
        return f"{shown}: {detail['ctx']['error']}", None
    is_section = len(path) == 1 and "properties" in declared
    shown = f"[{key}]" if is_section else key
    expected = f"expected {f'a section {shown}' if is_section else expectation(declared)}"
    if value is not ...:
        return f"{key} = {toml_value(value)}", expected
    if path in (("data",), ("data", "format")):
        expected = f"say how the data are stored: data.format is {expectation(_FORMAT)}"
    return f"{shown} is missing", expected


def _section_cures(path: KeyPath, value: Mapping[str, Any], schema: Schema) -> Iterator[str]:
    """For an unknown section: the nearest one, else what has that name or its keys, else all names."""
    yield from _nearest(path, [key for key, declared in schema["properties"].items() if "properties" in declared])
    yield from _elsewhere(path, schema)
    if moved := [f"model.{key}" for key in value if _systems_with(key)]:
        yield f"its keys belong to [model]: write {' and '.join(moved[:2])}"
    yield f"allowed there: {', '.join(schema['properties'])}"


def _key_cures(path: KeyPath, table: Mapping[str, Any], schema: Schema) -> Iterator[str]:
    """For an unknown key: the format, section or system that has it, else the nearest name, else all names."""
    section, name = path[:-1], path[-1]
    formats = [toml_value(tag) for tag, data in FORMATS.items() if name in data.model_fields]
    only = [f"a key of data.format = {' or '.join(formats)} only"] if formats else []
    yield from only if section == ("data",) else []
    yield from _elsewhere(path, schema)
    yield from only
    if section[:1] == ("model",) and (systems := _systems_with(name)):
        chosen = toml_value(find(table, (*section, "name")))
        yield f"{'.'.join(section)}.name = {chosen} has none; a key of {', '.join(systems)}"
    ways = _all_keys(_declared(section, schema))
    known = list(dict.fromkeys(way[-1] for way in ways if section or len(way) == 1))
    yield from _nearest(path, known)
    yield f"allowed there: {', '.join(known)}"


def _nearest(path: KeyPath, known: Iterable[str]) -> Iterator[str]:
    for near in get_close_matches(path[-1].lower(), known, n=1):
        yield f"did you mean {'.'.join((*path[:-1], near))}?"


def _elsewhere(path: KeyPath, schema: Schema) -> Iterator[str]:
    """Where else in the recipe a key of that name stands."""
    ways = [way for way in _all_keys(schema) if way[-1] == path[-1] and way[:-1] != path[:-1]]
    for way in ways:
        if way[: len(path)] == (*path[:-1], "backbone"):
            yield f"it stands in [{'.'.join(way[:-1])}] too: write it once"
    if ways:  # a key of a backbone may be written in [model]
        shown = dict.fromkeys(".".join([*(part for part in way[:-1] if part != "backbone"), way[-1]]) for way in ways)
        place = "another section" if len(ways[0]) > 1 else "the top of the recipe"
        yield f"it belongs to {place}: write {' or '.join(shown)}"


def _systems_with(key: str) -> list[str]:
    return [name for name, model in models().items() if key in model.Config.model_fields]


def _declared(path: KeyPath, schema: Schema) -> Schema:
    """What declares a key of a table; empty where nothing does."""
    for part in path:
        schema = schema.get("properties", {}).get(part) or schema.get("additionalProperties") or {}
    return schema


def _all_keys(schema: Schema, place: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key of a table and of the sections in it."""
    for key, inner in schema.get("properties", {}).items():
        yield (*place, key)
        yield from _all_keys(inner, (*place, key))
