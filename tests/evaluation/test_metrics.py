"""Metrics against a plain loop over users in float64, against scikit-learn, and by hand."""

from __future__ import annotations

import doctest
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from damrs_dgl.errors import DataError
from damrs_dgl.evaluation import metrics as module
from damrs_dgl.evaluation.metrics import evaluate_ranking, hit_matrix, per_user_metrics, ranking_metrics
from damrs_dgl.user_items import UserItems

KS = [1, 3, 5, 40, 10**12]  # the last is longer than any list that fits in memory


def slow_evaluation(
    scores: np.ndarray, relevant: set[tuple[int, int]], seen: set[tuple[int, int]], trained: set[int]
) -> tuple[dict[str, float], int]:
    """User by user, rank by rank."""
    num_users, num_items = scores.shape
    own: dict[str, list[float]] = {f"{name}@{k}": [] for name in ("recall", "precision", "ndcg", "map") for k in KS}
    counted = 0
    for user in range(num_users):
        wanted = {item for owner, item in relevant if owner == user}
        if not wanted or user not in trained:
            continue
        counted += 1
        candidates = [item for item in range(num_items) if (user, item) not in seen]
        ranked = sorted(candidates, key=lambda item, user=user: (-scores[user, item], item))
        for k in KS:
            hits = [item in wanted for item in ranked[:k]]
            gain = sum(1 / math.log2(place + 2) for place, hit in enumerate(hits) if hit)
            ideal = sum(1 / math.log2(place + 2) for place in range(min(len(wanted), k)))
            precisions = [sum(hits[: place + 1]) / (place + 1) for place, hit in enumerate(hits) if hit]
            own[f"recall@{k}"].append(sum(hits) / len(wanted))
            own[f"precision@{k}"].append(sum(hits) / k)
            own[f"ndcg@{k}"].append(gain / ideal)
            own[f"map@{k}"].append(sum(precisions) / min(len(wanted), k))
    return {key: float(np.mean(values)) if values else math.nan for key, values in own.items()}, counted


def random_case(seed: int) -> dict[str, Any]:
    """Scores with many ties; users without test items, without training items, and one who has seen everything."""
    generator = np.random.default_rng(seed)
    num_users, num_items = int(generator.integers(2, 9)), int(generator.integers(1, 15))
    user_emb, item_emb = generator.integers(-1, 2, (num_users, 2)), generator.integers(-1, 2, (num_items, 2))
    seen = generator.integers(0, [num_users, num_items], (generator.integers(0, 25), 2))
    everything = np.stack([np.full(num_items, num_users - 1), np.arange(num_items)], axis=1)
    seen = np.concatenate([seen[seen[:, 0] != 0], everything])
    relevant = generator.integers(0, [num_users, num_items], (generator.integers(1, 25), 2))
    return {"user_emb": user_emb.astype(float), "item_emb": item_emb.astype(float), "relevant": relevant, "seen": seen}


def as_set(pairs: np.ndarray) -> set[tuple[int, int]]:
    return {(int(user), int(item)) for user, item in pairs}


@given(seed=st.integers(0, 2**32 - 1), block_size=st.integers(1, 10), other_trained=st.booleans())
def test_evaluation_equals_the_slow_loop(seed: int, block_size: int, other_trained: bool) -> None:
    case = random_case(seed)
    scores = case["user_emb"] @ case["item_emb"].T
    trained = {user for user, _ in as_set(case["seen"])}
    mask = None
    if other_trained:
        trained = {user for user in range(len(scores)) if user % 3}
        mask = np.array([user in trained for user in range(len(scores))])
    wanted, counted = slow_evaluation(scores, as_set(case["relevant"]), as_set(case["seen"]), trained)
    arguments: dict[str, Any] = {
        "relevant": case["relevant"].T,
        "seen": case["seen"].T,
        "ks": KS,
        "trained_users": mask,
        "block_size": block_size,
    }
    if counted == 0:
        with pytest.raises(DataError, match="no user"):
            evaluate_ranking(case["user_emb"], case["item_emb"], **arguments)
        return
    result = evaluate_ranking(case["user_emb"], case["item_emb"], **arguments)
    assert result.num_users == counted
    assert result.metrics == pytest.approx(wanted, rel=1e-12)
    assert all(type(value) is float for value in result.metrics.values())


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 4, 10, 30]))
def test_ndcg_equals_scikit_learn(seed: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=(6, 30))
    relevance = (generator.random((6, 30)) < 0.2).astype(int)
    relevance[:, 0] = 1
    # scores as inner products: the unit vectors are the items
    result = evaluate_ranking(scores, np.eye(30), relevant=relevance.nonzero(), ks=[k])
    assert result.metrics[f"ndcg@{k}"] == pytest.approx(ndcg_score(relevance, scores, k=k), rel=1e-12)


def test_metrics_by_hand() -> None:
    hits = torch.tensor([[True, False, True, False], [False, False, False, True]])
    own = per_user_metrics(hits, torch.tensor([3, 1]), [4, 2])
    assert own["recall@2"].tolist() == pytest.approx([1 / 3, 0])
    assert own["recall@4"].tolist() == pytest.approx([2 / 3, 1])
    assert own["precision@4"].tolist() == pytest.approx([1 / 2, 1 / 4])
    assert own["map@4"].tolist() == pytest.approx([(1 + 2 / 3) / 3, 1 / 4])
    assert own["map@2"].tolist() == pytest.approx([1 / 2, 0])
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert own["ndcg@4"].tolist() == pytest.approx([1.5 / ideal, 1 / math.log2(5)])
    assert list(own) == [f"{name}@{k}" for name in ("recall", "precision", "ndcg", "map") for k in (2, 4)]


def test_means_do_not_depend_on_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    hits = torch.rand(50, 20, generator=generator) < 0.2
    whole = ranking_metrics(hits, torch.full((50,), 7), [5, 20])
    monkeypatch.setattr(module, "_USERS_PER_MEAN", 8)
    assert ranking_metrics(hits, torch.full((50,), 7), [5, 20]) == pytest.approx(whole, rel=1e-14)


def test_users_are_ranked_in_chunks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(1)
    user_emb, item_emb = generator.normal(size=(30, 4)), generator.normal(size=(25, 4))
    relevant = generator.integers(0, [30, 25], (60, 2)).T
    whole = evaluate_ranking(user_emb, item_emb, relevant=relevant, per_user=True)
    monkeypatch.setattr(module, "_USERS_PER_MEAN", 7)
    parts = evaluate_ranking(user_emb, item_emb, relevant=relevant)
    assert parts.metrics == pytest.approx(whole.metrics, rel=1e-14)
    assert parts.num_users == whole.num_users == len(set(relevant[0]))


def test_per_user_numbers_average_to_the_metrics_and_are_kept_only_on_request() -> None:
    relevant, seen = ([4, 1, 1], [0, 2, 3]), ([0, 1, 4], [0, 0, 1])
    result = evaluate_ranking(np.eye(5), np.eye(5), relevant=relevant, seen=seen, ks=[2], per_user=True)
    assert result.per_user is not None
    assert result.users is not None
    assert result.users.tolist() == [1, 4]
    for key, values in result.per_user.items():
        assert float(values.mean()) == pytest.approx(result.metrics[key])
        assert values.shape == (2,)
    assert evaluate_ranking(np.eye(5), np.eye(5), relevant=relevant, seen=seen, ks=[2]).per_user is None


def test_ready_made_rows_serve_as_pairs_do() -> None:
    pairs = torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0])
    seen = torch.tensor([0, 1, 2]), torch.tensor([0, 0, 1])
    plain = evaluate_ranking(torch.eye(3), torch.eye(3), relevant=pairs, seen=seen, ks=[1, 2])
    rows = [UserItems.from_pairs(*part, 3) for part in (pairs, seen)]
    assert evaluate_ranking(torch.eye(3), torch.eye(3), relevant=rows[0], seen=rows[1], ks=[1, 2]) == plain
    with pytest.raises(DataError, match="of 4 users, but there are 3"):
        evaluate_ranking(torch.eye(3), torch.eye(3), relevant=UserItems.from_pairs(*pairs, 4))


def test_hit_matrix_ignores_padding_and_items_of_other_users() -> None:
    relevant = UserItems.from_pairs(torch.tensor([0, 0, 2]), torch.tensor([1, 4, 0]), 3)
    ranked = torch.tensor([[4, 0, 9], [1, 4, -1], [-1, 0, 1]])
    wanted = [[True, False, False], [False] * 3, [False, True, False]]
    assert hit_matrix(ranked, torch.tensor([0, 1, 2]), relevant).tolist() == wanted
    assert hit_matrix(ranked, torch.tensor([2, 2, 0]), relevant).tolist() == [
        [False, True, False],
        [False] * 3,
        [False, False, True],
    ]
    nobody = UserItems.from_pairs(torch.tensor([], dtype=torch.int64), torch.tensor([], dtype=torch.int64), 3)
    assert not hit_matrix(ranked, torch.tensor([0, 1, 2]), nobody).any()


def test_what_does_not_fit_is_refused() -> None:
    hits = torch.zeros(2, 3, dtype=torch.bool)
    with pytest.raises(DataError, match=r"\[n, 5 or more\]"):
        per_user_metrics(hits, torch.tensor([1, 1]), [5])
    with pytest.raises(DataError, match=r"\[n, 4 or more\]"):
        per_user_metrics(hits, torch.tensor([1, 1]), [5], num_items=4)
    assert per_user_metrics(hits, torch.tensor([1, 1]), [5], num_items=3)["recall@5"].tolist() == [0, 0]
    with pytest.raises(DataError, match="without a relevant item"):
        per_user_metrics(hits, torch.tensor([1, 0]), [2])
    with pytest.raises(DataError, match=r"1 or more, got \[5, 0\]"):
        ranking_metrics(hits, torch.tensor([1, 1]), [5, 0])
    with pytest.raises(DataError, match="no user"):
        ranking_metrics(hits[:0], torch.zeros(0, dtype=torch.int64), [2])
    with pytest.raises(DataError, match="relevant item has index 3"):
        evaluate_ranking(np.eye(3), np.eye(3), relevant=([0], [3]))
    with pytest.raises(DataError, match="trained_users must be 3 booleans"):
        evaluate_ranking(np.eye(3), np.eye(3), relevant=([0], [1]), trained_users=[0, 2, 1])


def test_the_example_in_the_documentation_runs() -> None:
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted > 0


@pytest.mark.parametrize("ks", [20, [1.5, 20], [0], [], None, ["20"]])
def test_lengths_that_are_none(ks: Any) -> None:
    with pytest.raises(DataError, match="ks must be whole numbers of 1 or more"):
        evaluate_ranking(np.eye(5), np.eye(5), relevant=np.eye(5).nonzero(), ks=ks)
