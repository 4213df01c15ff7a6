"""What `auto` means for batch size, patience and the spread of a spectral start."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damrs_dgl.training.sizes import (
    FEWEST_EVALUATIONS,
    FEWEST_STEPS,
    LARGEST_BATCH,
    PATIENT_STEPS,
    SMALLEST_BATCH,
    batch_size_for,
    patience_for,
    spread_for,
)


@given(st.integers(1, 10**9))
def test_the_largest_power_of_two_that_leaves_enough_steps(interactions: int) -> None:
    size = batch_size_for("auto", interactions)
    assert size & (size - 1) == 0 and SMALLEST_BATCH <= size <= LARGEST_BATCH
    assert size == SMALLEST_BATCH or interactions >= FEWEST_STEPS * size
    if size < LARGEST_BATCH // 2:
        assert interactions < FEWEST_STEPS * 2 * size, "a larger one would have done"
    if size == LARGEST_BATCH:
        assert interactions >= 2 * FEWEST_STEPS * size


@pytest.mark.parametrize(
    ("interactions", "expected"),
    [(1, 256), (6143, 256), (6144, 512), (12_288, 1024), (49_152, 4096), (196_607, 4096), (196_608, 8192)],
)
def test_the_sizes_that_the_docstring_names(interactions: int, expected: int) -> None:
    assert batch_size_for("auto", interactions) == expected


@given(st.integers(0, 10**6))
def test_patience_lasts_for_so_many_steps_and_so_many_evaluations(steps: int) -> None:
    patience = patience_for("auto", steps)
    assert patience >= FEWEST_EVALUATIONS and patience * max(steps, 1) >= PATIENT_STEPS
    assert patience == FEWEST_EVALUATIONS or (patience - 1) * max(steps, 1) < PATIENT_STEPS


def test_what_was_asked_for_holds() -> None:
    assert batch_size_for(7, 10**6) == 7
    assert patience_for(3, 1) == 3
    assert spread_for(0.3, 10**6, 10) == 0.3


def test_the_spread_grows_with_what_a_user_clicks() -> None:
    assert spread_for("auto", 800, 100) == pytest.approx(0.02)
    assert spread_for("auto", 800, 50) == pytest.approx(0.04)
    assert spread_for("auto", 5, 0) > 0
