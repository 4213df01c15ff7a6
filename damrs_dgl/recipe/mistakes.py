"""From pydantic's errors to lines that a user can act on: the key, the value found, what was expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError

from damrs_dgl.data.formats import FORMATS
from damrs_dgl.errors import Mistake
from damrs_dgl.models.registry import models
from damrs_dgl.models.specification.tables import as_written
from damrs_dgl.settings import Schema, Section, expectation, nearest, schema_of
from damrs_dgl.toml import toml_value, value_at

KeyPath = tuple[str, ...]
_FORMAT: Schema = {"enum": list(FORMATS)}  # of [data]


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
    named = [data for name, data in FORMATS.items() if name == value_at(table, ("data", "format"))]
    of_data: Schema = {}  # the keys of its format; where it names none, those of all
    for data in named or FORMATS.values():
        of_data |= schema_of(data)["properties"]
    schema = {**schema, "properties": {**schema["properties"], "data": {"properties": {**of_data, "format": _FORMAT}}}}
    found: dict[KeyPath, Mistake] = {}
    for detail in error.errors(include_url=False):
        path = _path(detail["type"], detail["loc"], table)
        key = as_written(path, written)
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


def _what_and_fix(
    detail: Mapping[str, Any], path: KeyPath, key: str, table: Mapping[str, Any], schema: Schema
) -> tuple[str, str | None]:
    """What is wrong with the value of a key, or its absence, and the cure."""
    kind, value, declared = detail["type"], value_at(table, path), _declared(path, schema)
    if kind == "extra_forbidden":
        is_section = len(path) == 1 and isinstance(value, Mapping)
        return f"unknown {f'section [{key}]' if is_section else f'key {key}'}", next(_cures(path, table, schema))
    if kind == "value_error":
        shown = f"[{key}]" if isinstance(value, Mapping) or value is ... else f"{key} = {toml_value(value)}"
        return f"{shown}: {detail['ctx']['error']}", None
    is_section = len(path) == 1 and "properties" in declared
    expected = f"expected {f'a section [{key}]' if is_section else expectation(declared)}"
    if value is not ...:
        return f"{key} = {toml_value(value)}", expected
    if path in (("data",), ("data", "format")):
        expected = f"say how the data are stored: data.format is {expectation(_FORMAT)}"
    return f"{f'[{key}]' if is_section else key} is missing", expected


def _cures(path: KeyPath, table: Mapping[str, Any], schema: Schema) -> Iterator[str]:
    """For an unknown key or section: the format, section or system that has it, else the nearest name, else all."""
    *way, name = path
    value, place = value_at(table, path), "".join(f"{part}." for part in way)
    formats = [toml_value(tag) for tag, data in FORMATS.items() if name in data.model_fields]
    if not formats or way != ["data"]:
        yield from _elsewhere(path, schema)
    if formats:
        yield f"a key of data.format = {' or '.join(formats)} only"
    if way[:1] == ["model"] and (systems := _systems_with(name)):
        yield f"{place}name = {toml_value(value_at(table, (*way, 'name')))} has none; a key of {', '.join(systems)}"
    here = _declared(path[:-1], schema)
    known = {inner[-1]: _declared(inner, here) for inner in _all_keys(here) if way or len(inner) == 1}
    sections = [key for key, declared in known.items() if "properties" in declared]
    if near := nearest(name, sections if isinstance(value, Mapping) and not way else known, place):
        yield near
    if not way and isinstance(value, Mapping) and (moved := [f"model.{key}" for key in value if _systems_with(key)]):
        yield f"its keys belong to [model]: write {' and '.join(moved[:2])}"
    yield f"allowed there: {', '.join(known)}"


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
