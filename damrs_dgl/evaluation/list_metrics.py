"""Metrics beside the four of accuracy: this package's, and what others offer by the entry point `damrs_dgl.metrics`.

A metric of another package is a function `metric(lists, catalogue, k)`, whose entry point's name is its name::

    def first_hit(lists: RankedLists, catalogue: Catalogue, k: int) -> Tensor:
        "The rank of the first relevant item, NaN where none is found."

It returns a tensor [n], a number for each user of the lists (NaN where a user has none), or one number for the whole,
or None where the data give none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import EntryPoint
from numbers import Real

import torch
from torch import Tensor

from damrs_dgl.errors import DamrsError
from damrs_dgl.evaluation.beyond_accuracy import BEYOND_ACCURACY, Metric, mean_over_users
from damrs_dgl.evaluation.lists import Catalogue, RankedLists
from damrs_dgl.evaluation.metrics import METRICS
from damrs_dgl.plugins import use_plugins

ENTRY_POINTS = "damrs_dgl.metrics"


@dataclass(frozen=True)
class ListMetrics:
    """``means``: {"coverage@20": number or None, ...}; ``per_user``: float64 [n] of those that every user has."""

    means: dict[str, float | None] = field(default_factory=dict)
    per_user: dict[str, Tensor] = field(default_factory=dict)


def list_metrics(lists: RankedLists, catalogue: Catalogue, ks: Sequence[int]) -> ListMetrics:
    """Every metric beside accuracy at every K. DamrsError names one of another package that fails."""
    found = ListMetrics()
    for name, metric in {**BEYOND_ACCURACY, **plugin_metrics()}.items():
        for k in ks:
            value = (
                metric(lists, catalogue, k) if name in BEYOND_ACCURACY else _checked(name, metric, lists, catalogue, k)
            )
            if isinstance(value, Tensor):
                found.per_user[f"{name}@{k}"] = value
                value = mean_over_users(value)
            found.means[f"{name}@{k}"] = value
    return found


def metric_names() -> list[str]:
    """The names of all metrics beside accuracy, this package's first."""
    return [*BEYOND_ACCURACY, *plugin_metrics()]


def plugin_metrics() -> Mapping[str, Metric]:
    """The metrics of other packages by name, in alphabetical order."""
    return _load()[0]


def unusable_metrics() -> Sequence[DamrsError]:
    """Of each metric that another package offers and that cannot be used: why, and the cure."""
    return _load()[1]


@lru_cache(maxsize=1)
def _load() -> tuple[dict[str, Metric], list[DamrsError]]:
    usable: dict[str, Metric] = {}

    def add(entry: EntryPoint) -> None:
        usable[_free_name(entry.name, usable)] = _function(entry.load())

    return usable, [error for _, error in use_plugins(ENTRY_POINTS, "metric", add)]


def _free_name(name: str, taken: Mapping[str, Metric]) -> str:
    if "@" in name:
        raise ValueError("its name holds an @, after which stands K")
    if name in METRICS or name in BEYOND_ACCURACY or name in taken:
        raise ValueError("there is another metric of that name")
    return name


def _function(found: object) -> Metric:
    if not callable(found):
        raise ValueError("it is no function")
    return found


def _checked(name: str, metric: Metric, lists: RankedLists, catalogue: Catalogue, k: int) -> Tensor | float | None:
    """What a metric of another package says, checked: float64 [n] on the CPU, a finite number, or None."""
    try:
        value = metric(lists, catalogue, k)
        if isinstance(value, Tensor) and value.dim() > 0:
            if value.shape != (len(lists),):
                raise ValueError(f"it returned shape {list(value.shape)} for {len(lists)} users")
            if bool(torch.isinf(value).any()):
                raise ValueError("it returned infinity")
            return value.detach().cpu().double()
        if value is None:
            return None
        number = value.item() if isinstance(value, Tensor) else value
        if not isinstance(number, Real) or not math.isfinite(number):
            raise ValueError(f"it returned {value!r}, neither numbers of users nor one number")
        return float(number)
    except Exception as error:  # whatever another's function does
        raise DamrsError(
            f"the metric {name!r} of another package failed ({type(error).__name__}: {error})",
            where=f"{name}@{k}",
            fix="mend or uninstall that package",
        ) from error
