"""Thinned graphs against matrices written out; the mean of layers against autograd."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from damrs_dgl.dgl_backend import dgl
from damrs_dgl.models.layers import views
from damrs_dgl.models.layers.views import ObservedPairs, ThinnedGraph, drop_edges, drop_nodes, mean_of_layers
from tests.models.builders import CPU
from tests.models.dense import sym_normalized

USERS, ITEMS = 9, 7


def make_pairs(seed: int = 0) -> tuple[ObservedPairs, Tensor]:
    """Pairs in no order (user 8 and item 6 have none), and their matrix, float64 [U, I]."""
    generator = torch.Generator().manual_seed(seed)
    found = (torch.rand(USERS - 1, ITEMS - 1, generator=generator) < 0.5).nonzero()
    users, items = found[torch.randperm(len(found), generator=generator)].T
    edges = {("user", "interacts", "item"): (users, items), ("item", "interacted_by", "user"): (items, users)}
    graph = dgl.heterograph(edges, {"user": USERS, "item": ITEMS}, idtype=torch.int32)
    matrix = torch.zeros(USERS, ITEMS, dtype=torch.float64)
    matrix[users, items] = 1
    return ObservedPairs(graph, CPU), matrix


def kept_matrix(pairs: ObservedPairs, kept: Tensor) -> Tensor:
    matrix = torch.zeros(USERS, ITEMS, dtype=torch.float64)
    matrix[pairs.users[kept].long(), pairs.items[kept].long()] = 1
    return matrix


def random_tables(seed: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (USERS, ITEMS))  # type: ignore


def test_pairs_are_the_edges_of_the_graph() -> None:
    pairs, matrix = make_pairs()
    assert torch.equal(kept_matrix(pairs, torch.ones(len(pairs), dtype=torch.bool)), matrix)
    assert (pairs.users.diff() >= 0).all() and (pairs.items[pairs.item_order].diff() >= 0).all()
    assert torch.equal(pairs.users_by_item, pairs.users[pairs.item_order])
    rates = pairs.unpopularity()
    degrees = matrix.sum(1)[pairs.users.long()] * matrix.sum(0)[pairs.items.long()]
    assert torch.allclose(rates.double(), degrees**-0.5)


@pytest.mark.parametrize("by_dgl", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.4, 0.99])
def test_thinned_graph_is_the_normalised_matrix(share: float, by_dgl: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "uses_dgl", lambda device: by_dgl)
    pairs, _ = make_pairs()
    kept = drop_edges(pairs, share, torch.Generator().manual_seed(2))
    graph = ThinnedGraph(pairs, kept)
    near = sym_normalized(kept_matrix(pairs, kept))
    users, items = (table if by_dgl else table.float() for table in random_tables())
    new_users, new_items = graph(users, items)
    assert torch.allclose(new_users.double(), near @ items.double(), atol=1e-6)
    assert torch.allclose(new_items.double(), near.T @ users.double(), atol=1e-6)
    assert repr(graph) == f"ThinnedGraph(edges={int(kept.sum())})" and int(kept.sum()) == graph.num_edges


def test_a_graph_without_pairs_gives_zeros() -> None:
    pairs, _ = make_pairs()
    users, items = ThinnedGraph(pairs, torch.zeros(len(pairs), dtype=torch.bool))(*random_tables())
    assert not users.any() and not items.any()


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.booleans(), st.integers(0, 5))
def test_whole_pairs_are_dropped(share: float, weighted: bool, seed: int) -> None:
    pairs, _ = make_pairs()
    weights = pairs.unpopularity() if weighted else None
    kept = drop_edges(pairs, share, torch.Generator().manual_seed(seed), weights=weights)
    assert kept.dtype == torch.bool and int(kept.sum()) == len(pairs) - round(share * len(pairs))


def test_edges_are_kept_in_proportion_to_their_weights() -> None:
    """One pair is kept, 4,000 times: the frequencies are the weights."""
    pairs, _ = make_pairs()
    weights = torch.rand(len(pairs), generator=torch.Generator().manual_seed(1)) + 0.1
    generator = torch.Generator().manual_seed(4)
    share, count = 1 - 1 / len(pairs), 4000
    frequency = sum(drop_edges(pairs, share, generator, weights=weights).double() for _ in range(count)) / count
    expected = weights.double() / weights.double().sum()
    assert ((frequency - expected).abs() < 5 * (expected / count).sqrt()).all()
    uniform = sum(drop_edges(pairs, share, generator).double() for _ in range(count)) / count
    assert (uniform - 1 / len(pairs)).abs().max() < 5 * (1 / len(pairs) / count) ** 0.5


def test_dropped_nodes_leave_with_all_their_pairs() -> None:
    pairs, matrix = make_pairs()
    kept = kept_matrix(pairs, drop_nodes(pairs, 0.3, torch.Generator().manual_seed(3)))
    gone_users = ((kept.sum(1) == 0) & (matrix.sum(1) > 0)).nonzero()[:, 0]
    gone_items = ((kept.sum(0) == 0) & (matrix.sum(0) > 0)).nonzero()[:, 0]
    stays = matrix.clone()
    stays[gone_users], stays[:, gone_items] = 0, 0
    assert torch.equal(kept, stays)
    assert 1 <= len(gone_users) <= round(0.3 * USERS) and 1 <= len(gone_items) <= round(0.3 * ITEMS)


@pytest.mark.parametrize("with_input", [True, False])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_mean_of_layers_and_its_gradient(num_layers: int, with_input: bool) -> None:
    """Another graph in each layer, so that an order that is the wrong way round shows."""
    pairs, _ = make_pairs()
    masks = [drop_edges(pairs, 0.3, torch.Generator().manual_seed(seed)) for seed in range(num_layers)]
    up = torch.cat(random_tables(6))
    mine = [table.requires_grad_() for table in random_tables()]
    mean = torch.cat(mean_of_layers([ThinnedGraph(pairs, kept) for kept in masks], *mine, with_input=with_input))
    (mean * up).sum().backward()
    tables = [table.requires_grad_() for table in random_tables()]
    x = torch.cat(tables)
    layers = [x] if with_input else []
    for kept in masks:
        near = sym_normalized(kept_matrix(pairs, kept))
        x = torch.cat([near @ x[USERS:], near.T @ x[:USERS]])
        layers.append(x)
    expected = torch.stack(layers).mean(0)
    (expected * up).sum().backward()
    assert torch.allclose(mean, expected, rtol=1e-6, atol=1e-7)
    for table, other in zip(mine, tables, strict=True):
        assert table.grad is not None and torch.allclose(table.grad, other.grad, rtol=1e-6, atol=1e-7)


def test_mean_of_no_layers_is_the_input() -> None:
    users, items = random_tables()
    found = mean_of_layers([], users, items)
    assert torch.equal(found[0], users) and torch.equal(found[1], items)
