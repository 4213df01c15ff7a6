"""From a table of settings, as written, to a recipe: presets filled in, one validation, then checks between keys."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from damrs_dgl.data.modality_names import FEEDBACK_ADDED, FEEDBACK_REMOVED
from damrs_dgl.errors import Mistake, refusal
from damrs_dgl.evaluation.metrics import METRICS
from damrs_dgl.models.specification.needs import never_judged, unmet
from damrs_dgl.models.specification.systems import as_system as table_of_system
from damrs_dgl.models.specification.systems import changed
from damrs_dgl.models.specification.tables import NoSystem, canonical_model
from damrs_dgl.recipe.mistakes import KeyPath, explain, touches
from damrs_dgl.recipe.schema import AnyRecipe, recipe_class, validated
from damrs_dgl.settings import nearest
from damrs_dgl.toml import toml_value, value_at


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
    """The recipe for another system, ablation row or its backbone (`models.specification.systems`).

    Raises RecipeError for no such name.
    """
    return recipe_from(table_of_system(recipe.model_dump(exclude_unset=True), name))


def check(values: Mapping[str, Any], *, reads_data: bool = False) -> tuple[AnyRecipe | None, list[Mistake]]:
    """The recipe of a table, None where it is not sound, and all mistakes.

    reads_data: [data] says what is trained on, and not a data set in memory, so that [model] names its modalities.
    """
    table, mistakes = _with_model(values)
    recipe: AnyRecipe | None
    try:
        recipe = validated(table)
    except ValidationError as error:
        mistakes += explain(error, table, recipe_class(table), values)
        recipe = None
    broken = [key for mistake in mistakes for key in mistake.keys]
    if {("data", "format"), ("data", "path")} & set(broken):
        broken.append(("data",))
    rest = recipe or _without(broken, table)
    found = list(conflicts(rest)) if rest else []
    if rest and (reads_data or not rest.data.modalities):
        found += unmet(
            rest.model,
            list(rest.data.modalities),
            behavior=rest.graphs.behavior,
            weighted=rest.data.click_weights is not None,
            written=values,
            named_in="[data.modalities]",
        )
    mistakes += [conflict for conflict in found if not touches(conflict.keys, broken)]
    return (None if mistakes else recipe), mistakes


def _without(broken: list[KeyPath], table: Mapping[str, Any]) -> AnyRecipe | None:
    """What is left of a recipe without its wrong keys, for the conflicts among the others."""
    rest = copy.deepcopy(dict(table))
    for *way, key in broken:
        owner = value_at(rest, tuple(way))
        if isinstance(owner, dict):
            owner.pop(key, None)
    rest.setdefault("data", {"format": "synthetic"})
    try:
        return validated(_with_model(rest)[0])
    except ValidationError:
        return None


def _with_model(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Mistake]]:
    """A copy whose [model] is in canonical form; a wrong name is a mistake, and the default model stands in for it."""
    table = copy.deepcopy(dict(values))
    try:
        return {**table, "model": canonical_model(table.get("model", {}))}, []
    except NoSystem as error:
        key: KeyPath = ("model", *error.key)
        if value_at(table, key) is ...:  # a backbone that is written as its name alone
            key = key[:-1]
        mistake = Mistake([key], f"{'.'.join(key)} = {toml_value(value_at(table, key))}: {error}")
    return {**table, "model": canonical_model({})}, [mistake]


def conflicts(recipe: AnyRecipe) -> Iterator[Mistake]:
    """Keys whose values are each allowed alone and do not fit together; none in a sound recipe."""
    ks, monitor = recipe.evaluation.ks, recipe.training.monitor
    metric, _, k = monitor.partition("@")
    if metric not in METRICS or k not in map(str, ks):
        yield Mistake(
            [("training", "monitor"), ("evaluation", "ks")],
            f"training.monitor = {toml_value(monitor)} is not among the scores that are computed",
            f"expected {', '.join(METRICS[:-1])} or {METRICS[-1]} at one of evaluation.ks = {toml_value(ks)}, "
            f'such as "recall@{ks[-1]}"',
        )
    known = [FEEDBACK_ADDED, FEEDBACK_REMOVED, *recipe.data.modalities]
    if unknown := [name for name in recipe.stress.noise if name not in known]:
        yield Mistake(
            [("stress", "noise"), ("data", "modalities")],
            f"stress.noise holds {toml_value(unknown[0])}, which is no modality of [data.modalities]",
            nearest(unknown[0], known) or f"expected any of {toml_value(known)}",
        )
    for key, other in (("rating", "rating_threshold"), ("rating_threshold", "rating")):
        value = getattr(recipe.data, key, None)
        if value is not None and getattr(recipe.data, other) is None:
            what = f"data.{key} = {toml_value(value)} without data.{other}"
            yield Mistake([("data", key), ("data", other)], what, "give both or neither")
    yield from never_judged(recipe.model, recipe.training.epochs)
