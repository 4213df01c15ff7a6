"""A recipe, and a system, as TOML in which every key is explained."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from damrs_dgl.models.base import ModelConfig, WrapperConfig
from damrs_dgl.models.registry import find_model
from damrs_dgl.models.specification.systems import as_system
from damrs_dgl.models.specification.tables import canonical_model, own_preset_values
from damrs_dgl.recipe.schema import Recipe, validated
from damrs_dgl.settings import Schema, Section, expectation, schema_of
from damrs_dgl.toml import toml_value

_WIDTH = 110
Presets = dict[str, tuple[str, dict[str, object]]]  # key -> (the key that chooses the preset, {preset: value})


def recipe_text(recipe: Recipe[Any]) -> str:
    """The whole recipe as TOML; reading it back gives an equal recipe.

    Keys that were not written stand in it as comments, with the values that they have by default or by a preset.
    """
    title = f"# The recipe {toml_value(recipe.name)} in full: each key, its meaning, what it may be, its default."
    note = "# A key right behind a # is not written: it has its default, or a preset's value. Without the # it is."
    return "\n".join([title, note, "", *_keys("", recipe, _presets(recipe.model))]) + "\n"


def written_text(recipe: Recipe[Any]) -> str:
    """The recipe as TOML with the keys alone that were written, and its name; reading it back gives an equal recipe."""
    table = {"name": recipe.name, **recipe.model_dump(mode="json", exclude_unset=True, exclude_none=True)}
    sections = {f"[{name}]\n": keys for name, keys in table.items() if isinstance(keys, Mapping) and keys}
    tables = {"": {key: value for key, value in table.items() if not isinstance(value, Mapping)}, **sections}
    return "\n".join(
        head + "".join(f"{key} = {toml_value(value)}\n" for key, value in keys.items()) for head, keys in tables.items()
    )


def model_text(name: str) -> str:
    """What a system is, and its [model] section with every key explained; `wrapper:backbone` is a name, too.

    Raises RecipeError for no such name.
    """
    config = validated({"data": {"format": "synthetic"}, "model": canonical_model(as_system({}, name)["model"])}).model
    model = find_model(config.name)
    about = (model.__doc__ or "").strip().partition("\n\n")[0]
    head = [*_comment(" ".join(about.split())), *_comment(model.citation), "", "# Its keys.", "[model]"]
    return "\n".join([*head, *_keys("model.", config, _presets(config))]) + "\n"


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


def _keys(prefix: str, table: Section, presets: Presets) -> Iterator[str]:
    """The lines of a table's keys, then those of the tables in it."""
    declared = schema_of(type(table))["properties"]
    values = {key: getattr(table, key) for key in declared}
    tables = [key for key, value in values.items() if isinstance(value, (Section, Mapping))]
    # `format` decides which other keys there are, so it comes first; TOML wants a table's own tables last.
    for key in sorted(values, key=lambda key: (key in tables, key != "format")):
        value, schema, path = values[key], declared[key], f"{prefix}{key}"
        if key not in tables:
            yield from _comment(
                f"{schema.get('description', key)} ({expectation(schema)}{_default(path, schema, presets)})"
            )
            # written out it would hold for other presets and for every system of a study
            unwritten = value is None or key not in table.model_fields_set
            yield f"{'#' * unwritten}{key} ={'' if value is None else f' {toml_value(value)}'}"
            continue
        yield from ("", *_comment(f"{schema.get('description', key)}."))
        if isinstance(value, Section):
            yield f"[{path}]"
            yield from _keys(f"{path}.", value, presets)
            continue
        written = key in table.model_fields_set
        entries = table.model_dump(include={key}, exclude_none=True, exclude_unset=written)[key]
        yield f"{'#' * (not written)}[{path}]"
        for name, entry in entries.items():
            is_file = isinstance(entry, dict) and list(entry) == ["features"]  # which is written without its table
            yield f"{'#' * (not written)}{name} = {toml_value(entry['features'] if is_file else entry)}"


def _default(path: str, schema: Schema, presets: Presets) -> str:
    if path == "name" or "default" not in schema:
        return ""
    if path in presets:
        key, values = presets[path]
        shown = {name: toml_value(schema["default"] if value is ... else value) for name, value in values.items()}
        return f"; default by {key}: {', '.join(f'{name} {value}' for name, value in shown.items())}"
    return f"; default {'none' if schema['default'] is None else toml_value(schema['default'])}"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent="# ", subsequent_indent="#   ", break_long_words=False, break_on_hyphens=False
    )
