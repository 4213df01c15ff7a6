"""Propagation against matrices written out: both forms of a relation, values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from damrs_dgl.dgl_backend import dgl
from damrs_dgl.models.layers import propagation
from damrs_dgl.models.layers.propagation import (
    BipartiteConvolution,
    Normalization,
    Relation,
    SparseRelation,
    UserItemConvolution,
    convolve,
    inverse,
    inverse_sqrt,
    make_relation,
    relation_scales,
    uses_dgl,
)
from tests.models.builders import CPU
from tests.models.dense import dense_adjacency, inverse_root, row_normalized, sym_normalized

USERS, ITEMS = 9, 7


@pytest.fixture(scope="module")
def graph() -> dgl.DGLGraph:
    """Random edges; user 8, item 6 and, in the content relation, item 5 have none."""
    generator = torch.Generator().manual_seed(1)
    pairs = (torch.rand(USERS - 1, ITEMS - 1, generator=generator) < 0.4).nonzero().T
    content = (torch.rand(ITEMS, ITEMS, generator=generator) < 0.4).float()
    content[5:], content[:, 5:] = 0, 0
    together = (torch.rand(ITEMS, ITEMS, generator=generator) < 0.4).float() + torch.eye(ITEMS)
    made = dgl.heterograph(
        {
            ("user", "interacts", "item"): (pairs[0], pairs[1]),
            ("item", "interacted_by", "user"): (pairs[1], pairs[0]),
            ("item", "visual", "item"): tuple(content.nonzero().T),
            ("item", "behavior", "item"): tuple(together.nonzero().T),
        },
        {"user": USERS, "item": ITEMS},
        idtype=torch.int32,
    )
    count = made.num_edges("behavior")
    made.edges["behavior"].data["weight"] = torch.randint(1, 9, (count,), generator=generator).float()
    return made


RELATIONS = {
    "interacts": sym_normalized,
    "interacted_by": sym_normalized,
    "visual": row_normalized,
    "behavior": row_normalized,
}


def value_and_gradient(relation: torch.nn.Module, x: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    out = relation(x)
    (out * up).sum().backward()
    assert x.grad is not None
    return out.detach(), x.grad


@pytest.mark.parametrize("name", RELATIONS)
def test_relation_is_the_normalised_matrix(graph: dgl.DGLGraph, name: str) -> None:
    matrix = RELATIONS[name](dense_adjacency(graph, name))
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(matrix.shape[1], 5, generator=generator, dtype=torch.float64)
    up = torch.randn(matrix.shape[0], 5, generator=generator, dtype=torch.float64)
    value, gradient = value_and_gradient(Relation(graph[name], CPU).double(), x, up)
    # The factors d^-1/2 are kept in float32; everything else is float64.
    assert torch.allclose(value, matrix @ x, rtol=1e-6, atol=1e-7)
    assert torch.allclose(gradient, matrix.T @ up, rtol=1e-6, atol=1e-7)


def test_relations_are_not_symmetric_here(graph: dgl.DGLGraph) -> None:
    """Else the tests above would not see a direction or a factor that is the wrong way round."""
    for name in ("visual", "behavior"):
        matrix = dense_adjacency(graph, name)
        assert not torch.equal(matrix, matrix.T) and not torch.equal(matrix.sum(0), matrix.sum(1))


@pytest.mark.parametrize("name", RELATIONS)
def test_sparse_form_equals_dgl(graph: dgl.DGLGraph, name: str) -> None:
    by_dgl, sparse = Relation(graph[name], CPU), SparseRelation(graph[name], CPU)
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(graph[name].num_src_nodes(), 5, generator=generator)
    up = torch.randn(graph[name].num_dst_nodes(), 5, generator=generator)
    for mine, theirs in zip(value_and_gradient(by_dgl, x, up), value_and_gradient(sparse, x, up), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-5, atol=1e-6)
    assert f"edges={graph[name].num_edges()}" in repr(by_dgl) and f"edges={graph[name].num_edges()}" in repr(sparse)


@pytest.mark.filterwarnings("error")
def test_sparse_form_is_silent(graph: dgl.DGLGraph) -> None:
    """Torch warns of its sparse tensors; a user of a GPU has no use for that."""
    SparseRelation(graph["visual"], CPU)(torch.ones(ITEMS, 2))


@pytest.mark.parametrize("kind", [Relation, SparseRelation])
def test_nodes_without_edges_give_zeros(graph: dgl.DGLGraph, kind: type[torch.nn.Module]) -> None:
    for name, lonely in (("interacts", [6]), ("interacted_by", [8]), ("visual", [5, 6])):
        x = torch.full((graph[name].num_src_nodes(), 3), 2.0)
        value, gradient = value_and_gradient(kind(graph[name], CPU), x, torch.ones(graph[name].num_dst_nodes(), 3))
        assert torch.isfinite(value).all() and torch.isfinite(gradient).all()
        assert not value[lonely].any() and value.any()


def test_a_relation_without_edges_gives_zeros() -> None:
    empty = dgl.heterograph({("item", "visual", "item"): ([], [])}, {"item": 4}, idtype=torch.int32)
    for kind in (Relation, SparseRelation):
        value, gradient = value_and_gradient(kind(empty["visual"], CPU), torch.ones(4, 2), torch.ones(4, 2))
        assert not value.any() and not gradient.any()


def test_inverse_sqrt() -> None:
    assert torch.equal(inverse_sqrt(torch.tensor([0, 1, 4, 16])), torch.tensor([0.0, 1.0, 0.5, 0.25]))


def test_inverse() -> None:
    assert torch.equal(inverse(torch.tensor([0, 1, 4])), torch.tensor([0.0, 1.0, 0.25]))


@pytest.fixture(scope="module")
def weighted() -> dgl.DGLGraph:
    """A user-item relation with a weight on every edge, the same in both directions; some nodes without edges."""
    generator = torch.Generator().manual_seed(5)
    pairs = (torch.rand(USERS - 1, ITEMS - 1, generator=generator) < 0.4).nonzero().T
    weights = torch.rand(pairs.shape[1], generator=generator) * 3 + 0.1
    made = dgl.heterograph(
        {("user", "interacts", "item"): (pairs[0], pairs[1]), ("item", "interacted_by", "user"): (pairs[1], pairs[0])},
        {"user": USERS, "item": ITEMS},
        idtype=torch.int32,
    )
    for relation in ("interacts", "interacted_by"):
        made.edges[relation].data["weight"] = weights
    return made


def normalized(matrix: Tensor, normalization: Normalization, *, item_item: bool = False) -> Tensor:
    """A by its definition, A[i, j] the weight of j -> i; `mean_with_self` without the target's own part."""
    rows = matrix.sum(1)
    if normalization == "symmetric":
        return row_normalized(matrix) if item_item else sym_normalized(matrix)
    if normalization == "target_sqrt":
        return inverse_root(rows)[:, None] * matrix
    extra = 1.0 if normalization == "mean_with_self" else 0.0
    return torch.stack([row / (row.sum() + extra) if row.sum() else row for row in matrix])


NORMALIZATIONS: tuple[Normalization, ...] = ("symmetric", "mean", "target_sqrt", "mean_with_self")


@pytest.mark.parametrize("kind", [Relation, SparseRelation])
@pytest.mark.parametrize("name", [*RELATIONS, "weighted interacts", "weighted interacted_by"])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_every_normalisation_is_its_matrix(
    graph: dgl.DGLGraph, weighted: dgl.DGLGraph, name: str, normalization: Normalization, kind: type[Relation]
) -> None:
    made = weighted if name.startswith("weighted") else graph
    name = name.removeprefix("weighted ")
    matrix = normalized(dense_adjacency(made, name), normalization, item_item=name in ("visual", "behavior"))
    relation = kind(made[name], CPU, normalization=normalization)
    generator = torch.Generator().manual_seed(2)
    x, up = (torch.randn(n, 5, generator=generator) for n in (matrix.shape[1], matrix.shape[0]))
    value, gradient = value_and_gradient(relation, x, up)
    assert torch.allclose(value.double(), matrix @ x.double(), rtol=1e-5, atol=1e-6)
    assert torch.allclose(gradient.double(), matrix.T @ up.double(), rtol=1e-5, atol=1e-6)
    assert value.any() and torch.isfinite(value).all()


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("with_weights", [False, True])
def test_both_sides_at_once(
    graph: dgl.DGLGraph, weighted: dgl.DGLGraph, normalization: Normalization, with_weights: bool
) -> None:
    """Users gather items and items gather users, in `mean_with_self` beside their own vectors."""
    made = weighted if with_weights else graph
    to_items, to_users = (dense_adjacency(made, name) for name in ("interacts", "interacted_by"))
    generator = torch.Generator().manual_seed(6)
    users, items = (torch.randn(n, 4, generator=generator, dtype=torch.float64) for n in (USERS, ITEMS))
    new_users = normalized(to_users, normalization) @ items
    new_items = normalized(to_items, normalization) @ users
    if normalization == "mean_with_self":
        new_users += users / (to_users.sum(1) + 1)[:, None]
        new_items += items / (to_items.sum(1) + 1)[:, None]
    users.requires_grad_(), items.requires_grad_()
    found = BipartiteConvolution(made, CPU, normalization=normalization).double()(users, items)
    assert torch.allclose(found[0], new_users, rtol=1e-6, atol=1e-7)
    assert torch.allclose(found[1], new_items, rtol=1e-6, atol=1e-7)
    (found[0].sum() + 2 * found[1].sum()).backward()
    assert users.grad is not None and items.grad is not None
    if normalization == "mean_with_self":
        assert users.grad[8].any() and items.grad[6].any()  # they have no edges, and hear themselves


def test_a_node_without_edges_keeps_itself_in_the_mean_with_self(graph: dgl.DGLGraph) -> None:
    users, items = torch.full((USERS, 2), 3.0), torch.full((ITEMS, 2), 5.0)
    found = BipartiteConvolution(graph, CPU, normalization="mean_with_self")(users, items)
    assert torch.equal(found[0][8], users[8]) and torch.equal(found[1][6], items[6])


@pytest.mark.parametrize("with_weights", [False, True])
def test_the_gradient_of_the_mean_of_layers(graph: dgl.DGLGraph, weighted: dgl.DGLGraph, with_weights: bool) -> None:
    """Written by hand for a symmetric A_hat: which it is with weights too, as their degrees count on both sides."""
    made = weighted if with_weights else graph
    step = torch.zeros(USERS + ITEMS, USERS + ITEMS, dtype=torch.float64)
    step[USERS:, :USERS] = sym_normalized(dense_adjacency(made, "interacts"))
    step[:USERS, USERS:] = sym_normalized(dense_adjacency(made, "interacted_by"))
    mean = sum((torch.linalg.matrix_power(step, power) for power in range(4)), torch.zeros_like(step)) / 4
    generator = torch.Generator().manual_seed(7)
    users, items, up = (
        torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (USERS, ITEMS, USERS + ITEMS)
    )
    users.requires_grad_(), items.requires_grad_()
    found = torch.cat(UserItemConvolution(made, 3, CPU).double()(users, items))
    assert torch.allclose(found, mean @ torch.cat([users, items]), rtol=1e-6, atol=1e-7)
    (found * up).sum().backward()
    assert users.grad is not None and items.grad is not None
    assert torch.allclose(torch.cat([users.grad, items.grad]), mean.T @ up, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["visual", "behavior", "interacted_by"])
def test_convolve_on_a_sampled_block(graph: dgl.DGLGraph, name: str) -> None:
    """Some target nodes, all their in-edges, as DGL's samplers hand them over: the same rows as the full relation."""
    relation = graph[name]
    seeds = torch.tensor([4, 1], dtype=torch.int32)
    frontier = dgl.in_subgraph(relation, {relation.dsttypes[0]: seeds})
    block = dgl.to_block(frontier, {relation.dsttypes[0]: seeds})
    source, target = relation_scales(relation)
    inputs = block.srcnodes[relation.srctypes[0]].data[dgl.NID].long()
    outputs = block.dstnodes[relation.dsttypes[0]].data[dgl.NID].long()
    weight = relation.edata.get("weight")
    if weight is not None:  # the block numbers the frontier's edges, the frontier those of the relation
        weight = weight[frontier.edata[dgl.EID][block.edata[dgl.EID].long()].long()]
    x = torch.randn(relation.num_src_nodes(), 3, generator=torch.Generator().manual_seed(4))
    rows = convolve(block, x[inputs], source[inputs][:, None], target[outputs][:, None], weight)
    assert outputs.tolist() == [4, 1]
    assert torch.allclose(rows, Relation(relation, CPU)(x)[[4, 1]], atol=1e-6)
    assert rows.any()


def test_device_decides_the_form(graph: dgl.DGLGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_relation(graph, "visual", CPU), Relation)
    for has_cuda in (True, False):
        monkeypatch.setattr(propagation, "has_cuda", lambda has_cuda=has_cuda: has_cuda)
        assert uses_dgl(torch.device("cuda")) is has_cuda
    monkeypatch.setattr(propagation, "uses_dgl", lambda device: False)
    assert isinstance(make_relation(graph, "visual", CPU), SparseRelation)


def test_only_the_layouts_that_are_used_are_made() -> None:
    """At 50 million edges a layout takes half a gigabyte; and none may be left behind in the graph that was given."""
    ids = torch.arange(4)
    made = dgl.heterograph(
        {
            ("user", "interacts", "item"): (ids, ids),
            ("item", "interacted_by", "user"): (ids, ids),
            ("item", "visual", "item"): (ids, ids.flip(0)),
        }
    )
    convolution = UserItemConvolution(made, 2, CPU)
    for relation in (convolution.to_items, convolution.to_users):
        assert isinstance(relation, Relation) and relation.graph.formats() == {"created": ["csc"], "not created": []}
    visual = make_relation(made, "visual", CPU)
    assert isinstance(visual, Relation) and sorted(visual.graph.formats()["created"]) == ["csc", "csr"]
    assert made["interacts"].formats()["created"] == made["visual"].formats()["created"] == ["coo"]
    assert SparseRelation(made["interacts"], CPU, differentiable=False).transposed is None


def test_only_what_is_given_up_is_overwritten(graph: dgl.DGLGraph) -> None:
    relation = make_relation(graph, "interacts", CPU)
    x = torch.randn(USERS, 3, generator=torch.Generator().manual_seed(2))
    given, kept = x.clone(), x.clone()
    assert torch.equal(relation(given, overwrite=True), relation(kept))
    assert torch.equal(kept, x) and not torch.equal(given, x)
