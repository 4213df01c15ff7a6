"""Graphs of the items most alike: the lists, ties, the weights, and the two ways to multiply."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from damrs_dgl.data.parts import ModalityFeatures
from damrs_dgl.models.layers import neighbors as layer
from damrs_dgl.models.layers.neighbors import ConstantGraph, Edges, NeighborGraph, content_graph, merged, mine
from tests.models.builders import CPU, tiny_dataset
from tests.models.dense_structure import content_matrix, cosine_matrix, listed


def lists_of(graph: NeighborGraph | Edges, num_items: int) -> list[list[int]]:
    lists: list[list[int]] = [[] for _ in range(num_items)]
    for item, neighbor in zip(graph.items.tolist(), graph.neighbors.tolist(), strict=True):
        lists[item].append(neighbor)
    return lists


def dense(edges: Edges, num_items: int) -> torch.Tensor:
    matrix = torch.zeros(num_items, num_items, dtype=edges.weights.dtype)
    return matrix.index_put((edges.items, edges.neighbors), edges.weights, accumulate=True)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(*[st.integers(-2, 2)] * 3), min_size=1, max_size=24),
    k=st.integers(1, 30),
    missing=st.sets(st.integers(0, 23)),
    block=st.integers(1, 60),
)
@example(rows=[(1, 0, 0), (0, 0, 0), (-1, 0, 0)], k=2, missing=set(), block=60)
def test_lists_are_the_brute_force_ones_with_ties_and_cosines_below_zero(
    rows: list[tuple[int, ...]], k: int, missing: set[int], block: int
) -> None:
    vectors = torch.tensor(rows, dtype=torch.float64)
    without = [item in missing or not any(row) for item, row in enumerate(rows)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer, "_BLOCK_VALUES", block)
        found = mine(vectors, torch.tensor([item in missing for item in range(len(rows))]), k)
    assert lists_of(found, len(rows)) == listed(cosine_matrix(vectors), without, k)


def test_more_twins_than_places_leave_the_lowest_and_not_the_item_itself() -> None:
    vectors = torch.randn(3, 70, generator=torch.Generator().manual_seed(0)).repeat(40, 1)  # item i has vector i mod 3
    lists = lists_of(mine(vectors, torch.zeros(120, dtype=torch.bool), 5), 120)
    assert lists[119] == [2, 5, 8, 11, 14] and lists[0] == [0, 3, 6, 9, 12]


@pytest.mark.parametrize("k", [1, 4, 50])
def test_content_graph_is_the_dense_one(k: int) -> None:
    dataset = tiny_dataset()
    for modality, features in dataset.features.items():
        edges = content_graph(features, k, CPU)
        expected = content_matrix(dataset, modality, k)
        assert torch.allclose(dense(edges, dataset.num_items).double(), expected, rtol=1e-5, atol=1e-6)
        alone = int(features.missing.nonzero()[0][0])
        assert expected[alone, alone] == 1 and expected[alone].sum() == 1


def test_no_items_and_no_content_at_all() -> None:
    nobody = mine(torch.zeros(0, 3), torch.zeros(0, dtype=torch.bool), 2)
    assert len(nobody.items) == 0
    edges = content_graph(ModalityFeatures(np.zeros((4, 2), np.float32), np.ones(4, bool)), 2, CPU)
    assert torch.equal(dense(edges, 4), torch.eye(4))


def test_dgl_and_torch_agree_on_values_and_gradients() -> None:
    generator = torch.Generator().manual_seed(1)
    vectors = torch.randn(30, 6, dtype=torch.float64, generator=generator)
    lists = mine(vectors, torch.arange(30) == 7, 4)
    x = torch.randn(30, 5, dtype=torch.float64, generator=generator)
    found = []
    for by_dgl in (True, False):
        leaf, emb = vectors.clone().requires_grad_(), x.clone().requires_grad_()
        graph = NeighborGraph(lists.items, lists.neighbors, 30, by_dgl=by_dgl)
        weights = graph.cosines(normalize(leaf, dim=1))
        product = graph.product(weights, emb)
        product.square().sum().backward()
        found.append([weights.detach(), product.detach(), leaf.grad, emb.grad])
        assert leaf.grad is not None and leaf.grad[7].abs().max() == 0
    for mine_, theirs in zip(*found, strict=True):
        assert torch.allclose(mine_, theirs, rtol=1e-10, atol=1e-12)


def test_constant_graph_is_the_same_map_with_the_same_gradient_in_the_vectors() -> None:
    generator = torch.Generator().manual_seed(2)
    items, neighbors = torch.randint(9, (2, 40), generator=generator)
    weights = torch.randn(40, dtype=torch.float64, generator=generator)
    edges = merged([Edges(items, neighbors, weights), Edges(items, neighbors, weights).scaled(0.5)])
    x = torch.randn(9, 3, dtype=torch.float64, generator=generator)
    constant = ConstantGraph(edges, 9)
    for graph in (constant, copy.deepcopy(constant)):
        leaf = x.clone().requires_grad_()
        graph(leaf).pow(3).sum().backward()
        other = x.clone().requires_grad_()
        (dense(edges, 9) @ other).pow(3).sum().backward()
        assert torch.allclose(graph(x), dense(edges, 9) @ x)
        assert leaf.grad is not None and other.grad is not None and torch.allclose(leaf.grad, other.grad)


def test_row_sums_that_are_not_positive_count_as_no_edges() -> None:
    edges = Edges(torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 0, 2]), torch.tensor([1.0, 3.0, -1.0, 0.0]))
    edges.weights.requires_grad_()
    normalized = edges.normalized(3)
    assert torch.equal(normalized.weights, torch.tensor([0.25, 0.0, 0.0, 0.0]))
    (gradient,) = torch.autograd.grad(normalized.weights.sum(), edges.weights)
    assert torch.isfinite(gradient).all()
