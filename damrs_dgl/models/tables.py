"""From a recipe's [model] table, as it was written, to one that says everything: backbone, presets, checked keys."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo

from damrs_dgl.models.base import ModelConfig, WrapperConfig
from damrs_dgl.models.registry import config_class, find_model


def canonical_model(table: Mapping[str, Any]) -> dict[str, Any]:
    """The [model] table with its backbone as a table of its own.

    `backbone = "mf"` is short for `backbone = {name = "mf"}`, and a key of a wrapper's table that only its backbone has
    is the backbone's: `model.dim` of DA-MRS is `model.backbone.dim`. One that stands in both places stays there, for
    the validation to refuse. Raises ValueError for a name that is no system.
    """
    values = copy.deepcopy(dict(table))
    model = find_model(values["name"])
    if ":" not in values["name"]:
        values["name"] = model.name  # which a recipe may write with capitals
    config = model.Config
    if not issubclass(config, WrapperConfig):
        return values
    backbone = values.setdefault("backbone", {})
    if isinstance(backbone, str):
        backbone = values["backbone"] = {"name": backbone}
    if not isinstance(backbone, dict):
        raise ValueError("a backbone is the name of a system or a table of its keys")
    backbone.setdefault("name", config.DEFAULT_BACKBONE)
    known = keys_of(backbone)
    for key in [key for key in values if key not in config.model_fields and key in known and key not in backbone]:
        backbone[key] = values.pop(key)
    values["backbone"] = canonical_model(backbone)
    return values


def keys_of(table: Mapping[str, Any]) -> dict[str, FieldInfo]:
    """The keys that a [model] table may hold: its system's own, and, where it wraps another, that one's too.

    Raises ValueError for a name that is no system.
    """
    config = find_model(table["name"]).Config
    if not issubclass(config, WrapperConfig):
        return dict(config.model_fields)
    backbone = table.get("backbone", {})
    if isinstance(backbone, str):
        backbone = {"name": backbone}
    if not isinstance(backbone, Mapping):
        return dict(config.model_fields)
    return {**keys_of({"name": config.DEFAULT_BACKBONE, **backbone}), **config.model_fields}


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
