"""From pydantic's errors to lines that a user can act on: the key, the value found, what was expected."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, cast

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from damrs_dgl.errors import RecipeError
from damrs_dgl.recipe.data_section import DATA_FORMATS
from damrs_dgl.recipe.expectations import as_model, expectation, value_model

CONFLICT: Final = "recipe_conflict"
KeyPath = tuple[str, ...]


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
        if detail["type"] == CONFLICT:
            found.update({conflict: conflict for conflict in detail["ctx"]["conflicts"]})
        else:
            path = _path(detail["loc"], values, missing=detail["type"] == "missing")
            found.setdefault(path, _mistake(cast(dict[str, Any], detail), path, values, root))
    return list(found.values())


def conflicts_besides(values: Mapping[str, Any], mistakes: Sequence[Mistake], root: type[BaseModel]) -> list[Mistake]:
    """The conflicts between sound keys, which pydantic looks for only where every key is sound.

    The wrong keys are taken out and the rest is checked again; what touches a wrong key is left for later.
    """
    rest = copy.deepcopy(dict(values))
    broken = [key for mistake in mistakes for key in mistake.keys]
    for key in broken:
        _remove(rest, key)
    if any(key in (("data",), ("data", "format"), ("data", "path")) for key in broken):
        rest["data"] = {"format": "synthetic"}
        broken.append(("data",))
    try:
        root.model_validate(rest)
    except ValidationError as error:
        return [mistake for mistake in explain(error, rest, root) if not _touches(mistake.keys, broken)]
    return []


def _touches(keys: Sequence[KeyPath], broken: Sequence[KeyPath]) -> bool:
    return any(a[: len(b)] == b or b[: len(a)] == a for a in keys for b in broken)


def _remove(table: dict[str, Any], path: KeyPath) -> None:
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


def _lookup(values: Mapping[str, Any], path: KeyPath) -> object:
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
        return Mistake((path,), what, _right_key(path, model, root))
    if path == ("data",) and kind in ("missing", "union_tag_not_found"):
        what = "[data] is missing" if kind == "missing" else "data.format is missing"
        formats = ", ".join(f'"{name}"' for name in DATA_FORMATS)
        return Mistake((path,), what, f"say how the data are stored: data.format is one of {formats}")
    if path == ("data",) and kind == "union_tag_invalid":
        found = toml_value(values["data"]["format"])
        return Mistake(
            (("data", "format"),),
            f"data.format = {found}",
            f"expected one of {', '.join(map(toml_value, DATA_FORMATS))}",
        )
    field = model.model_fields.get(path[-1]) if model else None
    if kind == "missing":
        return Mistake((path,), f"{key} is missing", f"expected {expectation(field) if field else 'a value'}")
    found = f"{key} = {toml_value(_lookup(values, path))}"
    if kind == "value_error":
        return Mistake((path,), f"{found}: {detail['ctx']['error']}")
    return Mistake((path,), found, f"expected {_expected(field, path, values, root)}")


def _expected(field: FieldInfo | None, path: KeyPath, values: Mapping[str, Any], root: type[BaseModel]) -> str:
    if len(path) == 1 and path[0] not in ("name", "description"):
        return f"a section [{path[0]}]"
    if field is not None:
        return expectation(field)
    owner, name = list(_models(path[:-1], values, root))[-1]
    table = owner.model_fields.get(name) if owner else None
    return expectation(table, inside=True) if table else "a value of another kind"


def _right_key(path: KeyPath, model: type[BaseModel] | None, root: type[BaseModel]) -> str:
    """The cure for an unknown key: the section that has it, else the nearest name, else all names."""
    name, prefix = path[-1], ".".join(path[:-1])
    sections = {section: as_model(field.annotation) for section, field in root.model_fields.items()}
    allowed = list(model.model_fields) if model else []
    owners = [f"{section}.{name}" for section, other in sections.items() if other and name in other.model_fields]
    formats = [tag for tag, other in DATA_FORMATS.items() if name in other.model_fields]
    if model in DATA_FORMATS.values() and formats:
        return f"a key of data.format = {' or '.join(map(toml_value, formats))} only"
    if formats and prefix != "data":
        owners = ["data." + name, *owners]
    if owners:
        return f"it belongs to another section: write {' or '.join(owners)}"
    if name in root.model_fields and prefix:
        return f"it belongs to the top of the recipe: write {name}"
    if near := get_close_matches(name.lower(), allowed, n=1):
        return f"did you mean {'.'.join((*path[:-1], near[0]))}?"
    return f"allowed there: {', '.join(allowed)}"
