"""From a recipe's [model] table, as it was written, to one that says everything: backbone, presets, checked keys."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from damrs_dgl.errors import RecipeError
from damrs_dgl.models.base import ModelConfig, WrapperConfig
from damrs_dgl.models.registry import DEFAULT_MODEL, config_class, find_backbone, find_model
from damrs_dgl.toml import value_at


class NoSystem(RecipeError):
    """What a [model] table names is no system, or none that can stand there.  key: where in the table it is named."""

    def __init__(self, message: str, key: tuple[str, ...]) -> None:
        super().__init__(message)
        self.key = key


def canonical_model(table: Mapping[str, Any]) -> dict[str, Any]:
    """The [model] table with its name, DA-MRS's where it has none, and its backbone as a table of its own.

    `backbone = "mf"` is short for `backbone = {name = "mf"}`, and a key of a wrapper's table that only its backbone has
    is the backbone's: `model.dim` of DA-MRS is `model.backbone.dim`. One that stands in both places stays there, for
    the validation to refuse. Raises NoSystem for a name that is no system, for a backbone that cannot be wrapped, and
    for what is no table.
    """
    if not isinstance(table, Mapping):
        raise NoSystem("expected a section [model]", ())
    values = _named(copy.deepcopy({"name": DEFAULT_MODEL, **table}), ())
    _hand_down(values)
    return values


def _named(values: dict[str, Any], place: tuple[str, ...]) -> dict[str, Any]:
    """The table with each backbone in it as a table with its name."""
    try:
        model = find_backbone(values["name"]) if place else find_model(values["name"])
    except ValueError as error:
        raise NoSystem(str(error), (*place, "name")) from None
    if ":" not in values["name"]:
        values["name"] = model.name  # which a recipe may write with capitals
    if issubclass(model.Config, WrapperConfig):
        place = (*place, "backbone")
        backbone = values.get("backbone", {})
        if isinstance(backbone, str):
            backbone = {"name": backbone}
        if not isinstance(backbone, dict):
            raise NoSystem("expected the name of a system, or a table of its keys", place)
        values["backbone"] = _named({"name": model.Config.DEFAULT_BACKBONE, **backbone}, place)
    return values


def _hand_down(values: dict[str, Any]) -> None:
    """Move the keys that only a backbone has to its table."""
    config = find_model(values["name"]).Config
    if issubclass(config, WrapperConfig):
        backbone = values["backbone"]
        known = _keys(backbone)
        for key in [key for key in values if key not in config.model_fields and key in known and key not in backbone]:
            backbone[key] = values.pop(key)
        _hand_down(backbone)


def as_written(path: tuple[str, ...], written: Mapping[str, Any]) -> tuple[str, ...]:
    """A key as a recipe's table has it: `model.backbone.dim` may stand there as `model.dim`."""
    if path[:2] != ("model", "backbone") or path[-1] == "name":
        return path
    forms = [(*path[:depth], path[-1]) for depth in range(len(path) - 1, 0, -1)]
    return next((form for form in forms if value_at(written, form) is not ...), path)


def _keys(table: Mapping[str, Any]) -> set[str]:
    """The keys that may be written in a table: its system's own, and those of what that wraps."""
    config = find_model(table["name"]).Config
    inner = _keys(table["backbone"]) if issubclass(config, WrapperConfig) else set()
    return inner | set(config.model_fields)


def preset_values(table: Mapping[str, Any], prefix: str = "model.") -> dict[str, object]:
    """What the presets of a canonical [model] table, and of its backbone's, give to keys that may be left out.

    `{"model.key": value}`, of other sections too; a wrapper's own word on a backbone's key goes before the backbone's.
    """
    config = find_model(table["name"]).Config
    found = own_preset_values(config, table, prefix)
    backbone = table.get("backbone")
    if issubclass(config, WrapperConfig) and isinstance(backbone, Mapping):
        for key, value in preset_values(backbone, f"{prefix}backbone.").items():
            found.setdefault(key, value)
    return found


def own_preset_values(config: type[ModelConfig], table: Mapping[str, Any], prefix: str) -> dict[str, object]:
    """`preset_values` without what the presets of a backbone give."""
    return {
        prefix + key.removeprefix("model.") if key.startswith("model.") else key: value
        for key, value in config.preset_values(table).items()
    }


def fill(values: dict[str, Any], path: str, value: object) -> bool:
    """Set `values["a"]["b"] = value` for the path `a.b`, unless it is there or a plain value is in the way; whether."""
    *way, last = path.split(".")
    table: Any = values
    for part in way:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            return False
    unset = last not in table
    table.setdefault(last, value)
    return unset


def fill_presets(values: dict[str, Any]) -> list[str]:
    """Fill in what the presets of a canonical `values["model"]` give; returns the keys that were set."""
    return [path for path, value in preset_values(values["model"]).items() if fill(values, path, value)]


def make_config(table: Mapping[str, Any]) -> ModelConfig:
    """The checked keys of a [model] table with its presets filled in; for use without a recipe.

    Raises ValueError (pydantic's ValidationError among them) for a name or key that does not exist, or a wrong value.
    """
    values = {"model": canonical_model(table)}
    fill_presets(values)
    return config_class(values["model"]).model_validate(values["model"])
