"""T-CE, R-CE and DeCA against slow float64 forms written from the papers, and their special cases."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from damrs_dgl.losses.denoised_cross_entropy import (
    EPSILON,
    bernoulli_divergence,
    cross_entropy,
    dislike_likelihood,
    like_likelihood,
    reweighted_cross_entropy,
    truncated_cross_entropy,
)
from damrs_dgl.models.denoising.deca import DeCA
from damrs_dgl.models.denoising.tce import TCE
from tests.models.builders import build, make_batch, tiny_dataset

SCORES = torch.tensor([2.0, -1.5, 0.3, -4.0, 1.0, -0.5], dtype=torch.float64)
LABELS = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64)


def sigmoid(score: float) -> float:
    return 1 / (1 + math.exp(-score))


def log(score: float) -> float:
    """ln(sigmoid + epsilon), as DeCA's code takes every logarithm."""
    return math.log(sigmoid(score) + EPSILON)


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


def reference_deca_step(model: DeCA, users: Tensor, positive: Tensor, negative: Tensor, *, dislike: bool) -> float:
    """The whole loss of a step from dense tables, pair by pair."""
    config, total = model.config, 0.0
    backbone = model.backbone
    for items, label in ((positive, 1.0), (negative, 0.0)):
        for user, item in zip(users.tolist(), items.tolist(), strict=True):
            s = float(backbone.user_table[user] @ backbone.item_table[item])  # type: ignore[index, operator]
            q = float(model.agreement.user_table[user] @ model.agreement.item_table[item])
            helper = model.dislike if dislike else model.like
            h = float(helper.user_table[user] @ helper.item_table[item])
            p, pq = sigmoid(s), sigmoid(q)
            kl_qp = pq * (log(q) - log(s)) + (1 - pq) * (log(-q) - log(-s))
            kl_pq = p * (log(s) - log(q)) + (1 - p) * (log(-s) - log(-q))
            kappa = config.balance * kl_qp + (1 - config.balance) * kl_pq
            if dislike:
                term = -(1 - p) * log(h) if label else -(1 - p) * log(-h) + config.positive_penalty * p
            else:
                term = -p * log(h) + config.negative_penalty * (1 - p) if label else -p * log(-h)
            total += (kappa + term) / len(users)
    return total


@pytest.mark.parametrize("dislike", [True, False])
def test_deca_round_mf_against_the_reference(dislike: bool) -> None:
    data = tiny_dataset(())
    model = build("deca", data, backbone="mf", dim=4, helper_dim=3, balance=0.3)
    assert isinstance(model, DeCA)
    model = model.double()
    if not dislike:
        model.steps += 1
    batch = make_batch(data, model=model)
    assert batch.negative_items is not None
    loss = torch.stack(list(model.training_step(batch).values())).sum()
    expected = reference_deca_step(model, batch.users, batch.positive_items, batch.negative_items, dislike=dislike)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    loss.backward()
    trained = {name for name, value in model.named_parameters() if value.grad is not None and value.grad.any()}
    part = "dislike" if dislike else "like"
    assert {name.split(".")[0] for name in trained} == {"backbone", "agreement", part} and len(trained) == 6


def test_deca_takes_turns_and_starts_with_observed_pairs() -> None:
    data = tiny_dataset(())
    model = build("deca", data, backbone="mf", dim=4, helper_dim=3)
    optimizers = model.configure_optimizers(0.01)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    model.optimize(make_batch(data), optimizers)
    moved = {name.split(".")[0] for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {"backbone", "agreement", "dislike"}
    model.optimize(make_batch(data), optimizers)
    moved = {name.split(".")[0] for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {"backbone", "agreement", "dislike", "like"}


def test_decas_pretrained_form_agrees_with_its_own_past() -> None:
    data = tiny_dataset(())
    model = build("deca", data, backbone="mf", dim=4, agreement="pretrained", pretrain_epochs=2)
    assert isinstance(model, DeCA)
    generator = torch.Generator().manual_seed(0)
    optimizers = model.configure_optimizers(0.05)
    assert set(optimizers) == {"model", "dislike", "like"}
    for epoch in (1, 2, 3):
        model.on_epoch_start(epoch, generator)
        assert bool(model.pretrained) == (epoch == 3)
        if epoch == 3:
            assert torch.equal(model.agreed_users, model.backbone.embeddings().users.detach())
        terms = model.optimize(make_batch(data, seed=epoch), optimizers)
        assert all(torch.isfinite(value) for value in terms.values())


def test_decas_pretraining_is_plain_and_regularised_and_counts_no_step() -> None:
    data = tiny_dataset(())
    model = build("deca", data, backbone="mf", dim=4, agreement="pretrained", pretrain_epochs=1, weight_decay=0.3)
    assert isinstance(model, DeCA)
    model.on_epoch_start(1, torch.Generator().manual_seed(0))
    batch = make_batch(data)
    users, items = model.embeddings()
    s = (users[batch.users.repeat(2)] * items[batch.pair_items]).sum(1)
    labels = torch.cat([torch.ones(12), torch.zeros(12)])
    plain = 2 * cross_entropy(s, labels).mean()  # mean over the observed pairs plus mean over as many sampled ones
    expected = plain + 0.3 / (2 * data.num_users) * (users.square().sum() + items.square().sum())
    terms = model.optimize(batch, model.configure_optimizers(0.01))
    assert sum(terms.values()).item() == pytest.approx(expected.item())
    assert int(model.steps) == 0  # so that the first step after it denoises observed pairs
    model.on_epoch_start(2, torch.Generator().manual_seed(0))
    model.optimize(batch, model.configure_optimizers(0.01))
    assert int(model.steps) == 1


def test_truncation_rises_by_pairs_and_is_kept() -> None:
    data = tiny_dataset(())
    model = build("tce", data, backbone="mf", dim=4, ramp_epochs=2.0, drop_rate=0.4)
    assert isinstance(model, TCE)
    optimizers = model.configure_optimizers(0.01)
    model.optimize(make_batch(data), optimizers)
    assert int(model.pairs_seen) == 12 and int(model.state_dict()["pairs_seen"]) == 12


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
