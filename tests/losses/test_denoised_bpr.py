"""Denoised BPR against numpy loops written from Eq. 4-8, and at its limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from damrs_dgl.losses.bpr import bpr
from damrs_dgl.losses.denoised_bpr import (
    contradiction,
    contradiction_by_gap,
    denoised_bpr,
    reliability,
    weighted_bpr,
)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def random_scores(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape) * 2


batches = given(st.integers(1, 4), st.integers(1, 7), st.integers(0, 999))


@batches
def test_reliability_of_both_variants(relations: int, batch: int, seed: int) -> None:
    scores = random_scores(seed, relations, batch)
    paper = reliability(torch.tensor(scores), alpha=1.5, beta=0.7)
    authors = reliability(torch.tensor(scores), alpha=1, beta=2, unbiased_variance=True)
    for pair in range(batch):
        p = [sigmoid(y) for y in scores[:, pair]]
        mu = sum(p) / relations
        squares = sum((value - mu) ** 2 for value in p)
        assert math.isclose(paper[pair].item(), mu**1.5 * math.exp(-squares / relations) ** 0.7, rel_tol=1e-12)
        unbiased = squares / (relations - 1) if relations > 1 else 0.0
        assert math.isclose(authors[pair].item(), mu * math.exp(-unbiased) ** 2, rel_tol=1e-12)


@batches
def test_contradiction_of_both_variants(relations: int, batch: int, seed: int) -> None:
    scores = random_scores(seed, relations, batch)
    level = torch.tensor(sigmoid(random_scores(seed + 1, 1)[0]), dtype=torch.float64)
    paper = contradiction(torch.tensor(scores), level, gamma=2)
    authors = contradiction_by_gap(torch.tensor(scores), level, gamma=1.5)
    for pair in range(batch):
        p = [sigmoid(y) for y in scores[:, pair]]
        below = level.item() > sum(p) / relations
        expected = sigmoid(max(scores[:, pair]) - level.item()) ** 2 if below else 0.0
        assert math.isclose(paper[pair].item(), expected, rel_tol=1e-12)
        gap = min(max(max(p) - level.item(), 0.0), 1.0)
        assert math.isclose(authors[pair].item(), gap**1.5 if below else 0.0, rel_tol=1e-9)


@batches
def test_losses_against_the_equations(_relations: int, batch: int, seed: int) -> None:
    positive, negative = random_scores(seed, 2, batch)
    f, g = np.random.default_rng(seed).random((2, batch))
    arguments = [torch.tensor(part) for part in (positive, negative, f, g)]
    likelihood = weighted = 0.0
    for pair in range(batch):
        s = sigmoid(positive[pair] - negative[pair])
        likelihood -= math.log(f[pair] * s + g[pair] * (1 - s)) / batch
        weighted -= (f[pair] * math.log(s) + g[pair] * math.log(1 - s)) / batch
    assert math.isclose(denoised_bpr(*arguments).item(), likelihood, rel_tol=1e-10)
    assert math.isclose(weighted_bpr(*arguments).item(), weighted, rel_tol=1e-10)


@pytest.mark.parametrize("loss", [denoised_bpr, weighted_bpr])
def test_full_trust_without_contradiction_is_bpr(loss) -> None:
    values = [torch.tensor(part) for part in random_scores(5, 2, 8)]
    ones = torch.ones(8, dtype=torch.float64)
    gradients = []
    for function in (lambda p, n: loss(p, n, ones, 0 * ones), bpr):
        positive, negative = (value.clone().requires_grad_() for value in values)
        result = function(positive, negative)
        gradients.append((result.detach(), *torch.autograd.grad(result, (positive, negative))))
    for left, right in zip(*gradients, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("f", [0.0, 1e-38, 1e-30, 0.5, 1.0])
@pytest.mark.parametrize("g", [0.0, 1e-38, 1e-30, 0.5, 1.0])
def test_denoised_bpr_and_its_gradient_are_finite_everywhere(dtype: torch.dtype, f: float, g: float) -> None:
    x = torch.tensor([-1e4, -100, -1, 0, 1, 100, 1e4], dtype=dtype, requires_grad=True)
    loss = denoised_bpr(x, torch.zeros_like(x), torch.full_like(x, f), torch.full_like(x, g))
    (gradient,) = torch.autograd.grad(loss, x)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()
    if g == 0:
        torch.testing.assert_close(gradient, -torch.sigmoid(-x.detach()) / len(x))
    if f >= 1e-30 and g == 0:  # where x is small enough to see ln f beside it
        middle = denoised_bpr(x[2:5], torch.zeros_like(x[2:5]), torch.full_like(x[2:5], f), torch.zeros_like(x[2:5]))
        torch.testing.assert_close(middle, bpr(x[2:5], torch.zeros_like(x[2:5])) - math.log(f), rtol=1e-6, atol=0)


def test_confidence_from_hopeless_scores_keeps_the_loss_finite() -> None:
    relation_scores = torch.full((2, 3), -1e4)
    f = reliability(relation_scores, alpha=3.0, beta=3.0)
    g = contradiction(relation_scores, torch.tensor(0.5), gamma=2.0)
    assert f.tolist() == g.tolist() == [0.0, 0.0, 0.0]
    x = torch.zeros(3, requires_grad=True)
    loss = denoised_bpr(x, torch.zeros(3), f, g)
    assert torch.isfinite(loss) and torch.isfinite(torch.autograd.grad(loss, x)[0]).all()


def test_zero_exponents_trust_every_pair() -> None:
    scores = torch.tensor(random_scores(0, 3, 6))
    assert reliability(scores, alpha=0, beta=0).tolist() == [1.0] * 6


@pytest.mark.parametrize("loss", [denoised_bpr, weighted_bpr])
def test_no_gradient_reaches_the_confidences(loss) -> None:
    scores = torch.tensor(random_scores(2, 3, 6), requires_grad=True)
    level = torch.sigmoid(scores[0]).mean()
    assert not reliability(scores, alpha=1, beta=1).requires_grad
    assert not contradiction(scores, level, gamma=1).requires_grad
    assert not contradiction_by_gap(scores, level, gamma=1.0).requires_grad
    weights = torch.rand(2, 6, dtype=torch.float64, requires_grad=True)
    loss(scores[0], scores[1], *weights).backward()
    assert weights.grad is None
    assert scores.grad is not None
