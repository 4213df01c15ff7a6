"""Coverage, Gini, novelty, popularity and diversity against loops over users, items and pairs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from damrs_dgl.data.parts import ModalityFeatures
from damrs_dgl.evaluation import beyond_accuracy, lists
from damrs_dgl.evaluation.beyond_accuracy import BEYOND_ACCURACY, diversity, gini, mean_over_users
from damrs_dgl.evaluation.lists import Catalogue, RankedLists, catalogue_of

K = 4


def lists_of(items: list[list[int]]) -> RankedLists:
    ranked = torch.tensor(items, dtype=torch.long).reshape(len(items), -1)
    users = torch.arange(len(items))
    return RankedLists(users, ranked, torch.zeros_like(ranked, dtype=torch.bool), torch.ones_like(users))


def content(vectors: np.ndarray, missing: list[int] = []) -> ModalityFeatures:  # noqa: B006
    gone = np.isin(np.arange(len(vectors)), missing)
    return ModalityFeatures(vectors.astype(np.float32), gone)


def random_case(seed: int) -> tuple[RankedLists, Catalogue]:
    """Short lists, items that nobody has or that no list shows, missing content."""
    rng = np.random.default_rng(seed)
    num_items, users = int(rng.integers(2, 12)), int(rng.integers(1, 7))
    ranked = []
    for _ in range(users):
        length = int(rng.integers(0, min(K, num_items) + 1))
        ranked.append([*rng.permutation(num_items)[:length].tolist(), *[-1] * (K - length)])
    modalities = {
        name: content(rng.normal(size=(num_items, dim)), rng.integers(0, num_items, 2).tolist())
        for name, dim in (("visual", 5), ("textual", 3))
    }
    return lists_of(ranked), Catalogue(torch.from_numpy(rng.integers(0, 5, num_items)), modalities)


def slow(found: RankedLists, catalogue: Catalogue, k: int) -> dict[str, object]:
    shown = [[item for item in row if item >= 0] for row in found.items[:, :k].tolist()]
    degrees = catalogue.popularity.tolist()
    counts = sorted(sum(row.count(item) for row in shown) for item in range(len(degrees)))
    total = sum(counts)
    differences = sum(abs(a - b) for a, b in itertools.product(counts, counts))
    size = len(degrees)
    everything = max(1, sum(degrees))

    def mean(values: list[float]) -> float:
        return float(np.mean(values)) if values else math.nan

    def cosines(row: list[int]) -> float:
        by_modality = []
        for features in catalogue.content.values():
            own = [features.values[item].astype(np.float64) for item in row if not features.missing[item]]
            pairs = [1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in itertools.combinations(own, 2)]
            if pairs:
                by_modality.append(mean(pairs))
        return mean(by_modality)

    return {
        "coverage": sum(count > 0 for count in counts) / size,
        # the mean difference of all pairs, over twice the mean: I / (I - 1) times the index over I^2 pairs
        "gini": differences / (2 * size * total) * size / (size - 1) if total else 0.0,
        "novelty": [mean([-math.log2(max(degrees[item], 1) / everything) for item in row]) for row in shown],
        "average_popularity": [mean([degrees[item] for item in row]) for row in shown],
        "diversity": [cosines(row) for row in shown],
    }


@given(st.integers(0, 2**32 - 1), st.integers(1, K))
def test_every_metric_is_its_definition(seed: int, k: int) -> None:
    found, catalogue = random_case(seed)
    expected = slow(found, catalogue, k)
    assert list(expected) == list(BEYOND_ACCURACY)
    for name, metric in BEYOND_ACCURACY.items():
        value = metric(found, catalogue, k)
        assert value is not None
        shown = value.tolist() if isinstance(value, torch.Tensor) else value
        assert shown == pytest.approx(expected[name], abs=1e-6, nan_ok=True), name


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found, catalogue = random_case(3)
    whole = {name: metric(found, catalogue, K) for name, metric in BEYOND_ACCURACY.items()}
    monkeypatch.setattr(beyond_accuracy, "_MAX_BLOCK_NUMBERS", 1)
    monkeypatch.setattr(lists, "_MAX_KEPT_NUMBERS", 0)  # rows of content are taken as they are asked for
    anew = Catalogue(catalogue.popularity, catalogue.content)
    for name, metric in BEYOND_ACCURACY.items():
        torch.testing.assert_close(
            torch.as_tensor(metric(found, anew, K)), torch.as_tensor(whole[name]), equal_nan=True
        )


def test_gini_by_hand() -> None:
    catalogue = Catalogue(torch.ones(4, dtype=torch.long))
    assert gini(lists_of([[2, -1], [2, -1]]), catalogue, 2) == pytest.approx(1.0)  # one item alone
    assert gini(lists_of([[0, 1], [2, 3]]), catalogue, 2) == pytest.approx(0.0)
    assert gini(lists_of([[-1, -1]]), catalogue, 2) == 0.0
    assert gini(lists_of([[0]]), Catalogue(torch.ones(1, dtype=torch.long)), 1) == 0.0


def test_equal_items_have_no_diversity_and_opposite_ones_two() -> None:
    vectors = np.array([[3.0, 1.0], [6.0, 2.0], [-3.0, -1.0]])
    catalogue = Catalogue(torch.ones(3, dtype=torch.long), {"visual": content(vectors)})
    found = diversity(lists_of([[0, 1], [0, 2], [1, -1]]), catalogue, 2)
    assert found is not None
    assert found.tolist() == pytest.approx([0.0, 2.0, math.nan], abs=1e-6, nan_ok=True)
    assert mean_over_users(found) == pytest.approx(1.0)


def test_without_content_there_is_no_diversity() -> None:
    assert diversity(lists_of([[0, 1]]), Catalogue(torch.ones(2, dtype=torch.long)), 2) is None
    assert mean_over_users(torch.tensor([math.nan])) is None


def test_a_catalogue_counts_the_training() -> None:
    assert catalogue_of(torch.tensor([0, 2, 2]), 4, {}).popularity.tolist() == [1, 0, 2, 0]
