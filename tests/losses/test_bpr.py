"""BPR and the norms against numpy."""

from __future__ import annotations

import numpy as np
import torch

from damrs_dgl.losses.bpr import bpr, norm_sum, sampled_softmax, squared_norm


def test_bpr_is_the_mean_softplus_of_the_negated_difference() -> None:
    # Differences beyond -20 too, where a softplus that is cut to a straight line loses digits.
    positive, negative = np.array([[1.0, -20.1, 20.1, 0.3], [0.5, 0.4, -0.4, 0.3]])
    expected = np.mean([np.log1p(np.exp(-(p - n))) for p, n in zip(positive, negative, strict=True)])
    assert np.isclose(bpr(torch.tensor(positive), torch.tensor(negative)).item(), expected, rtol=1e-13, atol=0)


def test_bpr_is_finite_at_huge_differences() -> None:
    x = torch.tensor([1e4, -1e4], requires_grad=True)
    loss = bpr(x, torch.zeros(2))
    loss.backward()
    assert loss.item() == 5000.0
    assert x.grad is not None and x.grad.tolist() == [0.0, -0.5]


def test_softmax_against_loops() -> None:
    rng = np.random.default_rng(3)
    positive, candidates, weights = rng.normal(size=4) * 3, rng.normal(size=(4, 5)) * 3, rng.uniform(size=4)
    own = np.zeros((4, 5), dtype=bool)
    own[0, 2] = own[3, 4] = True
    expected = 0.0
    for row in range(4):
        others = sum(np.exp(candidates[row, column]) for column in range(5) if not own[row, column])
        expected -= weights[row] * np.log(np.exp(positive[row]) / (np.exp(positive[row]) + others)) / 4
    found = sampled_softmax(*(torch.tensor(part) for part in (positive, candidates, own, weights)))
    assert np.isclose(found.item(), expected, rtol=1e-13, atol=0)


def test_softmax_over_one_other_item_is_bpr() -> None:
    positive, negative = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    own = torch.zeros(6, 2, dtype=torch.bool)
    own[:, 0] = True
    candidates = torch.stack([positive, negative], dim=1)
    found = sampled_softmax(positive, candidates, own, torch.ones(6, dtype=torch.float64))
    assert torch.isclose(found, bpr(positive, negative), rtol=1e-14, atol=0)


def test_softmax_has_no_gradient_where_a_candidate_is_the_clicks_own() -> None:
    positive = torch.tensor([0.3, -1e4], requires_grad=True)
    candidates = torch.tensor([[0.3, 1.0], [1e4, 2.0]], requires_grad=True)
    own = torch.tensor([[True, False], [False, False]])
    sampled_softmax(positive, candidates, own, torch.ones(2)).backward()
    assert positive.grad is not None and candidates.grad is not None
    assert candidates.grad[0, 0] == 0
    assert positive.grad[1] == -0.5 and candidates.grad[1].tolist() == [0.5, 0.0]  # finite at huge differences


def test_norms_against_numpy() -> None:
    rng = np.random.default_rng(1)
    rows = [rng.normal(size=(5, 3)) for _ in range(3)]
    tensors = [torch.tensor(part) for part in rows]
    assert np.isclose(squared_norm(*tensors).item(), sum((part**2).sum() for part in rows) / 10)
    assert np.isclose(norm_sum(*tensors).item(), sum(np.linalg.norm(part) for part in rows) / 5)


def test_norm_of_zero_rows_has_a_finite_gradient() -> None:
    rows = torch.zeros(4, 2, requires_grad=True)
    norm_sum(rows).backward()
    assert rows.grad is not None and not rows.grad.any()
