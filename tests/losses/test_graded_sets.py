"""The graded item sets against slow loops from Section 3.4.2."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from damrs_dgl.losses.graded_sets import graded_item_sets
from tests.losses.plain import graded_item_sets_plain
from tests.losses.relation_tables import cosines, random_tables


def slow_sets(tables: list[Tensor], anchors: list[int], k: int) -> tuple[np.ndarray, np.ndarray]:
    shares = [np.exp(cosines(table)) for table in tables]
    shares = [share / share.sum(axis=1, keepdims=True) for share in shares]
    similar, less_similar = (np.full((len(tables), len(anchors), k), -1) for _ in range(2))
    for m, share in enumerate(shares):
        for place, i in enumerate(anchors):
            graded = share[i] + sum(other[i] for other in shares)
            near = sorted(range(len(graded)), key=lambda j: -graded[j])[:k]
            less = [j for j in sorted(range(len(graded)), key=lambda j: -share[i][j]) if j not in near][:k]
            similar[m, place, : len(near)] = near
            less_similar[m, place, : len(less)] = less
    return similar, less_similar


@given(st.integers(1, 3), st.integers(1, 30), st.integers(1, 6), st.sampled_from([1, 3, 128]), st.integers(0, 999))
def test_graded_sets_against_loops(relations: int, items: int, k: int, block_size: int, seed: int) -> None:
    tables = random_tables(relations, items, seed)
    anchors = torch.tensor(np.random.default_rng(seed).permutation(items)[: max(1, items // 2)])
    sets = graded_item_sets(tables, anchors, k=k, block_size=block_size)
    similar, less_similar = slow_sets(tables, anchors.tolist(), k)
    assert np.array_equal(sets.similar.numpy(), similar)
    assert np.array_equal(sets.less_similar.numpy(), less_similar)
    every = graded_item_sets(tables, k=k).take(anchors)
    assert torch.equal(every.similar, sets.similar) and torch.equal(every.less_similar, sets.less_similar)
    if items >= 2 * k:
        plain = graded_item_sets_plain(tables, anchors, k=k)
        assert torch.equal(plain.similar, sets.similar) and torch.equal(plain.less_similar, sets.less_similar)
