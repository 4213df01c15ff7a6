"""What `auto` means for batch size and patience."""

from __future__ import annotations

import pytest

from damrs_dgl.training.sizes import batch_size_for, patience_for


@pytest.mark.parametrize(
    ("interactions", "expected"),
    [(1, 256), (8191, 256), (8192, 512), (16_383, 512), (16_384, 1024), (65_535, 2048), (65_536, 4096), (10**8, 4096)],
)
def test_an_epoch_has_at_least_sixteen_steps_where_it_can(interactions: int, expected: int) -> None:
    assert batch_size_for("auto", interactions) == expected
    assert expected == 256 or interactions >= 16 * expected


@pytest.mark.parametrize(("steps", "expected"), [(0, 1000), (1, 1000), (16, 63), (39, 26), (40, 25), (10_000, 25)])
def test_patience_is_a_thousand_steps_or_25_evaluations(steps: int, expected: int) -> None:
    assert patience_for("auto", steps) == expected


def test_what_was_asked_for_holds() -> None:
    assert batch_size_for(7, 10**6) == 7
    assert patience_for(3, 1) == 3
