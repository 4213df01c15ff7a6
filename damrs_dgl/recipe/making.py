"""From a table of settings, as written, to a recipe: presets filled in, one validation, then checks between keys."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

from pydantic import ValidationError

from damrs_dgl.errors import RecipeError
from damrs_dgl.models.registry import DEFAULT_MODEL, config_class, find_model
from damrs_dgl.models.systems import as_system as table_of_system
from damrs_dgl.models.systems import switch_model
from damrs_dgl.models.tables import canonical_model, fill, preset_values
from damrs_dgl.recipe.checks import conflicts
from damrs_dgl.recipe.mistakes import (
    KeyPath,
    Mistake,
    error_of,
    explain,
    in_written_terms,
    remove_path,
    set_path,
    stands_in,
    toml_value,
    touches,
)
from damrs_dgl.recipe.schema import Recipe
from damrs_dgl.settings import Section

AnyRecipe = Recipe[Any]


def recipe_from(values: Mapping[str, Any]) -> AnyRecipe:
    """A checked recipe from a table like a recipe file's. Raises RecipeError: the first mistake, and how many more."""
    recipe, mistakes = check(values)
    if recipe is None or mistakes:
        raise error_of(mistakes)
    return recipe


def with_values(recipe: AnyRecipe, changes: Mapping[str, object]) -> AnyRecipe:
    """A copy with other values, ``{"section.key": value}``, checked as in a file; ``RecipeError`` for a mistake.

    What a preset gave follows it: another ``model.variant`` brings its own values for keys that nobody wrote.
    """
    try:
        values = changed(as_written(recipe), changes)
    except ValueError as error:
        raise RecipeError(str(error)) from None
    return recipe_from(values)


def as_system(recipe: AnyRecipe, name: str) -> AnyRecipe:
    """The recipe for another system, ablation row or its backbone (`models.systems`). RecipeError for no such name."""
    try:
        values = table_of_system(as_written(recipe), name)
    except ValueError as error:
        raise RecipeError(str(error)) from None
    return recipe_from(values)


def as_written(recipe: AnyRecipe) -> dict[str, Any]:
    """The table that gives the recipe, without defaults and what its presets gave."""
    return recipe.model_dump(exclude_unset=True)


def changed(values: Mapping[str, Any], changes: Mapping[str, object]) -> dict[str, Any]:
    """A copy of a table with some values set; another system, or backbone, keeps the keys that it shares.

    Raises ValueError as `set_path` does.
    """
    table = copy.deepcopy(dict(values))
    for path, value in changes.items():
        if path in ("model.name", "model.backbone", "model.backbone.name") and isinstance(value, str):
            _switch(table, path, value)
        else:
            _set(table, tuple(path.split(".")), value)
    return table


def _switch(table: dict[str, Any], path: str, name: str) -> None:
    """Make another system the model or its backbone; a wrong name is left for the validation to tell."""
    own = table.get("model", {})
    try:
        model = canonical_model({"name": DEFAULT_MODEL, **own})
        if path == "model.name":
            table["model"] = switch_model(model, name)
        else:
            table["model"] = {**model, "backbone": switch_model(model.get("backbone", {"name": name}), name)}
    except (TypeError, ValueError):
        kept = own if isinstance(own, dict) and path != "model.name" else {}
        table["model"] = {**kept, path.split(".")[1]: name}


def _set(table: dict[str, Any], path: KeyPath, value: object) -> None:
    """Set one value; a backbone's key that is set at the top of [model], or the other way round, replaces the other."""
    model = table.get("model")
    if isinstance(model, dict) and isinstance(model.get("backbone"), str) and path[:2] == ("model", "backbone"):
        model["backbone"] = {"name": model["backbone"]}
    set_path(table, path, value)
    if path[:1] == ("model",) and len(path) > 1:
        _keep_one(table["model"], path[1:-1], path[-1])


def _keep_one(owner: dict[str, Any], way: KeyPath, key: str) -> None:
    """Take a key of a backbone that was set, by the `way` from `owner`, from the other tables that it may stand in."""
    inner = owner.get("backbone")
    try:
        own = find_model(owner.get("name", DEFAULT_MODEL)).Config.model_fields
    except ValueError:  # which the validation tells
        return
    if isinstance(inner, dict) and key not in own:
        (owner if way else inner).pop(key, None)
        _keep_one(inner, way[1:], key)


def check(values: Mapping[str, Any]) -> tuple[AnyRecipe | None, list[Mistake]]:
    """The recipe of a table, None where it is not sound, and all mistakes."""
    table, found = _with_model(values)
    kind = cast("type[AnyRecipe]", Recipe.__class_getitem__(config_class(table["model"])))
    recipe = None
    try:
        recipe = _from_table(table, kind)
        found += conflicts(recipe)
    except ValidationError as error:
        found += explain(error, table, kind)
        found += _conflicts_besides(table, found, kind)
    return (None if found else recipe), [in_written_terms(mistake, values) for mistake in found]


def _with_model(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Mistake]]:
    """A copy whose [model] is in canonical form; a wrong name is a mistake, and the default model stands in for it."""
    table = copy.deepcopy(dict(values))
    model = table.get("model", {})
    found = []
    if isinstance(model, dict):
        model.setdefault("name", DEFAULT_MODEL)
        try:
            table["model"] = canonical_model(model)
            config_class(table["model"])
            return table, []
        except (ValueError, AttributeError) as error:
            found.append(_wrong_name(model, error))
    else:
        found.append(Mistake((("model",),), f"model = {toml_value(model)}", "expected a section [model]"))
    table["model"] = canonical_model({"name": DEFAULT_MODEL})
    return table, found


def _wrong_name(model: Mapping[str, Any], error: Exception) -> Mistake:
    """The mistake of a name that is no system: the model's own, or a backbone's."""
    key: KeyPath = ("model",)
    table = model
    while isinstance(table.get("backbone"), dict) and _is_system(table.get("name")):
        key, table = (*key, "backbone"), table["backbone"]
    inside = "backbone" in table and _is_system(table.get("name"))
    key = (*key, "backbone" if inside else "name")
    name, shown = table.get(key[-1]), ".".join(key)
    if not isinstance(name, str):
        kind = ", or a table of its keys" if inside else ""
        return Mistake((key,), f"{shown} = {toml_value(name)}", f"expected the name of a system{kind}")
    return Mistake((key,), f"{shown} = {toml_value(name)}: {error}")


def _is_system(name: object) -> bool:
    try:
        find_model(name)
    except ValueError:
        return False
    return True


def _from_table(table: Mapping[str, Any], kind: type[AnyRecipe]) -> AnyRecipe:
    """The recipe, with its presets filled in and not noted as written. Raises ValidationError."""
    values = copy.deepcopy(dict(table))
    presets = preset_values(values["model"])
    for path, value in presets.items():
        fill(values, path, value)
    recipe = kind.model_validate(values)
    for path in presets:
        section, _, key = path.rpartition(".")
        if not stands_in(table, tuple(path.split("."))):
            cast(Section, recipe.value(section)).model_fields_set.discard(key)
    return recipe


def _conflicts_besides(table: Mapping[str, Any], mistakes: list[Mistake], kind: type[AnyRecipe]) -> list[Mistake]:
    """The conflicts between sound keys: the wrong ones are taken out and the rest is checked again.

    What touches a wrong key is left for later.
    """
    rest = copy.deepcopy(dict(table))
    broken = [key for mistake in mistakes for key in mistake.keys]
    for key in broken:
        remove_path(rest, key)
    if any(key in (("data",), ("data", "format"), ("data", "path")) for key in broken):
        rest["data"] = {"format": "synthetic"}
        broken.append(("data",))
    try:
        recipe = _from_table(rest, kind)
    except ValidationError:
        return []
    return [mistake for mistake in conflicts(recipe) if not touches(mistake.keys, broken) and mistake not in mistakes]
