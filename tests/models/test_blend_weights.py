"""Which weights a blend keeps, by what validation says of each."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models.builders import build


def blend(*, members: int, grid: int) -> Any:
    return build("blend", members={f"m{n}": {"name": "popularity"} for n in range(members)}, grid=grid)


def test_the_weights_that_validation_likes_best_are_kept() -> None:
    model = blend(members=2, grid=4)
    found = model.tune(lambda: -abs(float(model.weights[0]) - 0.25))
    assert found == {"weight_m0": 0.25, "weight_m1": 0.75} and model.weights.tolist() == [0.25, 0.75]


@pytest.mark.parametrize(
    ("least", "expected"),
    [(0.0, [0.5, 0.5]), (0.7, [0.75, 0.25]), (0.9, [1.0, 0.0])],
)
def test_of_equals_the_weights_nearest_to_even_are_kept(least: float, expected: list[float]) -> None:
    """All weights with as much of the first member as `least` are as good."""
    model = blend(members=2, grid=4)
    model.tune(lambda: float(float(model.weights[0]) >= least))
    assert model.weights.tolist() == expected


def test_of_equals_three_members_share_evenly() -> None:
    model = blend(members=3, grid=3)
    assert list(model.tune(lambda: 0.0).values()) == pytest.approx([1 / 3] * 3)
