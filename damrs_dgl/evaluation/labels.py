"""What metrics, groups and systems of the floor are called where people read of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

HEADLINE: Final = ("recall@20", "ndcg@20")  # what tables and figures of several systems show
_CAPITALS: Final = {"ndcg": "NDCG", "map": "MAP"}


def metric_label(metric: str) -> str:
    """A metric's name in words: "recall@20" as "Recall@20", "average_popularity@10" as "Average popularity@10"."""
    name, at, k = metric.partition("@")
    return f"{_CAPITALS.get(name, name[:1].upper() + name[1:].replace('_', ' '))}{at}{k}"


def validation_column(metric: str) -> str:
    """The column of a metric's validation score in `history.csv` and in tables of several systems."""
    return f"validation_{metric}"


def span_text(low: int, high: int | None) -> str:
    """The numbers from `low` to `high`, both among them, in words; None: no bound.

    A group of users or items that has no other name is called so.
    """
    if high is None:
        return f"{low} and more"
    return f"{low}" if high == low else f"{low} to {high}"


def headline(values: Mapping[str, Any]) -> list[str]:
    """Recall@20 and NDCG@20, or those at the K next to it that there is."""
    ks = sorted({int(name.split("@")[1]) for name in values if name.partition("@")[2].isdigit()})
    if not ks:
        return []
    k = min(ks, key=lambda found: abs(found - 20))
    return [f"{name}@{k}" for name in ("recall", "ndcg") if f"{name}@{k}" in values]


def floor_label(name: str, own: str) -> str:
    """What a system of the floor is called beside a recipe's `own`, which may be the same with other keys."""
    return f"{name}, defaults" if name == own else name


def floor_beside(own: str, metrics: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The floor in `metrics.json` of the system `own` by label, without that system itself where it is one of these."""
    return {
        floor_label(name, own): found
        for name, found in metrics["floor"].items()
        if name != own or found["validation"] != metrics["validation"]
    }
