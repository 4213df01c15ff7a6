"""The behaviour graph in the plain way: Python sets of users, intersected for every pair of items."""

from __future__ import annotations

from collections.abc import Iterable

from damrs_dgl.data.parts import Interactions

Counts = dict[int, dict[int, int]]
"""{item: {other item: how many users have both}}, without zeros."""


def users_by_item(train: Interactions, num_items: int) -> list[set[int]]:
    """The users of each item."""
    users: list[set[int]] = [set() for _ in range(num_items)]
    for user, item in zip(train.users.tolist(), train.items.tolist(), strict=True):
        users[item].add(user)
    return users


def common_users(users: list[set[int]], items: Iterable[int] | None = None) -> Counts:
    """How many users each pair has in common, every pair i < j looked at once; `items` limits i to some rows."""
    counts: Counts = {}
    for item in range(len(users)) if items is None else items:
        mine = users[item]
        for other in range(item + 1, len(users)):
            if common := len(mine & users[other]):
                counts.setdefault(item, {})[other] = common
                counts.setdefault(other, {})[item] = common
    return counts


def behavior_edges(counts: Counts, num_items: int, *, k: int, min_count: int) -> list[tuple[int, int, int]]:
    """(item, neighbour, weight), ordered: the k most frequent of each item from `min_count`, and a loop of weight 1."""
    edges = [(item, item, 1) for item in range(num_items)]
    for item, others in counts.items():
        frequent = [(-count, other) for other, count in others.items() if count >= min_count]
        edges += [(item, other, -count) for count, other in sorted(frequent)[:k]]
    return sorted(edges)
