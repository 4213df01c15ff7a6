"""AU: the chunked kernels against their plain forms, the plain forms against numpy loops."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from damrs_dgl.losses import user_preference
from damrs_dgl.losses.user_preference import (
    bernoulli_preference_alignment,
    preference_alignment,
    sampled_preference_alignment,
)
from tests.losses.plain import bernoulli_preference_alignment_plain, preference_alignment_plain

PAIRS = [
    (preference_alignment, preference_alignment_plain),
    (bernoulli_preference_alignment, bernoulli_preference_alignment_plain),
]
both = pytest.mark.parametrize(("fast", "plain"), PAIRS, ids=["softmax", "bernoulli"])


def random_inputs(users: int, items: int, dim: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(rows, dim, generator=generator, dtype=torch.float64).requires_grad_()
        for rows in (users, items, items)
    ]


def kl(p: np.ndarray, q: np.ndarray) -> float:
    return float(sum(x * np.log(x / y) for x, y in zip(p, q, strict=True)))


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 4), st.integers(0, 999))
def test_plain_softmax_form_is_equation_10(users: int, items: int, dim: int, seed: int) -> None:
    inputs = random_inputs(users, items, dim, seed)
    u, content, ids = (x.detach().numpy() for x in inputs)
    expected = 0.0
    for user in u:
        p, q = (np.array([np.exp(user @ item) for item in table]) for table in (content, ids))
        p, q = p / p.sum(), q / q.sum()
        expected += (kl(p, q) + kl(q, p)) / users
    assert np.isclose(preference_alignment_plain(*inputs).item(), expected, rtol=1e-10, atol=1e-12)


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 4), st.integers(0, 999))
def test_plain_bernoulli_form_is_the_divergence_of_each_pair(users: int, items: int, dim: int, seed: int) -> None:
    inputs = random_inputs(users, items, dim, seed)
    u, content, ids = (x.detach().numpy() for x in inputs)
    expected = 0.0
    for user in u:
        for c, i in zip(content, ids, strict=True):
            p, q = 1 / (1 + np.exp(-(user @ c))), 1 / (1 + np.exp(-(user @ i)))
            p, q = np.array([p, 1 - p]), np.array([q, 1 - q])
            expected += (kl(p, q) + kl(q, p)) / (users * items)
    assert np.isclose(bernoulli_preference_alignment_plain(*inputs).item(), expected, rtol=1e-9, atol=1e-12)


@both
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 12), st.integers(1, 5)),
    seed=st.integers(0, 999),
    chunk_size=st.sampled_from([1, 3, 256]),
)
def test_fast_equals_plain(fast, plain, shape: tuple[int, int, int], seed: int, chunk_size: int) -> None:
    results = []
    for function in (partial(fast, chunk_size=chunk_size), plain):
        inputs = random_inputs(*shape, seed)
        loss = function(*inputs)
        results.append((loss.detach(), *torch.autograd.grad(2.5 * loss, inputs)))
    for left, right in zip(*results, strict=True):
        # The plain form loses digits where the whole loss or gradient is a rounding residue (one item: P = Q = 1).
        scale = max(right.abs().max().item(), 1e-3)
        assert (left - right).abs().max().item() <= 1e-10 * scale


@both
def test_gradcheck(fast, plain) -> None:
    assert torch.autograd.gradcheck(partial(fast, chunk_size=2), random_inputs(5, 7, 3, 0))


@both
def test_gradients_of_some_inputs_only(fast, plain) -> None:
    expected = torch.autograd.grad(plain(*(inputs := random_inputs(4, 6, 3, 1))), inputs)
    for wanted in range(3):
        inputs = [x.detach().requires_grad_(place == wanted) for place, x in enumerate(random_inputs(4, 6, 3, 1))]
        fast(*inputs, chunk_size=3).backward()
        torch.testing.assert_close(inputs[wanted].grad, expected[wanted], rtol=1e-10, atol=1e-13)


@both
def test_equal_tables_cost_nothing(fast, plain) -> None:
    user_emb, content_emb, _ = random_inputs(4, 6, 3, 2)
    loss = fast(user_emb, content_emb, content_emb)
    assert loss.item() == 0
    assert not torch.autograd.grad(loss, user_emb)[0].any()


@both
def test_large_scores_stay_finite_in_float32(fast, plain) -> None:
    inputs = [(100 * x.detach()).float().requires_grad_() for x in random_inputs(4, 6, 3, 3)]
    loss = fast(*inputs)
    loss.backward()
    assert torch.isfinite(loss) and all(torch.isfinite(x.grad).all() for x in inputs)
    torch.testing.assert_close(loss, plain(*inputs), rtol=1e-4, atol=0)


@both
def test_nothing_of_the_size_of_the_score_matrix_is_kept(fast, plain) -> None:
    inputs = random_inputs(40, 50, 3, 4)
    sizes: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        fast(*inputs).backward()
    assert 0 < max(sizes) <= 50 * 3
    with torch.no_grad():
        assert not fast(*inputs).requires_grad


@both
def test_very_many_items_shrink_the_chunk(fast, plain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_preference, "MAX_CHUNK_ELEMENTS", 25)
    assert user_preference.rows_per_chunk(256, 10) == 2
    assert user_preference.rows_per_chunk(256, 100) == 1
    assert user_preference.rows_per_chunk(1, 10) == 1
    inputs = random_inputs(7, 10, 3, 5)
    torch.testing.assert_close(fast(*inputs), plain(*inputs), rtol=1e-10, atol=0)


@both
def test_second_derivatives_are_refused(fast, plain) -> None:
    inputs = random_inputs(3, 4, 2, 6)
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(weight * fast(*inputs), inputs[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def estimate(scores: Tensor, other_scores: Tensor, weights: Tensor) -> Tensor:
    """L^ per user from raw scores a, b [..., users, J] and weights [J]: weighted sums, nothing cancelled."""
    p, q = (weights * torch.exp(s) for s in (scores, other_scores))
    p, q = p / p.sum(-1, keepdim=True), q / q.sum(-1, keepdim=True)
    return ((p - q) * (scores - other_scores)).sum(-1)


def test_sampled_form_is_the_weighted_estimate() -> None:
    results = []
    weights = torch.cat([torch.ones(3), torch.full((5,), 7.5)]).double()
    for fast in (True, False):
        user_emb, content_emb, id_emb = inputs = random_inputs(6, 8, 3, 7)
        if fast:
            loss = sampled_preference_alignment(*inputs, weights.log(), chunk_size=4)
        else:
            loss = estimate(user_emb @ content_emb.T, user_emb @ id_emb.T, weights).mean()
        results.append((loss.detach(), *torch.autograd.grad(loss, inputs)))
    for left, right in zip(*results, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-12)


def test_a_sample_of_all_items_is_exact() -> None:
    expected = preference_alignment_plain(*random_inputs(6, 9, 3, 8))
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    users, content, ids = random_inputs(6, 9, 3, 8)
    found = sampled_preference_alignment(users, content[order], ids[order], torch.zeros(9, dtype=torch.float64))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_bias_of_the_sampled_form_shrinks_with_the_sample() -> None:
    """Loss and gradient by the users: mean error over 30,000 draws at S = 10 and S = 40, four times apart."""
    users, certain, others = 4, 6, 300
    user_emb, content_emb, id_emb = (0.7 * x.detach() for x in random_inputs(users, certain + others, 3, 9))
    user_emb.requires_grad_()
    exact = preference_alignment_plain(user_emb, content_emb, id_emb) * users
    (exact_grad,) = torch.autograd.grad(exact, user_emb)
    generator = torch.Generator().manual_seed(1)
    errors, grad_errors = [], []
    for size in (10, 40):
        total, grad, draws, seen = 0.0, torch.zeros_like(exact_grad), 30_000, 0
        weights = torch.cat([torch.ones(certain), torch.full((size,), others / size)]).double()
        while seen < draws:
            drawn = certain + torch.rand(5000, others, generator=generator).topk(size).indices
            chosen = torch.cat([torch.arange(certain).expand(5000, -1), drawn], dim=1)
            a, b = ((user_emb @ table.T)[:, chosen].movedim(0, 1) for table in (content_emb, id_emb))
            loss = estimate(a, b, weights).sum()
            grad += torch.autograd.grad(loss, user_emb)[0]
            total += loss.item()
            seen += 5000
        errors.append(total / draws - exact.item())
        grad_errors.append((grad / draws - exact_grad).norm().item())
    # (1 - S / N) / S is 4.46 times as large; the spread over draws leaves some room.
    for large, small in (errors, grad_errors):
        assert 3 < large / small < 6
