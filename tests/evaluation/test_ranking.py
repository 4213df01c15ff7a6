"""Exact order under ties, masking, padding and blocks, against a stable numpy sort."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from damrs_dgl.errors import DataError, TrainingError
from damrs_dgl.evaluation import ranking as ranking_module
from damrs_dgl.evaluation.ranking import rank_items, top_k
from damrs_dgl.user_items import UserItems

INF = float("inf")


def slow_top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Every row by a stable sort of the negated scores; -inf is no candidate."""
    values, indices = np.full((len(scores), k), -np.inf), np.full((len(scores), k), -1)
    for row, own in enumerate(scores):
        best = [item for item in np.argsort(-own, kind="stable") if own[item] > -np.inf][:k]
        indices[row, : len(best)], values[row, : len(best)] = best, own[best]
    return values, indices


@st.composite
def score_matrices(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    """Few distinct values, so that nearly all of them are tied, with -inf and -0.0 among them."""
    rows, columns = draw(st.integers(0, 6)), draw(st.integers(1, 90))
    levels = draw(st.sampled_from([[0.0], [0.0, 1.0], [-0.0, 0.0, -INF], [-2.0, 0.5, 3.0, -INF, INF], None]))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = (rows, columns)
    scores = generator.normal(size=size) if levels is None else generator.choice(np.array(levels), size)
    return scores.astype(np.float32), draw(st.sampled_from([1, 2, 5, columns - 1 or 1, columns, columns + 3]))


@given(score_matrices())
def test_top_k_is_a_stable_sort(case: tuple[np.ndarray, int]) -> None:
    scores, k = case
    values, indices = top_k(torch.from_numpy(scores.copy()), k)
    slow_values, slow_indices = slow_top_k(scores, k)
    np.testing.assert_array_equal(indices.numpy(), slow_indices)
    np.testing.assert_array_equal(values.numpy(), slow_values.astype(np.float32))
    assert indices.dtype == torch.int64


def test_top_k_takes_the_first_of_many_equal_scores() -> None:
    scores = torch.zeros(3, 5000)
    scores[1, 4000] = 1.0
    scores[2, :2000] = -INF
    _, indices = top_k(scores, 4)
    assert indices.tolist() == [[0, 1, 2, 3], [4000, 0, 1, 2], [2000, 2001, 2002, 2003]]


def test_top_k_refuses_nan_and_k_below_one() -> None:
    scores = torch.zeros(3, 4)
    scores[1, 2] = float("nan")
    with pytest.raises(TrainingError, match="row 1"):
        top_k(scores, 2)
    with pytest.raises(DataError, match="got 0"):
        top_k(torch.zeros(2, 2), 0)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), max_size=40), st.lists(st.integers(0, 6), max_size=9))
def test_seen_items_hold_every_pair_once(pairs: list[tuple[int, int]], asked: list[int]) -> None:
    table = torch.tensor(pairs, dtype=torch.int64).view(-1, 2)
    seen = UserItems.from_pairs(table[:, 0], table[:, 1], 7)
    wanted = {user: sorted({item for owner, item in pairs if owner == user}) for user in range(7)}
    assert seen.counts().tolist() == [len(wanted[user]) for user in range(7)]
    rows, items = seen.pairs_of(torch.tensor(asked, dtype=torch.int64))
    assert list(zip(rows.tolist(), items.tolist(), strict=True)) == [
        (row, item) for row, user in enumerate(asked) for item in wanted[user]
    ]
    scores = seen.mask_(torch.zeros(len(asked), 10), torch.tensor(asked, dtype=torch.int64))
    for row, user in enumerate(asked):
        assert (scores[row] == -INF).nonzero()[:, 0].tolist() == wanted[user]


@pytest.mark.parametrize(
    ("users", "items", "message"),
    [
        ([0, 3], [0, 1], "user 3 is not in 0..2"),
        ([0, -1], [0, 1], "user -1"),
        ([0], [-4], "item -4"),
        ([0], [1, 2], "length"),
    ],
)
def test_seen_items_refuse_what_does_not_fit(users: list[int], items: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        UserItems.from_pairs(torch.tensor(users), torch.tensor(items), 3)


@given(
    seed=st.integers(0, 2**32 - 1), num_items=st.integers(1, 30), k=st.integers(1, 35), block_size=st.integers(1, 12)
)
def test_rank_items_equals_the_slow_loop_whatever_the_block(seed: int, num_items: int, k: int, block_size: int) -> None:
    generator = np.random.default_rng(seed)
    # small whole numbers: exact inner products, and many of them equal
    user_emb, item_emb = generator.integers(-2, 3, (8, 3)), generator.integers(-2, 3, (num_items, 3))
    pairs = generator.integers(0, [8, num_items], (generator.integers(0, 60), 2))
    users = generator.permutation(8)[: generator.integers(0, 9)]
    scores = (user_emb[users] @ item_emb.T).astype(np.float64)
    for row, user in enumerate(users):
        scores[row, pairs[pairs[:, 0] == user, 1]] = -np.inf
    values, indices = slow_top_k(scores, k)
    seen = UserItems.from_pairs(torch.from_numpy(pairs[:, 0]), torch.from_numpy(pairs[:, 1]), 8)
    ranking = rank_items(
        torch.from_numpy(user_emb[users]).float(),
        torch.from_numpy(item_emb).float(),
        k,
        seen=seen,
        users=torch.from_numpy(users),
        block_size=block_size,
    )
    np.testing.assert_array_equal(ranking.items.numpy(), indices)
    np.testing.assert_array_equal(ranking.scores.numpy(), values)


def test_rank_items_without_seen_and_in_other_precisions() -> None:
    user_emb, item_emb = torch.eye(3)[:2], torch.tensor([[0.0, 1, 0], [2, 0, 0], [1, 3, 0]])
    for dtype, wanted in (
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        ranking = rank_items(user_emb.to(dtype), item_emb.to(dtype), 2, seen=None, users=torch.arange(2))
        assert ranking.items.tolist() == [[1, 2], [2, 0]]
        assert ranking.scores.dtype == wanted


def test_rank_items_leaves_the_embeddings_and_their_gradient_alone() -> None:
    user_emb, item_emb = torch.randn(4, 3, requires_grad=True), torch.randn(5, 3, requires_grad=True)
    before = user_emb.detach().clone()
    ranking = rank_items(user_emb, item_emb, 2, seen=None, users=torch.arange(4))
    assert not ranking.scores.requires_grad
    assert torch.equal(before, user_emb)


def test_rank_items_refuses_what_does_not_fit() -> None:
    user_emb, item_emb, users = torch.zeros(2, 3), torch.zeros(4, 3), torch.arange(2)
    with pytest.raises(DataError, match=r"\[2, 3\] and \[4, 2\]"):
        rank_items(user_emb, torch.zeros(4, 2), 1, seen=None, users=users)
    with pytest.raises(DataError, match="3 users, but 2 user vectors"):
        rank_items(user_emb, item_emb, 1, seen=None, users=torch.arange(3))
    with pytest.raises(DataError, match="index 4, but there are 4"):
        rank_items(
            user_emb, item_emb, 1, seen=UserItems.from_pairs(torch.tensor([0]), torch.tensor([4]), 2), users=users
        )
    with pytest.raises(DataError, match="user 2 is not in"):
        rank_items(user_emb, item_emb, 1, seen=UserItems.from_pairs(users, users, 2), users=users + 1)
    with pytest.raises(DataError, match="block_size must be a whole number of 1 or more"):
        rank_items(user_emb, item_emb, 1, seen=None, users=users, block_size=0)
    item_emb[2, 0] = float("nan")
    with pytest.raises(TrainingError, match="item vector in row 2"):
        rank_items(user_emb, item_emb, 1, seen=None, users=users)


def test_blocks_shrink_where_the_items_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    user_emb, item_emb = (torch.randint(-2, 3, (n, 3), generator=generator).float() for n in (20, 50))
    wanted = rank_items(user_emb, item_emb, 5, seen=None, users=torch.arange(20))
    sizes = []
    monkeypatch.setattr(ranking_module, "_MAX_BLOCK_SCORES", 150)
    monkeypatch.setattr(ranking_module, "top_k", lambda scores, k: sizes.append(len(scores)) or top_k(scores, k))
    got = rank_items(user_emb, item_emb, 5, seen=None, users=torch.arange(20))
    assert sizes == [3] * 6 + [2]
    assert torch.equal(got.items, wanted.items)
