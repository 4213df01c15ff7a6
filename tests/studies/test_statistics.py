"""Statistics against scipy by hand, slow definitions, and cases whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import sem, wilcoxon

from damrs_dgl.errors import DataError
from damrs_dgl.studies import statistics as module
from damrs_dgl.studies.statistics import (
    Marks,
    best_and_second,
    compare_pairs,
    compare_per_user,
    holm,
    summarise,
)

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def metric_of(seed: int, users: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Recall-like numbers of two systems: many ties and many users without a difference."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 5, users) / 4, generator.integers(0, 5, users) / 4


def test_a_summary_is_mean_and_standard_error() -> None:
    values = [0.1, 0.4, 0.25]
    found = summarise(values)
    assert found.n == 3
    assert found.mean == pytest.approx(fmean(values))
    assert found.standard_error == pytest.approx(stdev(values) / math.sqrt(3)) == pytest.approx(sem(values))


def test_a_single_seed_has_no_standard_error() -> None:
    assert summarise([0.5]).standard_error is None


@pytest.mark.parametrize("values", [[], [float("nan")], [1.0, float("inf")]])
def test_no_mean_of_what_is_no_number(values: list[float]) -> None:
    with pytest.raises(DataError, match="finite"):
        summarise(values)


@pytest.mark.parametrize("seed", range(5))
def test_the_comparison_is_scipys_wilcoxon(seed: int) -> None:
    a, b = metric_of(seed)
    found = compare_per_user(a, b, seed=0)
    assert found.difference == pytest.approx((a - b).mean())
    assert found.p_value == pytest.approx(wilcoxon(a, b, zero_method="pratt").pvalue)
    assert found.p_value != pytest.approx(wilcoxon(a, b, zero_method="wilcox").pvalue)  # zeros matter here
    assert found.low <= found.difference <= found.high
    assert found.num_users == len(a)


def test_few_users_get_the_exact_p_value() -> None:
    """Five users, all in favour of a: 2 of the 2**5 signs are as extreme."""
    assert compare_per_user([1, 2, 3, 4, 5], [0, 0, 0, 0, 0], seed=0).p_value == pytest.approx(2 / 32)


def test_equal_systems_have_p_one_and_no_interval() -> None:
    a = metric_of(0)[0]
    found = compare_per_user(a, a.copy(), seed=3)
    assert (found.difference, found.p_value, found.low, found.high) == (0.0, 1.0, 0.0, 0.0)
    assert compare_per_user([0.5], [0.5], seed=0).p_value == 1.0


def test_rounding_is_no_difference() -> None:
    """0.1 + 0.2 parts from 0.3 in the last bit; ranked, it would count as much as any small difference."""
    a, b = np.full(60, 0.1) + 0.2, np.full(60, 0.3)
    a[0], b[1] = 1.0, 1.0
    assert compare_per_user(a, b, seed=0).p_value == pytest.approx(1.0)


def test_several_seeds_are_averaged_user_by_user() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.random((3, 80)), generator.random((5, 80))
    assert compare_per_user(a, b, seed=1) == compare_per_user(a.mean(0), b.mean(0), seed=1)


def test_the_interval_is_a_percentile_bootstrap() -> None:
    """Against numpy's draws: the same interval but for chance, and about the normal one."""
    generator = np.random.default_rng(0)
    a, b = generator.random(300), generator.random(300)
    found = compare_per_user(a, b, seed=0, resamples=4000)
    difference = a - b
    means = [generator.choice(difference, len(difference)).mean() for _ in range(4000)]
    width = found.high - found.low
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.06 * width)
    assert width == pytest.approx(2 * 1.96 * sem(difference), rel=0.06)
    narrower = compare_per_user(a, b, seed=0, resamples=4000, level=0.5)
    assert found.low < narrower.low < narrower.high < found.high


def test_the_interval_is_repeatable_and_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = metric_of(1)
    whole = compare_per_user(a, b, seed=7)
    assert compare_per_user(a, b, seed=7) == whole
    assert compare_per_user(a, b, seed=8) != whole
    monkeypatch.setattr(module, "_MAX_BLOCK_DRAWS", 3 * len(a))
    blocks = compare_per_user(a, b, seed=7)
    assert (blocks.low, blocks.high) == pytest.approx((whole.low, whole.high))


@pytest.mark.parametrize(
    ("a", "b"), [([], []), ([0.1, 0.2], [0.1]), ([[[0.1]]], [0.1]), ([0.1, float("nan")], [0.1, 0.2]), (0.1, 0.2)]
)
def test_what_cannot_be_compared_is_refused(a: list[float], b: list[float]) -> None:
    with pytest.raises(DataError):
        compare_per_user(a, b, seed=0)


def slow_holm(p_values: list[float]) -> list[float]:
    """By the definition: hypothesis i is rejected at level q while all smaller p_j <= q / (m - rank of j)."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    for place, index in enumerate(order):
        levels = [p_values[order[before]] * (len(p_values) - before) for before in range(place + 1)]
        adjusted[index] = min(1.0, max(levels))
    return adjusted


@given(P_VALUES)
def test_holm_is_its_definition(p_values: list[float]) -> None:
    found = holm(p_values)
    assert found == pytest.approx(slow_holm(p_values))
    assert all(before <= after for before, after in zip(p_values, found, strict=True))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@pytest.mark.parametrize("p_value", [-0.1, 1.1, float("nan")])
def test_holm_refuses_what_is_no_p_value(p_value: float) -> None:
    with pytest.raises(DataError, match="p-values"):
        holm([0.5, p_value])


def three_systems(gap: float) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    low = generator.random(400)
    return {"c": low, "a": low + 2 * gap + 0.01 * generator.random(400), "b": low + gap}


def marks_of(table: Mapping[str, Mapping[str, np.ndarray]], **options: Any) -> dict[str, Marks]:
    return best_and_second(compare_pairs(table, seed=0), **options)


def test_clear_winners_are_marked() -> None:
    assert marks_of({"recall@20": three_systems(0.1)}) == {"recall@20": Marks("a", "b")}


def test_nobody_is_marked_without_a_difference() -> None:
    same = metric_of(0)[0]
    assert marks_of({"recall@20": {"a": same, "b": same.copy(), "c": same - 0.5}}) == {"recall@20": Marks()}
    assert marks_of({"recall@20": {"alone": same}}) == {}


def test_second_is_not_marked_where_it_equals_the_third() -> None:
    systems = three_systems(0.1)
    assert marks_of({"m": {**systems, "d": systems["b"].copy()}}) == {"m": Marks("a")}


def test_a_mean_that_few_users_make_is_no_win() -> None:
    """b has the higher mean by one tenth of the users; the ranks of the other nine tenths favour a."""
    a, b = np.full(300, 0.2), np.full(300, 0.15)
    b[:30] = 1.0
    assert b.mean() > a.mean()
    assert marks_of({"m": {"a": a, "b": b}}) == {"m": Marks()}


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_the_correction_is_over_the_whole_table(seed: int) -> None:
    """A p-value just below 0.05 marks a system in a table of one test and not among many."""
    generator = np.random.default_rng(seed)
    b = generator.random(30)
    a = b + np.where(np.arange(30) < 20, 0.1, -0.1) * (1 + generator.random(30) / 10)
    alone = compare_per_user(a, b, seed=0).p_value
    assert marks_of({"m": {"a": a, "b": b}}, level=alone * 1.01)["m"] == Marks("a")
    others = {f"n{number}": {"a": b, "b": b.copy()} for number in range(3)}
    assert marks_of({"m": {"a": a, "b": b}, **others}, level=alone * 1.01)["m"] == Marks()


def test_pairs_are_compared_as_two_are_and_corrected_over_the_table() -> None:
    a, b = metric_of(1)
    c = np.stack([b, a])  # two seeds
    table = {"recall@20": {"a": a, "b": b, "c": c}, "ndcg@20": {"a": a, "b": b, "c": c}}
    found = compare_pairs(table, seed=3)
    assert [(pair.metric, pair.first, pair.second) for pair in found] == [
        (metric, first, second)
        for metric in ("recall@20", "ndcg@20")
        for first, second in (("a", "b"), ("a", "c"), ("b", "c"))
    ]
    for pair in found:
        values = table[pair.metric]
        alone = compare_per_user(values[pair.first], values[pair.second], seed=3)
        assert pair.comparison.p_value == alone.p_value
        assert pair.comparison.difference == pytest.approx(alone.difference)
        assert (pair.comparison.low, pair.comparison.high) == pytest.approx((alone.low, alone.high))
    assert [pair.corrected for pair in found] == slow_holm([pair.comparison.p_value for pair in found])
    assert compare_pairs({"recall@20": {"a": a}}, seed=0) == []


def test_sums_in_another_order_are_no_difference() -> None:
    """Means over seeds that add the same numbers up in another way."""
    one = np.random.default_rng(0).integers(0, 4, 500) / 3
    found = compare_per_user(np.stack([one] * 10), one, seed=0)
    assert (found.difference, found.p_value) == (0.0, 1.0)
    assert marks_of({"recall@20": {"a": np.stack([one] * 10), "b": one}}) == {"recall@20": Marks()}


def test_what_rounding_makes_is_no_difference_in_a_table_either() -> None:
    weights = np.linspace(0.5, 1, 40)
    a, b = (0.1 + 0.2) * weights, 0.3 * weights
    (pair,) = compare_pairs({"m": {"a": a, "b": b}}, seed=0)
    assert pair.comparison.p_value == compare_per_user(a, b, seed=0).p_value == 1.0
    assert pair.comparison.difference == 0.0
