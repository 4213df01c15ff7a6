"""MMGCN against its definition written out with dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.errors import RecipeError
from damrs_dgl.models.base import Batch
from damrs_dgl.models.mmgcn import MMGCN, MMGCNConfig
from damrs_dgl.models.specification.tables import make_config, preset_values
from tests.models.builders import build, dense_interactions, make_batch, tiny_dataset
from tests.models.steps import assert_finite_step, assert_same_step, draw_biases, train

TEXT_ONLY = ("textual",)
THREE = ("visual", "textual", "acoustic")


def leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.01 * x)


def unit(x: Tensor) -> Tensor:
    length = x.square().sum(1, keepdim=True).sqrt()
    return x / torch.where(length > 0, length, torch.ones_like(length))


def mean_matrix(data: MultimodalDataset) -> Tensor:
    """Row v of [n, n]: one over the degree at each neighbour of v; users first, then items."""
    clicks = dense_interactions(data)
    users, items = clicks.shape
    matrix = torch.zeros(users + items, users + items, dtype=torch.float64)
    matrix[:users, users:], matrix[users:, :users] = clicks, clicks.T
    return matrix / matrix.sum(1, keepdim=True).clamp(min=1)


def written_out(model: MMGCN, data: MultimodalDataset, batch: Batch) -> dict[str, Tensor]:
    """Users and items in one table, products with W_h before the mean, as the paper has it."""
    mean, outputs = mean_matrix(data), []
    emb = torch.cat([model.user_table, model.item_table])
    for network, modality in zip(model.networks, data.modalities, strict=True):
        content = data.features[modality].block(0, data.num_items).double()
        if network.projection is not None:
            content = content @ network.projection.weight + network.projection.bias
        x = unit(torch.cat([network.preference, content]))
        for layer in network.layers:
            h = leaky(mean @ (x @ layer.message.weight))
            own = leaky(x @ layer.own.weight + layer.own.bias) + emb
            x = leaky(torch.cat([h, own], 1) @ layer.combine.weight + layer.combine.bias)
        outputs.append(x)
    users, items = (sum(outputs) / len(outputs)).split([data.num_users, data.num_items])
    margin = (users[batch.users] * (items[batch.positive_items] - items[batch.negative_items])).sum(1)
    pair_users, pair_items = batch.users.repeat(2), torch.cat([batch.positive_items, batch.negative_items])
    squares = (model.user_table[pair_users] ** 2 + model.item_table[pair_items] ** 2).mean()
    squares = squares + sum((network.preference**2).mean() for network in model.networks)
    weight = model.config.regularization
    return {"feedback": -torch.sigmoid(margin).log().mean(), "regularization": weight * squares}


@pytest.mark.parametrize("modalities", [("visual", "textual"), TEXT_ONLY, THREE], ids=len)
@pytest.mark.parametrize("users", [16, 9], ids=["more-users", "fewer-users"])
def test_step_is_the_definition(modalities: tuple[str, ...], users: int) -> None:
    """Whichever side is larger, so that both orders of product and mean are seen."""
    data = tiny_dataset(modalities, users=users)
    assert (data.num_users > data.num_items) == (users == 16)
    model = build("mmgcn", data, dim=4, projected_dim=6, regularization=0.1).double()
    draw_biases(model)
    assert_same_step(model, make_batch(data), lambda batch: written_out(model, data, batch))


def test_what_is_projected() -> None:
    """The visual content, and what would make a user's table too wide; the rest enters raw at length 1."""
    model = build("mmgcn", tiny_dataset(THREE), dim=4, projected_dim=3, max_raw_dim=6)
    visual, textual, acoustic = model.networks
    assert visual.projection is not None and textual.projection is None and acoustic.projection is not None
    assert visual.preference.shape == acoustic.preference.shape == (16, 3) and textual.preference.shape == (16, 6)
    assert torch.allclose(textual.features.norm(dim=1), (textual.features != 0).any(1).float())
    named = build("mmgcn", tiny_dataset(THREE), dim=4, projected=["acoustic"])
    assert [network.projection is not None for network in named.networks] == [False, False, True]


def test_frozen_tables_are_kept_and_not_trained() -> None:
    model = build("mmgcn", dim=4, train_tables=False)
    names = {name for name, _ in model.named_parameters()}
    frozen = {"user_table", "item_table", "networks.0.preference", "networks.1.preference"}
    assert not names & frozen and frozen <= set(model.state_dict())
    batch = make_batch(tiny_dataset())
    before = {name: model.state_dict()[name].clone() for name in frozen}
    losses = train(model, [batch])
    assert losses[-1] < losses[0]
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in frozen)
    trained = build("mmgcn", dim=4)
    for name in frozen:  # the same draw, whether trained or not
        assert torch.equal(before[name], trained.state_dict()[name])
    assert frozen <= {name for name, _ in trained.named_parameters()}


def test_parameters_are_counted() -> None:
    """Per modality: preference, three layers of W_h, W_x, b, W_g, b_g; the visual projection."""
    model = build("mmgcn", dim=4, projected_dim=6)

    def layer(width: int) -> int:
        return width * width + width * 4 + 4 + (width + 4) * 4 + 4

    expected = (16 + 14) * 4 + 5 * 6 + 6 + 2 * 16 * 6 + 2 * (layer(6) + 2 * layer(4))
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_as_many_weights_as_in_the_authors_log() -> None:
    """Baby: visual content of width 4,096 and textual of 384; their log counts 1,418,240, tables not among them."""
    generator = np.random.default_rng(0)
    wide = MultimodalDataset.from_arrays(
        [f"u{n}" for n in range(6)],
        ["i0", "i1", "i2"] * 2,
        item_ids=["i0", "i1", "i2"],
        features={"visual": generator.normal(size=(3, 4096)), "textual": generator.normal(size=(3, 384))},
        split=[0, 0, 1, 2, 0, 0],
    )
    model = build("mmgcn", wide, preset="authors")
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_418_240


def test_it_learns() -> None:
    data = tiny_dataset()
    losses = train(build("mmgcn", data, dim=8), [make_batch(data, 40)], learning_rate=0.01)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("size", [1, 12])
def test_finite_with_items_without_content_or_clicks(size: int) -> None:
    data = tiny_dataset()
    assert not dense_interactions(data)[:, -1].any()
    assert any(not data.features[name].block(0, data.num_items).any(1).all() for name in data.modalities)
    assert_finite_step(build("mmgcn", data, dim=4), make_batch(data, size))


def test_large_scores_stay_finite() -> None:
    model = build("mmgcn", dim=4)
    with torch.no_grad():
        model.user_table.mul_(300)
        model.item_table.mul_(300)
    users, items = model.embeddings()
    assert (users @ items.T).abs().max() > 1e3
    assert_finite_step(model, make_batch(tiny_dataset()))


def test_presets() -> None:
    original, authors = (make_config({"name": "mmgcn", "preset": preset}) for preset in ("original", "authors"))
    assert isinstance(original, MMGCNConfig) and isinstance(authors, MMGCNConfig)
    assert original == make_config({"name": "mmgcn"})
    assert original.train_tables and not authors.train_tables
    assert (original.num_layers, original.projected, original.projected_dim) == (3, ("visual",), 256)
    assert authors.regularization == 1e-3
    values = preset_values({"name": "mmgcn", "preset": "authors"})
    assert values["training.learning_rate"] == 1e-3 and values["training.batch_size"] == 4096


def test_it_needs_content() -> None:
    with pytest.raises(RecipeError, match='"mmgcn" needs content'):
        build("mmgcn", tiny_dataset(()))
