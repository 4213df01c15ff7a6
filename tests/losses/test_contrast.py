"""InfoNCE in blocks against whole matrices: values and gradients, rows that stand for several, logits of any size."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from damrs_dgl.losses import contrast
from damrs_dgl.losses.contrast import info_nce, softmax_contrast, symmetric_info_nce


def rows(count: int, seed: int, dim: int = 4) -> Tensor:
    drawn = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.requires_grad_()


@pytest.fixture(params=[2**21, 20, 1], ids=["one block", "blocks", "row by row"], autouse=True)
def _block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contrast, "BLOCK_VALUES", request.param)


def assert_same(one: Tensor, other: Tensor, *tables: Tensor) -> None:
    """Values, and gradients times a factor that is not 1."""
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(*(torch.autograd.grad(3 * value, tables) for value in (one, other)))


@pytest.mark.parametrize("positives", [None, [0, 3, 3, 8, 1, 2, 5]], ids=["the r-th", "given"])
def test_cosines_against_a_whole_matrix(positives: list[int] | None) -> None:
    anchors, candidates = rows(7, 0), rows(9, 1)
    own = None if positives is None else torch.tensor(positives)
    logits = normalize(anchors, dim=1) @ normalize(candidates, dim=1).T / 0.3
    expected = cross_entropy(logits, torch.arange(7) if own is None else own)
    assert_same(info_nce(anchors, candidates, own, temperature=0.3), expected, anchors, candidates)


def test_symmetric_against_both_matrices() -> None:
    anchors, counterparts = rows(7, 0), rows(7, 1)
    one, two = normalize(anchors, dim=1), normalize(counterparts, dim=1)
    among = (one @ one.T / 0.4).masked_fill(torch.eye(7, dtype=torch.bool), -torch.inf)
    expected = cross_entropy(torch.cat([one @ two.T / 0.4, among], dim=1), torch.arange(7))
    assert_same(symmetric_info_nce(anchors, counterparts, temperature=0.4), expected, anchors, counterparts)


@pytest.mark.parametrize("own_once", [False, True])
def test_rows_that_stand_for_several(own_once: bool) -> None:
    """Anchors with weights and candidates with counts are what repeated rows are."""
    anchors, candidates = rows(3, 0), rows(4, 1)
    weights, counts = torch.tensor([2, 1, 3]), torch.tensor([1, 3, 2, 1])
    positives = torch.tensor([1, 0, 2])
    every, place = candidates.repeat_interleave(counts, dim=0), counts.cumsum(0) - counts
    logits = anchors.repeat_interleave(weights, dim=0) @ every.T
    own = positives.repeat_interleave(weights)
    if own_once:
        group = torch.arange(4).repeat_interleave(counts)
        others = (group == own[:, None]).scatter(1, place[own][:, None], False)
        logits = logits.masked_fill(others, -torch.inf)
    shares = weights.double() / weights.sum()
    ours = softmax_contrast(anchors, candidates, positives, weights=shares, counts=counts, own_once=own_once)
    assert_same(ours, cross_entropy(logits, place[own]), anchors, candidates)


@pytest.mark.parametrize("scale", [1e4, 1e-4])
def test_logits_of_any_size(scale: float) -> None:
    anchors, candidates = ((scale**0.5 * rows(5, seed)).detach().requires_grad_() for seed in (0, 1))
    positives = torch.arange(5)
    ours = softmax_contrast(anchors, candidates, positives)
    assert torch.isfinite(ours)
    assert_same(ours, cross_entropy(anchors @ candidates.T, positives), anchors, candidates)


def test_one_anchor_and_its_own_candidate_alone() -> None:
    anchors, candidates = rows(1, 0), rows(1, 1)
    loss = info_nce(anchors, candidates, temperature=0.2)
    assert loss.item() == 0 and not torch.autograd.grad(loss, anchors)[0].any()
