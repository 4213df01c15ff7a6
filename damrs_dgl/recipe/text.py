"""A recipe as commented TOML: every key with its meaning, what it may be, its default, and the value that holds."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from damrs_dgl.models.base import ModelConfig, WrapperConfig
from damrs_dgl.models.registry import find_model, models
from damrs_dgl.models.tables import make_config, own_preset_values
from damrs_dgl.recipe.expectations import expectation
from damrs_dgl.recipe.locations import shipped_recipes
from damrs_dgl.recipe.mistakes import toml_value
from damrs_dgl.recipe.schema import Recipe
from damrs_dgl.settings import Section

_WIDTH = 110
Presets = dict[str, tuple[str, dict[str, object]]]  # key -> (the key that chooses the preset, {preset: value})


def recipe_text(recipe: Recipe[Any]) -> str:
    """The whole recipe as TOML; reading it back gives an equal recipe.

    Keys that may be left out and are, such as ``data.timestamp``, stand in it as comments.
    """
    lines = [f"# The recipe {toml_value(recipe.name)} in full: each key, its meaning, what it may be, its default.", ""]
    presets = _presets(recipe.model)
    for key, field in type(recipe).model_fields.items():
        value = getattr(recipe, key)
        if isinstance(value, Section):
            lines += _section(key, field.description or "", value, presets)
        else:
            lines += _setting(key, field, value, presets)
    return "\n".join(lines) + "\n"


def is_system(name: str) -> bool:
    """Whether a name is a system's and no shipped recipe's."""
    return name not in shipped_recipes() and (name in models() or ":" in name)


def model_text(name: str) -> str:
    """What a system is, and its [model] section with every key explained. Raises ValueError for no such name."""
    model = find_model(name)
    about = (model.__doc__ or "").strip().partition("\n\n")[0]
    config = make_config({"name": name})
    lines = [*_comment(" ".join(about.split())), *_comment(model.citation)]
    lines += _section("model", "Its keys", config, _presets(config))
    return "\n".join(lines) + "\n"


def _presets(config: ModelConfig, prefix: str = "model.") -> Presets:
    """Of each key that a preset of the system, or of what it wraps, has a word on; `...` where one leaves it alone."""
    found: Presets = {}
    table = config.model_dump()
    for preset in config.PRESETS:
        chosen = {**table, config.PRESET_KEY: preset}
        for path, value in own_preset_values(type(config), chosen, prefix).items():
            found.setdefault(path, (config.PRESET_KEY, dict.fromkeys(config.PRESETS, ...)))[1][preset] = value
    if isinstance(config, WrapperConfig):
        found = {**_presets(config.backbone, f"{prefix}backbone."), **found}
    return found


def _section(section: str, description: str, value: Section, presets: Presets) -> Iterator[str]:
    yield from ("", f"# {description}.", f"[{section}]")
    fields = type(value).model_fields
    inner = {key: getattr(value, key) for key in fields}
    tables = [key for key, item in inner.items() if isinstance(item, (Mapping, ModelConfig))]
    # `format` decides which other keys there are, so it comes first; TOML wants a section's own tables last.
    for key in sorted(fields, key=lambda key: (key in tables, key != "format")):
        item = inner[key]
        if isinstance(item, ModelConfig):
            yield from _section(f"{section}.{key}", fields[key].description or "", item, presets)
        elif isinstance(item, Mapping):
            yield from ("", *_comment(fields[key].description or ""), f"[{section}.{key}]")
            yield from (f"{name} = {_inline(entry)}" for name, entry in item.items())
        else:
            yield from _setting(f"{section}.{key}", fields[key], item, presets)


def _setting(path: str, field: FieldInfo, value: object, presets: Presets) -> Iterator[str]:
    key = path.rpartition(".")[2]
    yield from _comment(f"{field.description} ({expectation(field)}{_default(path, field, presets)})")
    yield f"# {key} =" if value is None else f"{key} = {_inline(value)}"


def _default(path: str, field: FieldInfo, presets: Presets) -> str:
    if path == "name" or field.is_required():
        return ""
    if path in presets:
        key, values = presets[path]
        shown = {name: toml_value(field.default if value is ... else value) for name, value in values.items()}
        return f"; default by {key}: {', '.join(f'{name} {value}' for name, value in shown.items())}"
    return f"; default {'none' if field.default is None else toml_value(field.default)}"


def _inline(value: object) -> str:
    """A value on one line; a table of one required key that has a short form is written in it."""
    if not isinstance(value, Section):
        return toml_value(value)
    table = value.model_dump(exclude_none=True)
    return toml_value(table["features"] if list(table) == ["features"] else table)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent="# ", subsequent_indent="#   ", break_long_words=False, break_on_hyphens=False
    )
