"""From pydantic's errors to lines that a user can act on: the key, the value found, what was expected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from damrs_dgl.errors import RecipeError
from damrs_dgl.models.registry import models
from damrs_dgl.recipe.text import Schema, expectation, schema_of, toml_value
from damrs_dgl.settings import Section

KeyPath = tuple[str, ...]


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
    found: dict[KeyPath, Mistake] = {}
    for detail in error.errors(include_url=False):
        path = _path(detail["type"], detail["loc"], table)
        key = _as_written(path, written)
        reason = str(detail["ctx"]["error"]) if detail["type"] == "value_error" else None
        unknown = detail["type"] == "extra_forbidden"
        what, fix = _unknown(path, table, schema) if unknown else _wrong(path, ".".join(key), table, schema, reason)
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


def _wrong(
    path: KeyPath, key: str, table: Mapping[str, Any], schema: Schema, reason: str | None
) -> tuple[str, str | None]:
    """What is wrong with a value, or with its absence, and the cure; ``reason``: what a check of ours said."""
    value, declared = find(table, path), _declared(path, table, schema)
    is_section = len(path) == 1 and _is_section(declared)
    if reason:
        return f"[{key}]: {reason}" if isinstance(value, Mapping) else f"{key} = {toml_value(value)}: {reason}", None
    if value is not ...:
        expected = f"a section [{key}]" if is_section else expectation(declared)
        return f"{key} = {toml_value(value)}", f"expected {expected}"
    what = f"[{key}] is missing" if is_section else f"{key} is missing"
    if path in (("data",), ("data", "format")):
        formats = expectation(_declared(("data", "format"), {}, schema))
        return what, f"say how the data are stored: data.format is {formats}"
    return what, f"expected {expectation(declared)}"


def _unknown(path: KeyPath, table: Mapping[str, Any], schema: Schema) -> tuple[str, str]:
    """An unknown key or section, and its likeliest cure."""
    if len(path) == 1 and isinstance(table[path[0]], Mapping):
        return f"unknown section [{path[0]}]", next(_section_cures(path[0], table, schema))
    return f"unknown key {'.'.join(path)}", next(_key_cures(path, table, schema))


def _section_cures(name: str, table: Mapping[str, Any], schema: Schema) -> Iterator[str]:
    """The nearest section, else what has that name or holds the keys, else all names."""
    yield from _nearest((name,), [key for key, inner in schema["properties"].items() if _is_section(inner)])
    yield from _elsewhere((name,), schema)
    if moved := [f"model.{key}" for key in table[name] if _systems_with(key)]:
        yield f"its keys belong to [model]: write {' and '.join(moved[:2])}"
    yield f"allowed there: {', '.join(schema['properties'])}"


def _key_cures(path: KeyPath, table: Mapping[str, Any], schema: Schema) -> Iterator[str]:
    """The format, section or system that has the key, else the nearest name, else all names."""
    section, name = path[:-1], path[-1]
    kinds = schema["properties"]["data"]["oneOf"]
    formats = [kind["properties"]["format"]["const"] for kind in kinds if name in kind["properties"]]
    if section == ("data",) and formats:
        yield f"a key of data.format = {' or '.join(map(toml_value, formats))} only"
    yield from _elsewhere(path, schema)
    if section[:1] == ("model",) and (systems := _systems_with(name)):
        chosen = toml_value(find(table, (*section, "name")))
        yield f"{'.'.join(section)}.name = {chosen} has none; a key of {', '.join(systems)}"
    own = _kind(_declared(section, table, schema), find(table, section))
    known = list(dict.fromkeys(way[-1] for way in _all_keys(own) if section or len(way) == 1))
    yield from _nearest(path, known)
    yield f"allowed there: {', '.join(known)}"


def _nearest(path: KeyPath, known: Iterable[str]) -> Iterator[str]:
    for near in get_close_matches(path[-1].lower(), known, n=1):
        yield f"did you mean {'.'.join((*path[:-1], near))}?"


def _elsewhere(path: KeyPath, schema: Schema) -> Iterator[str]:
    """Where else in a recipe a key of that name stands."""
    ways = [way for way in _all_keys(schema) if way[-1] == path[-1] and way[:-1] != path[:-1]]
    for way in ways:
        if way[: len(path)] == (*path[:-1], "backbone"):
            yield f"it stands in [{'.'.join(way[:-1])}] too: write it once"
    if ways:  # a key of a backbone may be written in [model]
        shown = dict.fromkeys(".".join([*(part for part in way[:-1] if part != "backbone"), way[-1]]) for way in ways)
        place = "another section" if len(ways[0]) > 1 else "the top of the recipe"
        yield f"it belongs to {place}: write {' or '.join(shown)}"


def _declared(path: KeyPath, table: object, schema: Schema) -> Schema:
    """What declares a key of a table; empty where nothing does."""
    for part in path:
        kind = _kind(schema, table)
        schema = kind.get("properties", {}).get(part) or kind.get("additionalProperties") or {}
        table = find(table, (part,))
    return schema


def _kind(schema: Schema, table: object) -> Schema:
    """Of a table that there are several kinds of, [data], the kind that its format names."""
    kinds = {kind["properties"]["format"]["const"]: kind for kind in schema.get("oneOf", [])}
    if not kinds:
        return schema
    unknown = {"properties": {"format": {"enum": list(kinds)}}}
    return next((kind for name, kind in kinds.items() if name == find(table, ("format",))), unknown)


def _is_section(schema: Schema) -> bool:
    return "properties" in schema or "oneOf" in schema


def _all_keys(schema: Schema, place: KeyPath = ()) -> Iterator[KeyPath]:
    """Every key of a table and of the sections in it; of all its kinds."""
    for kind in schema.get("oneOf", [schema]):
        for key, inner in kind.get("properties", {}).items():
            yield (*place, key)
            yield from _all_keys(inner, (*place, key))


def _systems_with(key: str) -> list[str]:
    """Systems with a key of that name."""
    return [name for name, model in models().items() if key in model.Config.model_fields]
