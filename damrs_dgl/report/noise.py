"""What charts of growing noise have in common, on the page and as PNG: names of noise, and points of a line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any, NamedTuple

from damrs_dgl.data.modality_names import FEEDBACK_ADDED, FEEDBACK_REMOVED
from damrs_dgl.evaluation.spread import standard_error


class Point(NamedTuple):
    """A ratio in percent, a metric's mean over seeds there, its standard error (None: of a single seed)."""

    ratio: float
    mean: float
    error: float | None


def points_of(rows: Iterable[Mapping[str, Any]], metric: str) -> list[Point]:
    """A line's points by ratio, from the rows of one system under one noise."""
    found: dict[float, list[float]] = {}
    for row in rows:
        found.setdefault(100 * float(row["ratio"]), []).append(float(row[metric]))
    return [Point(ratio, fmean(values), standard_error(values)) for ratio, values in sorted(found.items())]


def noise_labels(noise: str) -> tuple[str, str]:
    """What a kind of noise is called above a chart, and what its ratio is a share of, below."""
    added, removed = "added interactions, % of training", "removed interactions, % of training"
    named = {FEEDBACK_ADDED: ("Added wrong feedback", added), FEEDBACK_REMOVED: ("Removed feedback", removed)}
    return named.get(noise, (f"Swapped {noise} content", "items with swapped features, %"))
