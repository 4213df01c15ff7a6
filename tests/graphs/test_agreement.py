"""Content against content and behaviour: as a slow reference counts it, on data whose answer is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from damrs_dgl.data import MultimodalDataset
from damrs_dgl.data.parts import ModalityFeatures
from damrs_dgl.graphs.agreement import content_agreement
from damrs_dgl.graphs.agreement_words import tells, verdict
from damrs_dgl.graphs.sampled_neighbors import affordable_sample, sample_items, sampled_neighbors
from damrs_dgl.graphs.similarity import CosineTable

ITEMS, USERS, KINDS = 60, 90, 6


def shop(*, seed: int = 0, related: bool = True) -> MultimodalDataset:
    """Users who choose items of one kind; pictures show the kind (or nothing), sounds are noise, some are missing."""
    random = np.random.default_rng(seed)
    kinds = np.arange(ITEMS) % KINDS
    users, items = [], []
    for user in range(USERS):
        own = np.flatnonzero(kinds == user % KINDS)
        for item in random.choice(own, 5, replace=False):
            users.append(user)
            items.append(item)
    shown = kinds if related else random.permutation(kinds)
    pictures = np.eye(KINDS)[shown] + 0.2 * random.normal(size=(ITEMS, KINDS))
    sounds = random.normal(size=(ITEMS, 7))
    pictures[3] = 0
    sounds[[5, 9, 11]] = sounds[5]
    split = np.arange(len(users)) % 5
    return MultimodalDataset.from_arrays(
        users,
        items,
        item_ids=np.arange(ITEMS),
        split=np.where(split < 3, 0, split - 2),
        features={"pictures": pictures.astype(np.float32), "sounds": sounds.astype(np.float32)},
    )


def slow_neighbors(features: ModalityFeatures, k: int) -> dict[int, set[int]]:
    values = features.values.astype(np.float64)
    have = [item for item in range(len(values)) if not features.missing[item]]
    found = {}
    for item in have:
        cosines = {
            other: float(values[item] @ values[other] / np.linalg.norm(values[item]) / np.linalg.norm(values[other]))
            for other in have
            if other != item
        }
        best = sorted(cosines, key=lambda other: -cosines[other])[:k]
        found[item] = {other for other in best if cosines[other] > 0}
    return found


def users_by_item(dataset: MultimodalDataset) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {item: set() for item in range(dataset.num_items)}
    for user, item in zip(dataset.train.users.tolist(), dataset.train.items.tolist(), strict=True):
        found[item].add(user)
    return found


def test_shares_are_those_of_a_slow_count() -> None:
    dataset = shop()
    found = content_agreement(dataset, k=4)
    users = users_by_item(dataset)
    lists = {name: slow_neighbors(features, 4) for name, features in dataset.features.items()}
    for name, neighbors in lists.items():
        edges = [(i, j) for i, others in neighbors.items() for j in others if users[i] and users[j]]
        share = sum(bool(users[i] & users[j]) for i, j in edges) / len(edges)
        assert found[name].co_consumed == pytest.approx(share)
        cosines = [len(users[i] & users[j]) / (len(users[i]) * len(users[j])) ** 0.5 for i, j in edges]
        assert found[name].shared == pytest.approx(np.mean(cosines))
    for one, other in itertools.permutations(lists):
        both = [item for item in lists[one] if lists[one][item] and lists[other].get(item)]
        shared = np.mean([len(lists[one][item] & lists[other][item]) / len(lists[one][item]) for item in both])
        assert found[one].overlap == {other: pytest.approx(shared, abs=1e-6)}
    assert found["pictures"].overlap_by_chance == pytest.approx(4 / 59)


def test_missing_and_duplicated_rows_are_counted() -> None:
    found = content_agreement(shop(), k=4)
    pictures, sounds = found["pictures"], found["sounds"]
    assert (pictures.missing, pictures.duplicated, pictures.largest_duplicate) == (1, 0, 1)
    assert (sounds.missing, sounds.duplicated, sounds.largest_duplicate) == (0, 3, 3)
    assert (pictures.sampled_items, pictures.is_sample) == (59, False)


def test_content_that_tells_the_kind_is_told_from_content_that_does_not() -> None:
    told = content_agreement(shop(), k=4)
    assert told["pictures"].lift is not None and told["pictures"].lift > 3
    assert "it can help" in verdict("pictures", vars(told["pictures"]))
    assert "do not expect it to help" in verdict("sounds", vars(told["sounds"]))
    swapped = content_agreement(shop(related=False), k=4)["pictures"]
    assert "do not expect it to help" in verdict("pictures", vars(swapped))
    assert swapped.chance_spread is not None and swapped.chance_spread > 0


def test_dense_data_are_judged_by_how_alike_the_users_are() -> None:
    """Two items of a kind have 25 of 30 users in common, two of other kinds 5 of 55: any two share one."""
    kinds, users = np.arange(40) % 2, np.arange(60)
    pairs = [(u, i) for i in range(40) for u in users if (u % 2 == kinds[i]) or u < 10] + [(59, 0), (58, 1)]
    dataset = MultimodalDataset.from_arrays(
        [u for u, _ in pairs],
        [i for _, i in pairs],
        split=[0] * (len(pairs) - 2) + [1, 2],
        item_ids=np.arange(40),
        features={
            "kind": np.eye(2, dtype=np.float32)[kinds] + np.random.default_rng(0).random((40, 2), dtype=np.float32) / 9,
            "none": np.random.default_rng(1).random((40, 5), dtype=np.float32),
        },
    )
    found = content_agreement(dataset, k=5)
    assert found["kind"].co_consumed == found["kind"].co_consumed_by_chance == 1
    assert found["kind"].lift == pytest.approx(found["kind"].shared / found["kind"].shared_by_chance)  # type: ignore[operator]
    assert (tells(vars(found["kind"])), tells(vars(found["none"]))) == ("a little", "hardly")
    assert "users of items with similar kind content are alike by cosine 1.000, cosine 0." in verdict(
        "kind", vars(found["kind"])
    )


def test_the_share_by_chance_is_that_of_all_pairs() -> None:
    dataset = shop()
    users = users_by_item(dataset)
    trained = [item for item, own in users.items() if own]
    pairs = list(itertools.permutations(trained, 2))
    expected = sum(bool(users[i] & users[j]) for i, j in pairs) / len(pairs)
    found = content_agreement(dataset, k=20)["sounds"].co_consumed_by_chance
    assert found == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("values", [1, 7 * 5, 10**6])
def test_neighbors_do_not_depend_on_the_blocks(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("damrs_dgl.graphs.sampled_neighbors._TILE_VALUES", values)
    features = shop().features["pictures"]
    items = torch.tensor([0, 3, 17, 59])
    found = sampled_neighbors(CosineTable(features), items, 5)
    expected = slow_neighbors(features, 5)
    for item, row in zip(items.tolist(), found.tolist(), strict=True):
        assert {other for other in row if other >= 0} == expected.get(item, set())


def test_a_sample_is_seeded_and_said() -> None:
    dataset = shop()
    found = content_agreement(dataset, k=4, sample=20, seed=3)
    assert found == content_agreement(dataset, k=4, sample=20, seed=3)
    assert found["sounds"].is_sample and found["sounds"].sampled_items == 20
    chosen = sample_items(torch.ones(100, dtype=torch.bool), 10, torch.Generator().manual_seed(1))
    assert len(chosen.unique()) == 10
    assert affordable_sample(200_000, 4096) == 500
    assert affordable_sample(7050, 4096) > 7050


def test_without_a_trained_pair_nothing_is_claimed() -> None:
    dataset = MultimodalDataset.from_arrays(
        ["a", "b", "c"],
        [0, 1, 2],
        split=[0, 1, 2],
        item_ids=[0, 1, 2],
        features={"pictures": np.eye(3, dtype=np.float32) + 0.1},
    )
    found = content_agreement(dataset)["pictures"]
    assert (found.co_consumed, found.lift) == (None, None)
    assert "too few" in verdict("pictures", vars(found))
