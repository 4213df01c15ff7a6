"""From a table of settings, as written, to a recipe: presets filled in, one validation, then checks between keys."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, cast

from pydantic import ValidationError

from damrs_dgl.errors import RecipeError
from damrs_dgl.models.base import WrapperConfig
from damrs_dgl.models.registry import DEFAULT_MODEL, config_class, find_backbone, find_model
from damrs_dgl.models.systems import as_system as table_of_system
from damrs_dgl.models.systems import switch_model
from damrs_dgl.models.tables import canonical_model, fill_presets
from damrs_dgl.recipe.mistakes import KeyPath, Mistake, explain, find, refusal, touches
from damrs_dgl.recipe.schema import METRICS, Recipe
from damrs_dgl.recipe.text import toml_value
from damrs_dgl.settings import Section

AnyRecipe = Recipe[Any]
_SYSTEMS = ("model.name", "model.backbone", "model.backbone.name")  # keys that choose one


def recipe_from(values: Mapping[str, Any]) -> AnyRecipe:
    """A checked recipe from a table like a recipe file's. Raises RecipeError: the first mistake, and how many more."""
    recipe, mistakes = check(values)
    if recipe is None:
        raise refusal(mistakes)
    return recipe


def with_values(recipe: AnyRecipe, changes: Mapping[str, object]) -> AnyRecipe:
    """A copy with other values, ``{"section.key": value}``, checked as in a file; ``RecipeError`` for a mistake.

    What a preset gave follows it: another ``model.variant`` brings its own values for keys that nobody wrote.
    """
    return recipe_from(changed(recipe.model_dump(exclude_unset=True), changes))


def as_system(recipe: AnyRecipe, name: str) -> AnyRecipe:
    """The recipe for another system, ablation row or its backbone (`models.systems`). RecipeError for no such name."""
    try:
        values = table_of_system(recipe.model_dump(exclude_unset=True), name)
    except ValueError as error:
        raise RecipeError(str(error)) from None
    return recipe_from(values)


def changed(values: Mapping[str, Any], changes: Mapping[str, object]) -> dict[str, Any]:
    """A copy of a table with some values set; another system, or backbone, keeps the keys that it shares.

    Raises RecipeError where a key leads into a plain value.
    """
    table = copy.deepcopy(dict(values))
    for key, value in changes.items():
        path = tuple(key.split("."))
        if key in _SYSTEMS and isinstance(value, str):
            table["model"] = _switched(table.get("model", {}), value, backbone=key != "model.name")
            continue
        _set(table, path, value)
        if path[0] == "model" and len(path) > 1:
            _keep_one(table["model"], path[1:-1], path[-1])
    return table


def _switched(model: Any, name: str, *, backbone: bool) -> dict[str, Any]:
    """[model] with another system, or backbone; a wrong name is left for the validation to tell."""
    try:
        own = canonical_model({"name": DEFAULT_MODEL, **model})
        if not backbone:
            return switch_model(own, name)
        return {**own, "backbone": switch_model(own.get("backbone", {"name": name}), name)}
    except (TypeError, ValueError):
        return {**model, "backbone": name} if backbone and isinstance(model, dict) else {"name": name}


def _set(table: dict[str, Any], path: KeyPath, value: object) -> None:
    for depth, part in enumerate(path[:-1], start=1):
        inner = table.setdefault(part, {})
        if part == "backbone" and isinstance(inner, str):  # short for a table with that name
            inner = table[part] = {"name": inner}
        if not isinstance(inner, dict):
            shown = ".".join(path[:depth])
            raise RecipeError(f"{shown} is {toml_value(inner)}, not a table, and has no keys inside")
        table = inner
    table[path[-1]] = value


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
    table, mistakes = _with_model(values)
    try:
        recipe = _validated(table)
    except ValidationError as error:
        mistakes += explain(error, table, _kind(table), values)
    if mistakes:
        return None, [*mistakes, *_besides(mistakes, table)]
    found = list(conflicts(recipe))
    return (None if found else recipe), found


def _besides(mistakes: list[Mistake], table: Mapping[str, Any]) -> list[Mistake]:
    """The conflicts between sound keys: the wrong ones are taken out; what touches one of them is left for later."""
    rest = copy.deepcopy(dict(table))
    broken = [key for mistake in mistakes for key in mistake.keys]
    for *way, key in broken:
        owner = find(rest, tuple(way))
        if isinstance(owner, dict):
            owner.pop(key, None)
    if any(key in (("data",), ("data", "format"), ("data", "path")) for key in broken):
        rest["data"] = {"format": "synthetic"}
        broken.append(("data",))
    try:
        found = conflicts(_validated(_with_model(rest)[0]))
    except ValidationError:
        return []
    return [conflict for conflict in found if not touches(conflict.keys, broken)]


def _with_model(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Mistake]]:
    """A copy whose [model] is in canonical form; a wrong name is a mistake, and the default model stands in for it."""
    table = copy.deepcopy(dict(values))
    model = table.get("model", {})
    table["model"] = canonical_model({"name": DEFAULT_MODEL})
    if not isinstance(model, dict):
        return table, [Mistake([("model",)], f"model = {toml_value(model)}", "expected a section [model]")]
    model.setdefault("name", DEFAULT_MODEL)
    for key, name in _systems(model):
        found = f"{'.'.join(key)} = {toml_value(name)}"
        if not isinstance(name, str):
            kind = ", or a table of its keys" if key[-1] == "backbone" else ""
            return table, [Mistake([key], found, f"expected the name of a system{kind}")]
        try:
            (find_backbone if "backbone" in key else find_model)(name)
        except ValueError as error:
            return table, [Mistake([key], f"{found}: {error}")]
    table["model"] = canonical_model(model)
    return table, []


def _systems(model: Mapping[str, Any], key: KeyPath = ("model",)) -> Iterator[tuple[KeyPath, object]]:
    """The name of the system in [model] and, where it wraps another, of that one, each with its key.

    Goes on to what is wrapped after the caller has seen that the wrapper's name is sound.
    """
    yield (*key, "name"), model["name"]
    config = find_model(model["name"]).Config
    if not issubclass(config, WrapperConfig):
        return
    backbone = model.get("backbone", {})
    if isinstance(backbone, Mapping):
        yield from _systems({"name": config.DEFAULT_BACKBONE, **backbone}, (*key, "backbone"))
    else:
        yield (*key, "backbone"), backbone


def _validated(table: dict[str, Any]) -> AnyRecipe:
    """The recipe of a table, whose presets are filled in there and not noted as written. Raises ValidationError."""
    filled = fill_presets(table)
    recipe = _kind(table).model_validate(table)
    for path in filled:
        section, _, key = path.rpartition(".")
        cast(Section, recipe.value(section)).model_fields_set.discard(key)
    return recipe


def _kind(table: Mapping[str, Any]) -> type[AnyRecipe]:
    return cast("type[AnyRecipe]", Recipe.__class_getitem__(config_class(table["model"])))


def conflicts(recipe: AnyRecipe) -> Iterator[Mistake]:
    """Keys whose values are each allowed alone and do not fit together; none in a sound recipe."""

    def shown(key: str) -> str:
        return f"{key} = {toml_value(recipe.value(key))}"

    ks = recipe.evaluation.ks
    metric, _, k = recipe.training.monitor.partition("@")
    if metric not in METRICS or k not in map(str, ks):
        yield Mistake(
            [("training", "monitor"), ("evaluation", "ks")],
            f"{shown('training.monitor')} is not among the scores that are computed",
            f"expected {', '.join(METRICS[:-1])} or {METRICS[-1]} at one of {shown('evaluation.ks')}, "
            f'such as "recall@{ks[-1]}"',
        )
    known = ["feedback", "feedback-removed", *recipe.data.modalities]
    if unknown := [name for name in recipe.stress.noise if name not in known]:
        yield Mistake(
            [("stress", "noise"), ("data", "modalities")],
            f"stress.noise holds {toml_value(unknown[0])}, which is no modality of [data.modalities]",
            f"expected any of {toml_value(known)}",
        )
    together = ("rating", "rating_threshold")
    given = [key for key in together if getattr(recipe.data, key, None) is not None]
    if len(given) == 1:
        (absent,) = set(together) - set(given)
        what = f"{shown(f'data.{given[0]}')} without data.{absent}"
        yield Mistake([("data", given[0]), ("data", absent)], what, "give both or neither")
    if not recipe.data.modalities:
        yield from _missing_content(recipe)


def _missing_content(recipe: AnyRecipe) -> Iterator[Mistake]:
    """What a system needs, or one that it wraps, and data without modalities do not give."""
    for key, name in _systems(recipe.model.model_dump()):
        model = find_model(name)
        shown = f"{'.'.join(key[:-1] if len(key) > 2 else key)} = {toml_value(name)}"
        if model.needs_content:
            yield Mistake(
                [key, ("data", "modalities")],
                f"{shown} needs content, and [data.modalities] is empty",
                "name a modality and its file there, or choose a system that needs none",
            )
        elif model.needs_item_relations and not recipe.graphs.behavior:
            yield Mistake(
                [key, ("graphs", "behavior"), ("data", "modalities")],
                f"{shown} needs an item-item graph: graphs.behavior = false and no modality",
                "name a modality and its file, or write graphs.behavior = true",
            )
