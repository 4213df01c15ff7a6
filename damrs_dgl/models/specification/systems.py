"""A recipe's table with other values, or turned into that of another system, a backbone, or a row of an ablation.

A system that wraps another may be named with it: `wrapper:backbone`, a row of its ablation too.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping
from typing import Any, Final

from damrs_dgl.errors import RecipeError
from damrs_dgl.models.base import ModelConfig, WrapperConfig
from damrs_dgl.models.registry import DEFAULT_MODEL, find_backbone, find_model, models, no_system
from damrs_dgl.models.specification.tables import canonical_model, fill, preset_values
from damrs_dgl.toml import toml_value

BACKBONE: Final = "backbone"  # the system that the recipe's own wraps, whichever that is


def system_names() -> list[str]:
    """All names that a study may compare: systems, rows of their ablations, and `backbone`."""
    rows = [row for model in models().values() for row in model.ablations]
    return [*models(), *rows, BACKBONE]


def floor_systems() -> list[str]:
    """The systems that every comparison shows."""
    return [name for name, model in models().items() if model.is_floor]


def ablation_systems(table: Mapping[str, Any]) -> tuple[list[str], str]:
    """The rows of the ablation of a [model] table's system, what it wraps first, and which of them is the whole system.

    Raises RecipeError where the system has no ablation.
    """
    own = canonical_model(table)
    rows = find_model(own["name"]).ablations
    if not rows:
        having = [name for name, model in models().items() if model.ablations]
        raise RecipeError(f'"{own["name"]}" has no ablation', fix=f"{', '.join(having)} have one")
    whole = whole_system(own)
    plain = [BACKBONE] if BACKBONE in own else []
    return list(dict.fromkeys([*plain, *rows, whole])), whole


def whole_system(table: Mapping[str, Any]) -> str:
    """The row of an ablation that is a [model] table's system as it is; the system's own name where none is."""
    name = table.get("name", DEFAULT_MODEL)
    return next((row for row, settings in find_model(name).ablations.items() if not settings), name)


def full_name(table: Mapping[str, Any]) -> str:
    """The name of a [model] table's system with what it wraps: `wrapper:backbone`."""
    own = canonical_model(table)
    return f"{own['name']}:{full_name(own[BACKBONE])}" if BACKBONE in own else own["name"]


def check_system(name: str) -> str:
    """The system's name in lower case; RecipeError that gives the nearest or all names where there is none."""
    outer, backbone = _parted(name)
    if backbone is not None:
        config = find_model(_owner(outer) or outer).Config
        if not issubclass(config, WrapperConfig):
            raise RecipeError(f'"{outer}" wraps no other system: write its name alone')
        if _parted(backbone)[1] is None:
            find_backbone(backbone)
            return f"{outer}:{backbone}"
        return f"{outer}:{check_system(backbone)}"
    if ":" in name:
        find_model(name)
        return name
    lower, known = name.lower(), system_names()
    if lower in known:
        return lower
    raise no_system(name, known)


def as_system(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A copy of a recipe's table, as it was written, that trains the named system; the rest of the recipe stays.

    `backbone` is what the recipe's system wraps as it is inside, with the start and learning rate that it has there;
    the same system by its own name has its own defaults, as any other has.

    Raises RecipeError for a name that is no system, and for `backbone` where the recipe's system wraps none.
    """
    name = check_system(name)
    outer, backbone = _parted(name)
    if backbone is not None:
        return _with_backbone_at(as_system(values, outer), f"model.{BACKBONE}", backbone)
    table = copy.deepcopy(dict(values))
    model = table.get("model", {})
    own = canonical_model(model)
    if name == BACKBONE and BACKBONE not in own:
        raise RecipeError(f'"{own["name"]}" wraps no other system, so that it has no backbone')
    if name == BACKBONE:
        # as it is inside the wrapper, start and learning rate too: else it would be another comparison
        for path, value in preset_values(own).items():
            if path.startswith((f"model.{BACKBONE}.", "training.")):
                fill(table, path, value)
        inside = canonical_model(table.get("model", {}))[BACKBONE]
        table["model"] = {**own[BACKBONE], **inside}
        return table
    owner = _owner(name)
    table["model"] = switch_model(own, owner or name)
    return changed(table, models()[owner].ablations[name]) if owner else table


def _with_backbone_at(table: dict[str, Any], place: str, name: str) -> dict[str, Any]:
    """A recipe's table with a backbone at the place, which may have one of its own in its name."""
    outer, inner = _parted(name)
    table = changed(table, {place: outer})
    return table if inner is None else _with_backbone_at(table, f"{place}.{BACKBONE}", inner)


def changed(values: Mapping[str, Any], changes: Mapping[str, object]) -> dict[str, Any]:
    """A copy of a recipe's table, as it was written, with some values set: `{"section.key": value}`.

    Another system, or backbone, keeps the keys that it shares; it is put in place before keys are set, wherever it
    stands among the changes. Raises RecipeError where a key leads into a plain value.
    """
    table = copy.deepcopy(dict(values))
    for key in sorted(changes, key=precedence):
        value = changes[key]
        *way, last = key.split(".")
        if key in (f"model.{BACKBONE}", f"model.{BACKBONE}.name", "model.name") and isinstance(value, str):
            table["model"] = _with_system(table.get("model", {}), value, backbone=key != "model.name")
            continue
        if way[:1] == ["model"] and len(way) > 1:
            _start_from_default(table.setdefault("model", {}), way[1])
        _table_at(table, way)[last] = value
        if way[:1] == ["model"]:
            _keep_one(table["model"], way[1:], last)
    return table


def precedence(key: str) -> int:
    """When a change is made: a whole [model], the system, what it wraps, what that wraps, then single keys."""
    *way, last = key.split(".")
    if key != "model" and not (way[:1] == ["model"] and {*way[1:]} <= {BACKBONE} and last in ("name", BACKBONE)):
        return sys.maxsize
    return 2 * len(way) + (last == BACKBONE)


def _start_from_default(model: Any, key: str) -> None:
    """Write down the systems that a table of systems has by default, before one of them is changed."""
    try:
        field = find_model(model.get("name", DEFAULT_MODEL)).Config.model_fields.get(key)
    except (AttributeError, ValueError):  # which the validation tells
        return
    default = field.get_default(call_default_factory=True) if field and field.default_factory else None
    if key not in model and isinstance(default, dict):
        model[key] = {name: config.model_dump(exclude_unset=True) for name, config in default.items()}


def _with_system(model: Any, name: str, *, backbone: bool) -> dict[str, Any]:
    """[model] with another system, or backbone; a wrong name is left for the validation to tell."""
    try:
        own = canonical_model(model)
        if not backbone:
            return switch_model(own, name)
        return {**own, BACKBONE: switch_model(own.get(BACKBONE, {"name": name}), name)}
    except RecipeError:
        if isinstance(model, dict) and (backbone or model.get("name", DEFAULT_MODEL) == name):
            return {**model, BACKBONE: name} if backbone else model
        return {"name": name}


def _table_at(table: dict[str, Any], way: list[str]) -> dict[str, Any]:
    """The table that keys lead to, made where there is none."""
    for depth, part in enumerate(way, start=1):
        inner = table.setdefault(part, {})
        if part == BACKBONE and isinstance(inner, str):  # short for a table with that name
            inner = table[part] = {"name": inner}
        if not isinstance(inner, dict):
            raise RecipeError(f"{'.'.join(way[:depth])} is {toml_value(inner)}, not a table, and has no keys inside")
        table = inner
    return table


def _keep_one(owner: dict[str, Any], way: list[str], key: str) -> None:
    """A backbone's key was just set in the table at `way` below `owner`: delete it where else it may stand."""
    inner = owner.get(BACKBONE)
    try:
        own = find_model(owner.get("name", DEFAULT_MODEL)).Config.model_fields
    except ValueError:  # which the validation tells
        return
    if isinstance(inner, dict) and key not in own:
        (owner if way else inner).pop(key, None)
        _keep_one(inner, way[1:], key)


def _parted(name: str) -> tuple[str, str | None]:
    """`wrapper:backbone` as (wrapper, backbone), a wrapper's name in lower case; (name, None) for every other name."""
    outer, _, backbone = name.partition(":")
    lower = outer.lower()
    if not backbone or (lower not in models() and _owner(lower) is None):
        return name, None
    return lower, backbone if ":" in backbone else backbone.lower()


def _owner(row: str) -> str | None:
    """The system whose ablation has a row of that name."""
    return next((name for name, system in models().items() if row in system.ablations), None)


def switch_model(own: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The [model] table of another system: the keys that mean the same in the present one keep their values.

    A key means the same where both systems describe it in the same words: `regularization` is BPR's weight in many
    systems, and a ridge a million times as large in EASE.

    `own`: in canonical form. Asked for the system wrapped inside, that system's whole table comes back. Another wrapper
    keeps the backbone; a wrapper round a plain system moves that system's keys into its default backbone. A blend puts
    them into its member of that name, and returns them on the way back.
    """
    if own["name"] == name.lower():
        return dict(own)
    if inside := find_model(own["name"]).Config.given_back(own, name.lower()):
        return dict(inside)
    backbone, config = own.get(BACKBONE, {}), find_model(name).Config
    kept: dict[str, Any] = {}
    for table in filter(None, (backbone, own)):
        shared = _meanings(find_model(table["name"]).Config) & _meanings(config)
        kept |= {key: table[key] for key, _ in shared if key in table and key not in (BACKBONE, config.PRESET_KEY)}
    if issubclass(config, WrapperConfig):
        kept[BACKBONE] = dict(backbone) if backbone else switch_model(own, config.DEFAULT_BACKBONE)
    return {**kept, **config.taken_over(own), "name": name}


def _meanings(config: type[ModelConfig]) -> set[tuple[str, str]]:
    return {(key, field.description) for key, field in config.model_fields.items() if field.description}
