"""The benchmark's plain behaviour graph is the toolkit's."""

from __future__ import annotations

import pytest

from benchmarks.plain_graphs import behavior_edges, common_users, users_by_item
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.graphs.behavior import behavior_neighbors


@pytest.mark.parametrize(("k", "min_count"), [(10, 2), (3, 1), (2, 3)])
def test_same_edges(k: int, min_count: int) -> None:
    data = synthetic_shop(users=200, items=60, clicks_per_user=8).dataset
    fast = behavior_neighbors(data.train, data.num_users, data.num_items, k=k, min_count=min_count)
    counts = common_users(users_by_item(data.train, data.num_items))
    slow = behavior_edges(counts, data.num_items, k=k, min_count=min_count)
    found = zip(fast.items.tolist(), fast.neighbors.tolist(), fast.weights.tolist(), strict=True)
    assert [(item, other, int(weight)) for item, other, weight in found] == slow
    assert len(slow) > 2 * data.num_items


def test_rows_are_part_of_the_whole() -> None:
    data = synthetic_shop(users=200, items=60, clicks_per_user=8).dataset
    users = users_by_item(data.train, data.num_items)
    whole, parts = common_users(users), [common_users(users, [item]) for item in range(60)]
    assert sum(len(part.get(item, {})) for item, part in enumerate(parts)) == sum(map(len, whole.values())) / 2
