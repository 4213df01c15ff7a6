"""What may be tried for a system: its own search space or grid, that of what it wraps, or a general one of its keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from damrs_dgl.models.base import ClosedFormModel
from damrs_dgl.models.core.ranges import LEARNING_RATES, Range, Space, Values
from damrs_dgl.models.registry import find_model
from damrs_dgl.models.specification.tables import canonical_model, make_config

# A wrapper's ranking loss, with the items that it samples, and its regulariser take the place of the backbone's.
_REPLACED: Final = ("model.negatives", "model.regularization")
_GENERAL: Final = Range(1e-6, 0.1, log=True)  # of a regularisation that its system says nothing about
_GENERAL_GRID: Final = (1e-5, 1e-4, 1e-3, 0.01, 0.1)


def space_of(table: Mapping[str, Any], *, grid: bool) -> dict[str, Values]:
    """What `tune` tries for a [model] table: `{"section.key": values}`, lists alone with `grid`; empty: nothing to try.

    A wrapper's search space is its own and that of what it wraps; its grid is its own.
    """
    own = canonical_model(table)
    model = find_model(own["name"])
    given = model.grid if grid else model.search_space
    if grid and given:
        return dict(given)
    inner = space_of(own["backbone"], grid=grid) if "backbone" in own else {}
    wrapped = {_inside(key): values for key, values in inner.items() if key not in _REPLACED}
    return {**wrapped, **(given or _general(own, grid=grid))}


def _inside(key: str) -> str:
    """A backbone's key as the wrapper's recipe calls it."""
    section, _, rest = key.partition(".")
    return f"model.backbone.{rest}" if section == "model" else key


def _general(table: Mapping[str, Any], *, grid: bool) -> Space:
    """Learning rate, where there are steps, and every number that is called a regularisation or decay."""
    config, model = make_config(dict(table)), find_model(table["name"])
    numbers = [key for key in type(config).model_fields if isinstance(getattr(config, key), float)]
    weights = [f"model.{key}" for key in numbers if "regulari" in key or "decay" in key]
    found: dict[str, Values] = {}
    if not issubclass(model, ClosedFormModel):
        found |= {"training.learning_rate": (1e-4, 1e-3, 1e-2)} if grid else LEARNING_RATES
    return {**found, **dict.fromkeys(weights, _GENERAL_GRID if grid else _GENERAL)}
