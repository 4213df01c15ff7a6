"""The behaviour relation against loops over sets of users."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from damrs_dgl.data.parts import Interactions
from damrs_dgl.errors import RecipeError
from damrs_dgl.graphs import behavior
from damrs_dgl.graphs.behavior import behavior_neighbors


def random_interactions(seed: int, num_users: int, num_items: int, density: float) -> Interactions:
    random = np.random.default_rng(seed)
    users, items = np.nonzero(random.random((num_users, num_items)) < density)
    order = random.permutation(len(users))
    return Interactions.from_numpy(users[order], items[order])


def slow(train: Interactions, num_items: int, k: int, min_count: int) -> tuple[list[tuple[int, int, float]], int]:
    users_of = [set(train.users[train.items == item].tolist()) for item in range(num_items)]
    kept, pruned = [], 0
    for i in range(num_items):
        counts = {j: len(users_of[i] & users_of[j]) for j in range(num_items) if j != i}
        pruned += sum(0 < count < min_count for count in counts.values())
        best = sorted((j for j in counts if counts[j] >= min_count), key=lambda j: (-counts[j], j))[:k]
        kept += sorted([(i, i, 1.0), *((i, j, float(counts[j])) for j in best)])
    return kept, pruned


@settings(max_examples=60)
@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(1, 30), st.integers(1, 25)),
    st.sampled_from([0.0, 0.1, 0.4]),
    st.tuples(st.integers(1, 12), st.integers(1, 4)),
    st.sampled_from([1, 40, 10**6]),
)
def test_equals_set_intersections(
    seed: int, sizes: tuple[int, int], density: float, settings: tuple[int, int], block_values: int
) -> None:
    (num_users, num_items), (k, min_count) = sizes, settings
    train = random_interactions(seed, num_users, num_items, density)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(behavior, "_BLOCK_VALUES", block_values)
        result = behavior_neighbors(train, num_users, num_items, k=k, min_count=min_count)
    edges = list(zip(result.items.tolist(), result.neighbors.tolist(), result.weights.tolist(), strict=True))
    assert (edges, result.below_min_count) == slow(train, num_items, k, min_count)
    assert (result.items.dtype, result.neighbors.dtype, result.weights.dtype) == (
        torch.int64,
        torch.int64,
        torch.float32,
    )


def test_blocks_hold_no_more_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    train = random_interactions(0, 50, 40, 0.2)
    calls: list[tuple[int, int, str]] = []
    monkeypatch.setattr(behavior, "_BLOCK_VALUES", 200)
    behavior_neighbors(train, 50, 40, progress=lambda *call: calls.append(call))
    done = [0, *(call[0] for call in calls)]
    assert done[-1] == 40
    assert all(0 < stop - start <= 5 for start, stop in itertools.pairwise(done))  # 40 values a row, 200 a block


@pytest.mark.parametrize("setting", ["k", "min_count"])
def test_refuses_values_below_one(setting: str) -> None:
    with pytest.raises(RecipeError, match=rf"behavior_{setting} must be at least 1 \(got 0\)"):
        behavior_neighbors(random_interactions(0, 3, 3, 0.5), 3, 3, **{setting: 0})


def test_another_similarity_is_refused() -> None:
    train = Interactions(torch.tensor([0, 0]), torch.tensor([0, 1]))
    with pytest.raises(RecipeError, match=r"behavior_similarity = .cosin.*count, cosine"):
        behavior_neighbors(train, 1, 2, similarity="cosin")
