"""The losses of T-CE, R-CE and DeCA, and T-CE and R-CE round a system, against slow float64 forms from the papers."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from damrs_dgl.losses.denoised_cross_entropy import (
    bernoulli_divergence,
    cross_entropy,
    dislike_likelihood,
    like_likelihood,
    reweighted_cross_entropy,
    truncated_cross_entropy,
)
from damrs_dgl.models.base import Batch, RankingModel
from damrs_dgl.models.denoising.tce import TCE
from tests.models.builders import build, make_batch, tiny_dataset

SCORES = torch.tensor([2.0, -1.5, 0.3, -4.0, 1.0, -0.5], dtype=torch.float64)
LABELS = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64)


def sigmoid(score: float) -> float:
    return 1 / (1 + math.exp(-score))


def log(score: float) -> float:
    """ln(sigmoid + 1e-5), as DeCA's code takes every logarithm."""
    return math.log(sigmoid(score) + 1e-5)


def test_truncation_drops_the_observed_pairs_of_largest_loss() -> None:
    losses = [-math.log(sigmoid(s if y else -s)) for s, y in zip(SCORES.tolist(), LABELS.tolist(), strict=True)]
    kept = [losses[n] for n in (0, 2, 3, 4, 5)]  # of 6 pairs at 1/6 the observed one at -1.5 goes
    found = truncated_cross_entropy(SCORES, LABELS, drop_rate=0.16)
    assert found.item() == pytest.approx(sum(kept) / 5)


@given(st.floats(0, 0.49), st.integers(1, 20))
def test_truncation_keeps_the_floor_of_the_share(drop_rate: float, pairs: int) -> None:
    scores = torch.linspace(-2, 3, 2 * pairs, dtype=torch.float64)
    labels = torch.cat([torch.ones(pairs), torch.zeros(pairs)]).double()
    losses = cross_entropy(scores, labels)
    kept = int((1 - drop_rate) * 2 * pairs)
    dropped = 2 * pairs - kept
    observed = losses[:pairs].sort().values
    expected = (observed[: pairs - dropped].sum() + losses[pairs:].sum()) / kept
    assert torch.isclose(truncated_cross_entropy(scores, labels, drop_rate=drop_rate), expected)


def test_without_doubt_both_are_plain_cross_entropy() -> None:
    plain = cross_entropy(SCORES, LABELS).mean()
    assert torch.isclose(truncated_cross_entropy(SCORES, LABELS, drop_rate=0.0), plain)
    assert torch.isclose(reweighted_cross_entropy(SCORES, LABELS, beta=0.0), plain)


def test_reweighting_by_hand_and_weights_are_constant() -> None:
    scores = SCORES.clone().requires_grad_()
    loss = reweighted_cross_entropy(scores, LABELS, beta=0.3)
    loss.backward()
    expected, gradient = 0.0, []
    for s, y in zip(SCORES.tolist(), LABELS.tolist(), strict=True):
        p = sigmoid(s if y else -s)
        expected += p**0.3 * -math.log(p) / 6
        gradient.append(p**0.3 * (sigmoid(s) - y) / 6)
    assert loss.item() == pytest.approx(expected)
    assert scores.grad is not None
    assert scores.grad.tolist() == pytest.approx(gradient)


def test_decas_terms_by_hand() -> None:
    helper = SCORES.flip(0)
    for n, (s, y, h) in enumerate(zip(SCORES.tolist(), LABELS.tolist(), helper.tolist(), strict=True)):
        p = sigmoid(s)
        observed = -(1 - p) * log(h) if y else -(1 - p) * log(-h) + 7 * p
        assert dislike_likelihood(SCORES, LABELS, helper, penalty=7)[n].item() == pytest.approx(observed)
        liked = -p * log(h) + 3 * (1 - p) if y else -p * log(-h)
        assert like_likelihood(SCORES, LABELS, helper, penalty=3)[n].item() == pytest.approx(liked)
        divergence = p * (log(s) - log(h)) + (1 - p) * (log(-s) - log(-h))
        assert bernoulli_divergence(SCORES, helper)[n].item() == pytest.approx(divergence)


@pytest.mark.parametrize("score", [-1e4, 1e4])
def test_losses_are_finite_with_their_gradients(score: float) -> None:
    scores = torch.full((4,), score, requires_grad=True)
    labels = torch.tensor([1.0, 1.0, 0.0, 0.0])
    helper = -scores.detach()
    terms = [
        truncated_cross_entropy(scores, labels, drop_rate=0.2),
        reweighted_cross_entropy(scores, labels, beta=0.2),
        bernoulli_divergence(scores, helper).sum(),
        bernoulli_divergence(helper, scores).sum(),
        dislike_likelihood(scores, labels, helper, penalty=1000).sum(),
        like_likelihood(scores, labels, helper, penalty=10).sum(),
    ]
    loss = torch.stack(terms).sum()
    loss.backward()
    assert torch.isfinite(loss) and scores.grad is not None and torch.isfinite(scores.grad).all()


def pair_losses(model: RankingModel, batch: Batch) -> list[float]:
    """Plain cross-entropy of each observed and then each sampled pair."""
    users, items = (table.detach() for table in model.embeddings())
    pairs = zip(batch.users.repeat(2).tolist(), batch.pair_items.tolist(), strict=True)
    scores = [float(users[u] @ items[i]) for u, i in pairs]
    half = len(scores) // 2
    return [-math.log(sigmoid(s)) for s in scores[:half]] + [-math.log(sigmoid(-s)) for s in scores[half:]]


def test_truncation_rises_evenly_with_the_pairs_seen_until_the_ramps_epochs_are_over() -> None:
    """eps(t) = min(eps_max t / T, eps_max) with T = 0.8 epochs of 55 pairs: of a step's 2 x 12 pairs (1 - eps) stay."""
    data = tiny_dataset(())
    assert len(data.train) == 55
    model = build("tce", data, backbone="mf", dim=4, ramp_epochs=0.8, drop_rate=0.4).double()
    assert isinstance(model, TCE)
    dropped = []
    for step in range(6):
        batch = make_batch(data, seed=step)
        rate = min(Fraction(12 * step, 44), Fraction(1)) * Fraction(2, 5)
        kept = math.floor((1 - rate) * 24)
        losses = pair_losses(model, batch)
        expected = (sum(sorted(losses[:12])[: kept - 12]) + sum(losses[12:])) / kept
        assert model.training_step(batch)["feedback"].item() == pytest.approx(expected, rel=1e-9)
        dropped.append(24 - kept)
    assert dropped == [0, 3, 6, 8, 10, 10]
    assert int(model.state_dict()["pairs_seen"]) == 72  # so that a resumed training goes on from there


@pytest.mark.parametrize("name", ["tce", "rce", "deca"])
def test_the_norm_is_that_of_users_and_of_observed_and_sampled_items(name: str) -> None:
    """lambda / B (||u_B|| + ||i_B|| + ||j_B||), value and gradient; no term at weight 0."""
    data = tiny_dataset(())
    model = build(name, data, backbone="mf", dim=4, regularization=0.3).double()
    batch = make_batch(data, 12)
    assert batch.negative_items is not None
    users, items = model.embeddings()
    parts = (users[batch.users], items[batch.positive_items], items[batch.negative_items])
    expected = 0.3 / 12 * torch.stack([part.square().sum().sqrt() for part in parts]).sum()
    found = model.training_step(batch)["regularization"]
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    for mine, theirs in zip(*(torch.autograd.grad(v, [users, items]) for v in (found, expected)), strict=True):
        assert torch.allclose(mine.to_dense(), theirs, rtol=1e-7, atol=1e-12)
    plain = build(name, data, backbone="mf", dim=4)
    assert "regularization" not in plain.training_step(batch)


@pytest.mark.parametrize("name", ["tce", "rce"])
def test_the_authors_form_takes_the_sigmoid_twice(name: str) -> None:
    data = tiny_dataset(())
    model = build(name, data, backbone="mf", dim=4, preset="authors", regularization=0.0).double()
    batch = make_batch(data)
    users, items = model.embeddings()
    s = torch.sigmoid((users[batch.users.repeat(2)] * items[batch.pair_items]).sum(1))
    labels = torch.cat([torch.ones(12), torch.zeros(12)]).double()
    losses = cross_entropy(s, labels)
    weights = torch.ones_like(losses) if name == "tce" else torch.exp(-0.2 * losses)
    assert model.training_step(batch)["feedback"].item() == pytest.approx((weights * losses).mean().item())


@pytest.mark.parametrize("name", ["tce", "rce", "deca"])
@pytest.mark.parametrize("backbone", ["lightgcn", "vbpr", "sgl"])
def test_they_wrap_any_system(name: str, backbone: str) -> None:
    model = build(name, backbone=backbone, dim=4)
    model.on_epoch_start(1, torch.Generator().manual_seed(0))
    terms = model.optimize(make_batch(tiny_dataset(), model=model), model.configure_optimizers(0.01))
    assert all(torch.isfinite(value) for value in terms.values())
    assert ("user_contrast" in terms) == (backbone == "sgl")
