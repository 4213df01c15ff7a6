"""The largest of each row against torch.topk."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from damrs_dgl.selection import largest


@given(st.integers(1, 20), st.integers(1, 900), st.integers(0, 999))
def test_largest_is_topk(k: int, columns: int, seed: int) -> None:
    scores = torch.randn(3, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    k = min(k, columns)
    values, indices = largest(scores, k)
    expected = torch.topk(scores, k, dim=1)
    assert torch.equal(values, expected.values) and torch.equal(indices, expected.indices)


@pytest.mark.parametrize("columns", [384, 1001, 1003])
def test_the_last_columns_are_seen(columns: int) -> None:
    scores = torch.arange(columns, dtype=torch.float64).expand(2, -1)
    assert largest(scores, 2)[1].tolist() == [[columns - 1, columns - 2]] * 2


def test_equal_scores_give_distinct_columns() -> None:
    values, indices = largest(torch.zeros(2, 1001), 3)
    assert not values.any()
    assert all(len(set(row)) == 3 and max(row) < 1001 for row in indices.tolist())


def test_rows_with_few_finite_scores_end_in_minus_infinity_and_valid_columns() -> None:
    scores = torch.full((2, 1003), -math.inf)
    scores[:, 1002] = 1.0
    values, indices = largest(scores, 4)
    assert values.tolist() == [[1.0, -math.inf, -math.inf, -math.inf]] * 2
    assert indices[:, 0].tolist() == [1002, 1002] and int(indices.max()) < 1003 and int(indices.min()) >= 0


def test_nan_counts_as_the_largest() -> None:
    scores = torch.zeros(1, 1003)
    scores[0, 700] = math.nan
    values, indices = largest(scores, 2)
    assert values[0, 0].isnan() and int(indices[0, 0]) == 700
