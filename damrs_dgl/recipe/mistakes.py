"""From pydantic's errors to lines that a user can act on: the key, the value found, what was expected."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from damrs_dgl.errors import RecipeError
from damrs_dgl.models.registry import models
from damrs_dgl.models.tables import keys_of
from damrs_dgl.recipe.data_section import DATA_FORMATS
from damrs_dgl.recipe.expectations import as_model, expectation, value_model

KeyPath = tuple[str, ...]
_NO_SECTIONS = ("name", "description")  # the plain keys at the top of a recipe


@dataclass(frozen=True)
class Mistake:
    """One mistake. ``keys``: the keys that it is about, the one to blame first."""

    keys: tuple[KeyPath, ...]
    what: str
    fix: str | None = None

    def __str__(self) -> str:
        return str(self.error())

    def error(self, where: str | None = None, more: str | None = None) -> RecipeError:
        """As an exception; ``where`` it stands, and ``more`` to be said after the cure."""
        cures = [text for text in (self.fix, more) if text]
        return RecipeError(self.what, where=where, fix="; ".join(cures) or None)


def error_of(mistakes: Sequence[Mistake]) -> RecipeError:
    """The first mistake as an exception that says how many more there are."""
    rest = len(mistakes) - 1
    return mistakes[0].error(more=f"and {rest} more" if rest else None)


def set_path(table: dict[str, Any], path: KeyPath, value: object) -> None:
    """Set ``table[path[0]][path[1]]... = value``, making tables; ``ValueError`` where one is a plain value."""
    for depth, part in enumerate(path[:-1], start=1):
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ValueError(f"{'.'.join(path[:depth])} is {toml_value(table)}, not a table, and has no keys inside")
    table[path[-1]] = value


def toml_value(value: object) -> str:
    """``value`` as TOML writes it, tables inline."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key} = {toml_value(item)}" for key, item in value.items())
        return f"{{{inside}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    return str(value)


def explain(error: ValidationError, values: Mapping[str, Any], root: type[BaseModel]) -> list[Mistake]:
    """Every mistake of ``values``, one per key, in the order of the recipe's sections."""
    found: dict[object, Mistake] = {}
    for detail in error.errors(include_url=False):
        path = _path(detail["loc"], values, missing=detail["type"] == "missing")
        found.setdefault(path, _mistake(cast(dict[str, Any], detail), path, values, root))
    return list(found.values())


def touches(keys: Sequence[KeyPath], broken: Sequence[KeyPath]) -> bool:
    """Whether any of the keys is one of the broken ones, inside of one, or around one."""
    return any(a[: len(b)] == b or b[: len(a)] == a for a in keys for b in broken)


def in_written_terms(mistake: Mistake, written: Mapping[str, Any]) -> Mistake:
    """The mistake with each key of a backbone called as the recipe has it: `model.dim` may be `model.backbone.dim`."""
    keys, what = [], mistake.what
    for key in mistake.keys:
        keys.append(_written(key, written))
        what = what.replace(".".join(key), ".".join(keys[-1]))
    return Mistake(tuple(keys), what, mistake.fix)


def _written(key: KeyPath, written: Mapping[str, Any]) -> KeyPath:
    shorter = key
    while "backbone" in shorter[:-1] and key[-1] != "name":
        if stands_in(written, shorter):
            return shorter
        shorter = (*shorter[:-2], shorter[-1])
    return shorter if stands_in(written, shorter) else key


def stands_in(values: Mapping[str, Any], path: KeyPath) -> bool:
    """Whether a table holds a key."""
    found: object = values
    for part in path:
        if not isinstance(found, Mapping) or part not in found:
            return False
        found = found[part]
    return True


def remove_path(table: dict[str, Any], path: KeyPath) -> None:
    """Take a key out of a table, where it is there."""
    for part in path[:-1]:
        inner = table.get(part)
        if not isinstance(inner, dict):
            return
        table = inner
    table.pop(path[-1], None)


def _path(loc: tuple[int | str, ...], values: Mapping[str, Any], *, missing: bool) -> KeyPath:
    """The key in the user's terms: pydantic's location without the names of union members and list positions."""
    path: list[str] = []
    found: object = values
    for part in loc:
        if isinstance(found, Mapping) and part in found:
            path.append(str(part))
            found = found[part]
    if missing:
        path.append(str(loc[-1]))
    return tuple(path)


def _lookup(values: Mapping[str, Any], path: KeyPath) -> Any:
    found: Any = values
    for part in path:
        found = found[part]
    return found


def _models(
    path: KeyPath, values: Mapping[str, Any], root: type[BaseModel]
) -> Iterator[tuple[type[BaseModel] | None, str]]:
    """For each part of a key: the model that it is a field of (None in a free table) and the part itself."""
    model: type[BaseModel] | None = root
    free: FieldInfo | None = None
    for part in path:
        yield model, part
        if model is None:
            model = value_model(free.annotation) if free else None
            continue
        field = model.model_fields.get(part)
        if part == "data" and model is root:
            data = values.get("data")
            tag = data.get("format") if isinstance(data, Mapping) else None
            model, free = (DATA_FORMATS.get(tag) if isinstance(tag, str) else None), None
        elif field is not None and (inner := as_model(field.annotation)):
            model, free = inner, None
        else:
            model, free = None, field


def _mistake(detail: dict[str, Any], path: KeyPath, values: Mapping[str, Any], root: type[BaseModel]) -> Mistake:
    kind, key = detail["type"], ".".join(path)
    model = list(_models(path, values, root))[-1][0] if path else root
    if kind == "extra_forbidden":
        is_section = len(path) == 1 and isinstance(values[path[0]], Mapping)
        what = f"unknown section [{key}]" if is_section else f"unknown key {key}"
        return Mistake(
            (path,), what, _right_section(path[0], values, root) if is_section else _right_key(path, values, root)
        )
    if path == ("data",) and kind in ("missing", "union_tag_not_found", "union_tag_invalid"):
        return _format_mistake(kind, values)
    field = model.model_fields.get(path[-1]) if model else None
    if kind == "missing":
        return Mistake((path,), f"{key} is missing", f"expected {expectation(field) if field else 'a value'}")
    found = f"{key} = {toml_value(_lookup(values, path))}"
    if kind == "value_error":
        return Mistake((path,), f"{found}: {detail['ctx']['error']}")
    return Mistake((path,), found, f"expected {_expected(field, path, values, root)}")


def _format_mistake(kind: str, values: Mapping[str, Any]) -> Mistake:
    """The mistake of a [data] that is not there, or whose format is none or unknown."""
    formats = ", ".join(map(toml_value, DATA_FORMATS))
    if kind == "union_tag_invalid":
        found = toml_value(values["data"]["format"])
        return Mistake((("data", "format"),), f"data.format = {found}", f"expected one of {formats}")
    what = "[data] is missing" if kind == "missing" else "data.format is missing"
    return Mistake((("data",),), what, f"say how the data are stored: data.format is one of {formats}")


def _expected(field: FieldInfo | None, path: KeyPath, values: Mapping[str, Any], root: type[BaseModel]) -> str:
    if len(path) == 1 and path[0] not in _NO_SECTIONS:
        return f"a section [{path[0]}]"
    if field is not None:
        return expectation(field)
    owner, name = list(_models(path[:-1], values, root))[-1]
    table = owner.model_fields.get(name) if owner else None
    return expectation(table, inside=True) if table else "a value of another kind"


def _right_section(name: str, values: Mapping[str, Any], root: type[BaseModel]) -> str:
    """The cure for an unknown section: the nearest name, else [model] if it holds a system's keys, else all names."""
    sections = [key for key in root.model_fields if key not in _NO_SECTIONS]
    if near := get_close_matches(name.lower(), sections, n=1):
        return f"did you mean {near[0]}?"
    if moved := [key for key in values[name] if key in keys_of(values["model"]) or _systems_with(key)]:
        return f"its keys belong to [model]: write {' and '.join(f'model.{key}' for key in moved[:2])}"
    if owners := _owners(name, "", values, root):
        return f"it belongs to another section: write {' or '.join(owners)}"
    return f"allowed there: {', '.join(root.model_fields)}"


def _right_key(path: KeyPath, values: Mapping[str, Any], root: type[BaseModel]) -> str:
    """The cure for an unknown key: the section or system that has it, else the nearest name, else all names."""
    name, prefix = path[-1], ".".join(path[:-1])
    model = list(_models(path, values, root))[-1][0]
    formats = [tag for tag, other in DATA_FORMATS.items() if name in other.model_fields]
    if model in DATA_FORMATS.values() and formats:
        return f"a key of data.format = {' or '.join(map(toml_value, formats))} only"
    if owners := _owners(name, prefix, values, root):
        return f"it belongs to another section: write {' or '.join(owners)}"
    if name in root.model_fields and prefix:
        return f"it belongs to the top of the recipe: write {name}"
    if path[0] == "model" and prefix:
        return _right_model_key(path, values)
    return _nearest(path, list(model.model_fields) if model else [])


def _right_model_key(path: KeyPath, values: Mapping[str, Any]) -> str:
    """The cure for an unknown key in [model] or one of its backbones."""
    name, prefix = path[-1], ".".join(path[:-1])
    table = _lookup(values, path[:-1])
    known = keys_of(table)
    if name in known:
        return f"it stands in [{prefix}.backbone] too: write it once"
    if systems := _systems_with(name):
        return f"{prefix}.name = {toml_value(table['name'])} has none; a key of {', '.join(systems)}"
    return _nearest(path, list(known))


def _nearest(path: KeyPath, allowed: Sequence[str]) -> str:
    if near := get_close_matches(path[-1].lower(), allowed, n=1):
        return f"did you mean {'.'.join((*path[:-1], near[0]))}?"
    return f"allowed there: {', '.join(allowed)}"


def _owners(name: str, prefix: str, values: Mapping[str, Any], root: type[BaseModel]) -> list[str]:
    """Where else in a recipe a key of that name stands."""
    sections = {section: as_model(field.annotation) for section, field in root.model_fields.items()}
    owners = [f"{section}.{name}" for section, other in sections.items() if other and name in other.model_fields]
    if prefix.partition(".")[0] != "model" and f"model.{name}" not in owners and name in keys_of(values["model"]):
        owners.append(f"model.{name}")
    of_data = any(name in other.model_fields for other in DATA_FORMATS.values())
    return [f"data.{name}", *owners] if of_data and prefix != "data" else owners


def _systems_with(key: str) -> list[str]:
    """Systems with a key of that name."""
    return [name for name, model in models().items() if key in model.Config.model_fields]
