"""Scores, softmax and weighted sums over edges: both forms against dense matrices, values and gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from damrs_dgl.dgl_backend import dgl
from damrs_dgl.models.layers import edges as edges_module
from damrs_dgl.models.layers.edges import DGLEdges, TorchEdges, make_edges
from damrs_dgl.models.layers.rows import unit_rows

CPU = torch.device("cpu")
KINDS = [DGLEdges, TorchEdges]
SOURCES, TARGETS = 7, 9


@lru_cache
def relation(share: float = 0.4, seed: int = 1) -> dgl.DGLGraph:
    """Random edges in no order; the last source and the last target have none."""
    generator = torch.Generator().manual_seed(seed)
    met = (torch.rand(TARGETS - 1, SOURCES - 1, generator=generator) < share).nonzero()
    met = met[torch.randperm(len(met), generator=generator)]
    return dgl.heterograph(
        {("item", "to", "user"): (met[:, 1], met[:, 0])}, {"item": SOURCES, "user": TARGETS}, idtype=torch.int32
    )


def draw(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


def gradients(value: Tensor, *inputs: Tensor) -> list[Tensor]:
    up = draw(*value.shape, seed=4).detach()
    return list(torch.autograd.grad((value * up).sum(), inputs))


def assert_same(mine: Tensor, theirs: Tensor, *inputs: Tensor) -> None:
    assert torch.allclose(mine, theirs, rtol=1e-10, atol=1e-12)
    for own, other in zip(gradients(mine, *inputs), gradients(theirs, *inputs), strict=True):
        assert torch.allclose(own, other, rtol=1e-10, atol=1e-12)


def dense(edges: DGLEdges | TorchEdges, values: Tensor, fill: float = 0.0) -> Tensor:
    """Values of edges [E] as a matrix [targets, sources]."""
    matrix = torch.full((TARGETS, SOURCES), fill, dtype=values.dtype)
    return matrix.index_put((edges.targets, edges.sources), values)


@pytest.mark.parametrize("kind", KINDS)
def test_edges_are_those_of_the_relation_by_target_and_source(kind: Callable[..., DGLEdges | TorchEdges]) -> None:
    made = kind(relation(), CPU)
    pairs = sorted(zip(*(ids.tolist() for ids in reversed(relation().edges())), strict=True))
    assert list(zip(made.targets.tolist(), made.sources.tolist(), strict=True)) == pairs
    assert f"edges={len(pairs)}" in repr(made)


@pytest.mark.parametrize("kind", KINDS)
def test_dot(kind: Callable[..., DGLEdges | TorchEdges]) -> None:
    edges, x, y = kind(relation(), CPU), draw(SOURCES, 5), draw(TARGETS, 5, seed=5)
    assert_same(edges.dot(x, y), (y @ x.T)[edges.targets, edges.sources], x, y)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", ["source", "target"])
def test_softmax_over_the_edges_of_a_node(kind: Callable[..., DGLEdges | TorchEdges], at: str) -> None:
    edges = kind(relation(), CPU)
    scores = draw(len(edges.sources))
    shares = dense(edges, scores, fill=-torch.inf).softmax(1 if at == "target" else 0)
    assert_same(edges.softmax(scores, at=at), shares[edges.targets, edges.sources], scores)


@pytest.mark.parametrize("kind", KINDS)
def test_weighted_sums_both_ways(kind: Callable[..., DGLEdges | TorchEdges]) -> None:
    edges = kind(relation(), CPU)
    weights, x, y = draw(len(edges.sources)), draw(SOURCES, 5, seed=6), draw(TARGETS, 5, seed=5)
    assert_same(edges.sum_to_targets(weights, x), dense(edges, weights) @ x, weights, x)
    assert_same(edges.sum_to_sources(weights, y), dense(edges, weights).T @ y, weights, y)
    assert not edges.sum_to_targets(weights, x)[-1].any() and not edges.sum_to_sources(weights, y)[-1].any()


@settings(max_examples=20, deadline=None)
@given(share=st.floats(0, 1), seed=st.integers(0, 99), scale=st.sampled_from([1.0, 1e4]), width=st.integers(1, 9))
def test_both_forms_agree_in_float32(share: float, seed: int, scale: float, width: int) -> None:
    """A round of attention, from no edges to all of them and with scores up to 1e4: finite, and the same."""
    found = []
    for kind in KINDS:
        edges = kind(relation(share, seed), CPU)
        x = draw(SOURCES, width, seed=seed).detach().float().requires_grad_()
        y = draw(TARGETS, width, seed=seed + 1).detach().float().requires_grad_()
        attention = edges.softmax(scale * edges.dot(unit_rows(x), unit_rows(y)), at="target")
        out = edges.sum_to_targets(attention, x)
        found.append([attention, out, *torch.autograd.grad(out.square().sum(), (x, y))])
    for mine, theirs in zip(*found, strict=True):
        assert torch.isfinite(mine).all()
        assert torch.allclose(mine, theirs, rtol=1e-3, atol=1e-4 * scale**0.5)


def test_only_what_is_asked_for_is_differentiated() -> None:
    edges, fixed = TorchEdges(relation(), CPU), draw(SOURCES, 3).detach()
    weights, y = draw(len(edges.sources)), draw(TARGETS, 3, seed=5)
    edges.sum_to_targets(weights, fixed).sum().backward()
    edges.dot(fixed, y).sum().backward()
    assert weights.grad is not None and y.grad is not None and fixed.grad is None


@pytest.mark.filterwarnings("error")
def test_torch_form_is_silent() -> None:
    edges = TorchEdges(relation(), CPU)
    edges.dot(torch.ones(SOURCES, 2), torch.ones(TARGETS, 2))


def test_device_decides_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_edges(relation(), "to", CPU), TorchEdges)
    for form, has_dgl in ((DGLEdges, True), (TorchEdges, False)):
        monkeypatch.setattr(edges_module, "uses_dgl", lambda device, has_dgl=has_dgl: has_dgl)
        monkeypatch.setattr(edges_module, form.__name__, lambda part, device, form=form: form.__name__)
        assert make_edges(relation(), "to", torch.device("cuda")) == form.__name__


def test_rows_of_zeros_stay_and_get_no_gradient() -> None:
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)
    rows = unit_rows(x)
    assert torch.allclose(rows, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))
    (rows * torch.tensor([1.0, 2.0])).sum().backward()
    expected = torch.tensor([[(1 - 0.6 * 2.2) / 5, (2 - 0.8 * 2.2) / 5], [0.0, 0.0]])
    assert x.grad is not None and torch.allclose(x.grad, expected)
