"""MF, LightGCN and VBPR: what each is by its definition, and the step that they share."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from damrs_dgl.errors import RecipeError
from damrs_dgl.models.base import Batch
from damrs_dgl.models.layers.content import raw_content, unit_content
from damrs_dgl.models.specification.tables import preset_values
from tests.models.builders import build, dense_interactions, make_batch, make_inputs, tiny_dataset
from tests.models.dense import sym_normalized


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_tables_are_xavier_uniform_and_drawn_on_the_cpu() -> None:
    table = make_inputs(tiny_dataset()).table(300, 64)
    bound = (6 / (300 + 64)) ** 0.5
    assert table.abs().max() <= bound and table.abs().max() > 0.99 * bound
    assert abs(float(table.detach().var()) - bound**2 / 3) < 0.02 * bound**2 / 3
    assert torch.equal(table, make_inputs(tiny_dataset()).table(300, 64))
    assert not torch.equal(table, make_inputs(tiny_dataset(), seed=1).table(300, 64))


def test_mf_is_its_tables() -> None:
    model: Any = build("mf", dim=3)
    found = model.encode()
    assert found.users is found.user_input is model.user_table
    assert found.items is found.item_input is model.item_table
    assert count(model) == 16 * 3 + 14 * 3
    assert "users=(16, 3), items=(14, 3)" in repr(model)
    assert model.embeddings().users is model.user_table
    assert model.tables() == (model.user_table, model.item_table)


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_lightgcn_is_the_mean_of_its_layers(layers: int) -> None:
    data = tiny_dataset()
    model: Any = build("lightgcn", data, dim=6, num_layers=layers).double()
    to_users = sym_normalized(dense_interactions(data))
    states = [(model.user_table.detach(), model.item_table.detach())]
    for _ in range(layers):
        users, items = states[-1]
        states.append((to_users @ items, to_users.T @ users))
    found = model.encode()
    for side, emb in enumerate((found.users, found.items)):
        expected = torch.stack([state[side] for state in states]).mean(0)
        assert torch.allclose(emb, expected, rtol=1e-5, atol=1e-7)
    assert found.user_input is model.user_table and found.item_input is model.item_table
    assert count(model) == (16 + 14) * 6


def test_vbpr_puts_a_projection_of_content_beside_the_ids() -> None:
    data = tiny_dataset()
    model: Any = build("vbpr", data, dim=3)
    with torch.no_grad():
        model.projection.bias.add_(1.0)
    content = unit_content([features.block(0, 14) for features in data.features.values()])
    found = model.encode()
    assert content.shape == (14, 11) and not content[12, :5].any() and not content[11, 5:].any()  # missing rows
    assert found.users.shape == (16, 6) and found.items.shape == (14, 6)
    assert torch.equal(found.items[:, :3], model.item_table)
    assert torch.allclose(found.items[:, 3:], content @ model.projection.weight + 1.0, atol=1e-6)
    assert found.user_input is model.user_table and found.item_input is found.items  # regularised with its content
    assert count(model) == 16 * 6 + 14 * 3 + 11 * 3 + 3
    assert "features" not in model.state_dict()  # given by the data set, not learned
    assert model.tables() is None
    raw: Any = build("vbpr", data, dim=3, content_scale="raw")
    assert torch.equal(raw.features, raw_content([features.block(0, 14) for features in data.features.values()]))


def test_vbpr_needs_content() -> None:
    with pytest.raises(RecipeError, match='"vbpr" needs content'):
        build("vbpr", tiny_dataset(()))


def test_content_of_several_modalities_stands_side_by_side_at_one_scale_or_raw() -> None:
    pictures, sounds = torch.tensor([[30.0, 40.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.5, 0.0], [0.3, 0.0, 0.4]])
    expected = torch.tensor([[0.6, 0.8, 0.0, 1.0, 0.0], [0.0, 0.0, 0.6, 0.0, 0.8]])
    assert torch.allclose(unit_content([pictures, sounds]), expected)
    assert torch.equal(raw_content([pictures, sounds]), torch.cat([pictures, sounds], dim=1))


def expected_terms(model: Any, batch: Batch, *, unsquared: bool, weight: float) -> dict[str, Tensor]:
    """mean log(1 + e^(s_uj - s_ui)) and the regulariser, pair by pair."""
    assert batch.negative_items is not None
    encoded = model.encode()
    triples = list(zip(batch.users.tolist(), batch.positive_items.tolist(), batch.negative_items.tolist(), strict=True))
    losses = [torch.log(1 + torch.exp(encoded.users[u] @ (encoded.items[j] - encoded.items[i]))) for u, i, j in triples]
    if unsquared:
        rows = [
            torch.stack([encoded.users[u] for u, _, _ in triples]),
            torch.stack([encoded.items[i] for _, i, _ in triples]),
            torch.stack([encoded.items[j] for _, _, j in triples]),
        ]
        held = sum(part.square().sum().sqrt() for part in rows) / len(triples)
    else:
        users, items = encoded.user_input, encoded.item_input
        held = sum((users[u] @ users[u] + items[i] @ items[i] + items[j] @ items[j]) / 2 for u, i, j in triples)
        held = held / len(triples)
    return {"feedback": torch.stack(losses).mean(), "regularization": weight * held}


@pytest.mark.parametrize("name", ["mf", "lightgcn", "vbpr"])
@pytest.mark.parametrize("norm", ["squared", "unsquared"])
def test_a_training_step(name: str, norm: str) -> None:
    data = tiny_dataset()
    model = build(name, data, dim=4, norm=norm, regularization=0.3).double()
    batch = make_batch(data, model=model)
    terms = model.training_step(batch)
    wanted = expected_terms(model, batch, unsquared=norm == "unsquared", weight=0.3)
    assert list(terms) == list(wanted)
    parameters = list(model.parameters())
    gradients = [torch.autograd.grad(sum(part.values()), parameters) for part in (terms, wanted)]
    for key, value in wanted.items():
        assert torch.allclose(terms[key], value, rtol=1e-9), key
    for mine, theirs in zip(*gradients, strict=True):
        assert torch.allclose(mine.to_dense(), theirs.to_dense(), rtol=1e-7, atol=1e-10)  # sparse by rows


def test_no_regulariser_is_no_term() -> None:
    model = build("mf", dim=4, regularization=0.0)
    assert list(model.training_step(make_batch(tiny_dataset(), model=model))) == ["feedback"]


@pytest.mark.parametrize(
    ("name", "original", "authors"),
    [
        ("mf", (64, "squared", 0.1), (128, "unsquared", 0.1)),
        ("lightgcn", (64, "squared", 1e-4), (64, "squared", 0.0)),
        ("vbpr", (64, "squared", 0.1), (64, "unsquared", 1.0)),
    ],
)
def test_presets(name: str, original: tuple[object, ...], authors: tuple[object, ...]) -> None:
    for preset, expected in (("original", original), ("authors", authors)):
        config: Any = build(name, preset=preset).config  # type: ignore[union-attr]
        assert (config.dim, config.norm, config.regularization) == expected
    assert build("vbpr", preset="authors").config.content_scale == "raw"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *[(name, (1e-3, 4096, None)) for name in ("mf", "ngcf", "lightgcn", "vbpr")],
        *[(name, (1e-3, 4096, 0.96)) for name in ("sgl", "simgcl")],
        ("lattice", (5e-4, 256, 0.96)),
    ],
)
def test_what_the_authors_trained_with(name: str, expected: tuple[object, ...]) -> None:
    """Their logs' learning rate, batch and decay; of LATTICE those of Baby."""
    values = preset_values({"name": name, "preset": "authors"})
    assert tuple(values.get(f"training.{key}") for key in ("learning_rate", "batch_size", "learning_rate_decay")) == (
        expected
    )
