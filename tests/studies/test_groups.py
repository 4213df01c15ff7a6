"""Groups of users and items against a loop over them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.errors import DataError
from damrs_dgl.recipe import load_recipe
from damrs_dgl.scoring import DotProduct
from damrs_dgl.studies.groups import (
    ALL_SPLITS,
    AUTHORS_GROUPS,
    ITEMS,
    USERS,
    Group,
    group_rows,
    groups_at,
    popularity_thirds,
)
from damrs_dgl.studies.judging import Judge, Judgement

KS = (5, 20)


@pytest.fixture(scope="module")
def dataset() -> MultimodalDataset:
    return synthetic_shop(users=60, items=40, styles=4, seed=3, dims={"visual": 6}).dataset


@pytest.fixture(scope="module")
def found(dataset: MultimodalDataset) -> Judgement:
    recipe = load_recipe("demo", ["evaluation.ks=[5, 20]"])
    generator = torch.Generator().manual_seed(0)
    return Judge(recipe, dataset)(DotProduct(*(torch.randn(n, 4, generator=generator) for n in (60, 40))))


def slow_values(group: Group, found: Judgement, dataset: MultimodalDataset, k: int) -> list[float]:
    """Recall@K of the group, user by user."""
    splits = [dataset.train] if group.counted == "training" else [part for _, part in dataset.splits()]
    pairs = [pair for part in splits for pair in zip(part.users.tolist(), part.items.tolist(), strict=True)]
    test = list(zip(dataset.test.users.tolist(), dataset.test.items.tolist(), strict=True))

    def inside(count: int) -> bool:
        return group.low <= count and (group.high is None or count < group.high)

    values = []
    for user, ranked in zip(found.lists.users.tolist(), found.lists.items.tolist(), strict=True):
        wanted = {item for owner, item in test if owner == user}
        if group.by == USERS and not inside(sum(owner == user for owner, _ in pairs)):
            continue
        if group.by == ITEMS:
            wanted = {item for item in wanted if inside(sum(other == item for _, other in pairs))}
        if wanted:
            values.append(len(wanted & set(ranked[:k])) / len(wanted))
    return values


@pytest.mark.parametrize(
    "group", [*AUTHORS_GROUPS, *groups_at([4, 9], USERS), *groups_at([5, 12], ITEMS)], ids=lambda group: group.name
)
def test_every_group_is_its_definition(group: Group, found: Judgement, dataset: MultimodalDataset) -> None:
    rows = {row["metric"]: row for row in group_rows("mf", found, dataset, [group], KS)}
    for k in KS:
        expected = slow_values(group, found, dataset, k)
        row = rows[f"recall@{k}"]
        assert row["users"] == len(expected)
        if not expected:
            assert row["value"] is None and row["standard_error"] is None
            continue
        assert row["value"] == pytest.approx(np.mean(expected))
        error = np.std(expected, ddof=1) / math.sqrt(len(expected)) if len(expected) > 1 else None
        assert row["standard_error"] == (error if error is None else pytest.approx(error))


def test_groups_of_users_have_every_metric_and_make_up_the_whole(found: Judgement, dataset: MultimodalDataset) -> None:
    rows = group_rows("mf", found, dataset, groups_at([4, 9], USERS), KS)
    assert {row["metric"] for row in rows} >= {"recall@5", "map@20", "novelty@20", "diversity@5"}
    own = [row for row in rows if row["metric"] == "ndcg@20" and row["users"]]
    total = sum(row["value"] * row["users"] for row in own)
    assert total / len(found.lists) == pytest.approx(found.test["ndcg@20"])


def test_the_authors_groups() -> None:
    """On Baby: exactly 5 of a data set that has no fewer, fewer than 10, 50 and more, of all interactions."""
    counts = torch.tensor([5, 6, 9, 10, 49, 50])
    members = {group.name: counts[group.members(counts)].tolist() for group in AUTHORS_GROUPS}
    assert members == {"new": [5], "less active": [5, 6, 9], "between": [10, 49], "active": [50]}
    assert {group.counted for group in AUTHORS_GROUPS} == {ALL_SPLITS}


def test_cut_points() -> None:
    groups = groups_at([1, 5, 10], USERS)
    assert [group.name for group in groups] == ["0", "1 to 4", "5 to 9", "10 and more"]
    assert [(group.low, group.high) for group in groups] == [(0, 1), (1, 5), (5, 10), (10, None)]


@pytest.mark.parametrize("cuts", [[], [0, 5], [5, 5], [9, 3]])
def test_cut_points_that_are_none(cuts: list[int]) -> None:
    with pytest.raises(DataError, match="ascending"):
        groups_at(cuts, USERS)


@pytest.mark.parametrize(
    ("popularity", "sizes"),
    [
        ([5, 1, 3, 2, 9, 7], {"rare": 2, "middling": 2, "popular": 2}),
        ([1, 1, 1, 1, 5, 9], {"rare": 4, "popular": 2}),  # equally many stay together
        ([0, 0, 0, 0, 0, 3], {"rare": 5, "popular": 1}),
        ([2, 2, 2], {"all": 3}),
        ([], {"all": 0}),
    ],
)
def test_thirds_of_the_items(popularity: list[int], sizes: dict[str, int]) -> None:
    counts = torch.tensor(popularity, dtype=torch.long)
    groups = popularity_thirds(counts)
    assert {group.name: int(group.members(counts).sum()) for group in groups} == sizes
