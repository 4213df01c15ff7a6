"""Checks between keys of a recipe whose values are each allowed alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from damrs_dgl.models.base import ModelConfig, WrapperConfig
from damrs_dgl.models.registry import find_model
from damrs_dgl.recipe.mistakes import Mistake, toml_value
from damrs_dgl.recipe.schema import METRICS, Recipe


def _shown(recipe: Recipe[Any], key: str) -> str:
    return f"{key} = {toml_value(recipe.value(key))}"


def _monitor(recipe: Recipe[Any]) -> Iterator[Mistake]:
    ks = recipe.evaluation.ks
    match = re.fullmatch(r"([a-z]+)@([1-9]\d*)", recipe.training.monitor)
    if not match or match[1] not in METRICS or int(match[2]) not in ks:
        yield Mistake(
            keys=(("training", "monitor"), ("evaluation", "ks")),
            what=f"{_shown(recipe, 'training.monitor')} is not among the scores that are computed",
            fix=f"expected {', '.join(METRICS[:-1])} or {METRICS[-1]} at one of {_shown(recipe, 'evaluation.ks')}, "
            f'such as "recall@{ks[-1]}"',
        )


def _stress_noise(recipe: Recipe[Any]) -> Iterator[Mistake]:
    known = ["feedback", "feedback-removed", *recipe.data.modalities]
    if unknown := [name for name in recipe.stress.noise if name not in known]:
        yield Mistake(
            keys=(("stress", "noise"), ("data", "modalities")),
            what=f"stress.noise holds {toml_value(unknown[0])}, which is no modality of [data.modalities]",
            fix=f"expected any of {toml_value(known)}",
        )


def _systems(config: ModelConfig, key: str = "model") -> Iterator[tuple[str, ModelConfig]]:
    """The system and what it wraps, each with the key of its name."""
    yield f"{key}.name", config
    if isinstance(config, WrapperConfig):
        yield from _systems(config.backbone, f"{key}.backbone")


def _content(recipe: Recipe[Any]) -> Iterator[Mistake]:
    if recipe.data.modalities:
        return
    for key, config in _systems(recipe.model):
        model, shown = find_model(config.name), f"{key.removesuffix('.name') if 'backbone' in key else key}"
        if model.needs_content:
            yield Mistake(
                keys=(tuple(key.split(".")), ("data", "modalities")),
                what=f"{shown} = {toml_value(config.name)} needs content, and [data.modalities] is empty",
                fix="name a modality and its file there, or choose a system that needs none",
            )
        elif model.needs_item_relations and not recipe.graphs.behavior:
            yield Mistake(
                keys=(tuple(key.split(".")), ("graphs", "behavior"), ("data", "modalities")),
                what=f"{shown} = {toml_value(config.name)} needs an item-item graph: graphs.behavior = false and no "
                "modality",
                fix="name a modality and its file, or write graphs.behavior = true",
            )


def _rating(recipe: Recipe[Any]) -> Iterator[Mistake]:
    rating, threshold = (getattr(recipe.data, key, None) for key in ("rating", "rating_threshold"))
    if (rating is None) != (threshold is None):
        given, absent = ("rating_threshold", "rating") if rating is None else ("rating", "rating_threshold")
        yield Mistake(
            keys=(("data", given), ("data", absent)),
            what=f"{_shown(recipe, f'data.{given}')} without data.{absent}",
            fix="give both or neither",
        )


_CHECKS: Final[tuple[Callable[[Recipe[Any]], Iterator[Mistake]], ...]] = (_monitor, _stress_noise, _content, _rating)


def conflicts(recipe: Recipe[Any]) -> list[Mistake]:
    """All keys that do not fit together; empty for a sound recipe."""
    return [mistake for check in _CHECKS for mistake in check(recipe)]
