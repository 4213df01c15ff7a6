"""The search over a few keys, on scores that are written down."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from damrs_dgl.models.graph_filter.search import Point, coordinate_search

CHOICES = {"a": (-1.0, 0.0, 1.0), "b": (0.1, 0.2, 0.3, 0.4)}
START = {"a": 0.5, "b": 0.2}


def silent(judged: int, most: int) -> None:
    """No report."""


def test_a_planted_best_is_found_and_nothing_is_judged_twice() -> None:
    seen: list[tuple[float, ...]] = []

    def score(values: Point) -> float:
        seen.append(tuple(values.values()))
        return -abs(values["a"] + 1) - abs(values["b"] - 0.4)

    assert coordinate_search(START, CHOICES, score, silent) == {"a": -1.0, "b": 0.4}
    assert seen[0] == (0.5, 0.2) and max(Counter(seen).values()) == 1


def test_the_second_pass_looks_again_at_what_the_other_keys_have_moved() -> None:
    """`a` is better lower only once `b` is high."""

    def score(values: Point) -> float:
        return 30 * values["b"] + (values["a"] if values["b"] < 0.4 else -values["a"])

    assert coordinate_search(START, CHOICES, score, silent) == {"a": 0.5, "b": 0.4}  # after 1.0 and 0.4


@pytest.mark.parametrize("score", [0.25, math.nan], ids=["always equal", "no score"])
def test_the_start_stays_where_nothing_is_better(score: float) -> None:
    reports: list[tuple[int, int]] = []
    found = coordinate_search(START, CHOICES, lambda values: score, lambda *step: reports.append(step))
    assert found == START
    assert [judged for judged, _ in reports] == list(range(1, len(reports) + 1))
    assert len(reports) == (1 if math.isnan(score) else 7) and reports[-1][0] <= reports[-1][1]


def test_a_candidate_without_a_score_is_no_better() -> None:
    found = coordinate_search(START, CHOICES, lambda values: math.nan if values["a"] == 1 else values["a"], silent)
    assert found == {"a": 0.5, "b": 0.2}


def test_without_keys_there_is_the_start_alone() -> None:
    assert coordinate_search(START, {}, lambda values: 1.0, silent) == {}
