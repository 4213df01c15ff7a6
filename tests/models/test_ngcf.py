"""NGCF against its formulas with matrices written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from damrs_dgl.models.base import Batch
from damrs_dgl.models.layers.dropout import kept_entries
from damrs_dgl.models.ngcf import NGCF
from damrs_dgl.models.specification.tables import make_config
from tests.models.builders import build, dense_interactions, make_batch, tiny_dataset
from tests.models.graph_checks import (
    assert_step_equals,
    check_determinism,
    check_edge_cases,
    check_learns,
    double_copies,
    softplus_bpr,
    step,
)


def written_out(model: NGCF, copies: dict[str, Tensor], seed: int | None, batch: Batch | None = None) -> Tensor:
    """What ranks, [U + I, (L + 1) d]; `seed` of the dropout, None for none.

    The last layer of a training step is that of its batch's users and items only: others are left without dropout.
    """
    interactions = dense_interactions(tiny_dataset())
    users, items = interactions.shape
    adjacency = torch.eye(users + items, dtype=torch.float64)
    adjacency[:users, users:], adjacency[users:, :users] = interactions, interactions.T
    generator = torch.Generator().manual_seed(seed or 0)
    slope, share = model.config.negative_slope, model.config.dropout
    e = torch.cat([copies["user_table"], copies["item_table"]])
    parts = [e]
    for layer in range(model.config.num_layers):
        w1, b1, w2, b2 = (
            copies[f"layers.{layer}.{kind}.{part}"] for kind in ("sum", "product") for part in ("weight", "bias")
        )
        near = adjacency @ e / adjacency.sum(1, keepdim=True)
        one, two = near @ w1 + b1, (e * near) @ w2 + b2
        e = torch.where(one > 0, one, slope * one) + torch.where(two > 0, two, slope * two)
        if seed is not None:
            chosen = [torch.arange(users), torch.arange(items)]
            if batch is not None and layer == model.config.num_layers - 1:
                chosen = [batch.users.unique(), batch.pair_items.unique()]
            for nodes in (chosen[0], users + chosen[1]):
                kept = kept_entries(e[nodes], share, generator).double()
                e = e.index_put((nodes,), e[nodes] * kept / (1 - share))
        parts.append(e / e.norm(dim=1, keepdim=True))
    return torch.cat(parts, dim=1)


@pytest.mark.parametrize(("preset", "training"), [("original", True), ("authors", True), ("authors", False)])
def test_step_equals_the_written_out_form(preset: str, training: bool) -> None:
    dataset = tiny_dataset()
    model = build("ngcf", dataset, dim=5, preset=preset, regularization=0.3).double().train(training)
    assert isinstance(model, NGCF)
    copies = double_copies(model)
    batch = make_batch(dataset)
    batch.generator.manual_seed(7)
    table = written_out(model, copies, 7 if training else None, batch)
    users = table[batch.users]
    positive, negative = (table[dataset.num_users + ids] for ids in (batch.positive_items, batch.negative_items))
    squares = sum(part.square().sum() for part in (users, positive, negative))
    expected = {
        "feedback": softplus_bpr(users, positive, negative),
        "regularization": 0.3 * squares / (2 * len(users)),
    }
    assert_step_equals(model, batch, expected, copies)


def test_what_ranks_has_all_layers_side_by_side() -> None:
    model = build("ngcf", dim=5, num_layers=3).double()
    table = written_out(model, double_copies(model), None)  # type: ignore[arg-type]
    encoded = model.encode()
    assert encoded.items.shape == (14, 20) and encoded.item_input is encoded.items
    assert torch.allclose(torch.cat([encoded.users, encoded.items]), table, rtol=1e-6, atol=1e-8)


def test_dropout_is_of_training_steps_only() -> None:
    dataset = tiny_dataset()
    model = build("ngcf", dataset, dim=5, dropout=0.5)
    batch = make_batch(dataset)
    assert not torch.equal(model.encode_batch(batch).users, model.encode().users)
    assert torch.equal(model.eval().encode_batch(batch).users, model.encode().users)


def test_without_layers_it_is_mf() -> None:
    dataset = tiny_dataset()
    batch = make_batch(dataset)
    terms = [
        step(build(name, dataset, dim=5, regularization=0.1, **keys), batch)
        for name, keys in (("ngcf", {"num_layers": 0}), ("mf", {}))
    ]
    assert all(torch.allclose(terms[0][name], terms[1][name]) for name in terms[1])


def test_edge_cases() -> None:
    check_edge_cases("ngcf")
    check_determinism("ngcf")
    check_learns("ngcf")


def test_presets() -> None:
    original, authors = (make_config({"name": "ngcf", "preset": preset}) for preset in ("original", "authors"))
    assert (original.negative_slope, authors.negative_slope) == (0.2, 0.01)  # type: ignore[attr-defined]
    assert make_config({"name": "ngcf"}) == original


@pytest.mark.parametrize(
    "preset, weight, bias", [("original", (6 / 32) ** 0.5, (6 / 17) ** 0.5), ("authors", 0.25, 0.25)]
)
def test_the_maps_start_as_the_preset_says(preset: str, weight: float, bias: float) -> None:
    model: Any = build("ngcf", preset=preset, dim=16)
    for layer in model.layers:
        for found, bound in ((layer.sum.weight, weight), (layer.product.bias, bias)):
            largest = float(found.detach().abs().max())
            assert 0.7 * bound < largest <= bound
