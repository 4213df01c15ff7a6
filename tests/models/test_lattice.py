"""LATTICE: a whole step beside one with full matrices in float64; what an epoch keeps; what evaluation rebuilds."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.parts import ModalityFeatures
from damrs_dgl.errors import RecipeError
from damrs_dgl.models.base import Batch
from damrs_dgl.models.lattice import LATTICE, LATTICEConfig
from damrs_dgl.models.layers import structure
from damrs_dgl.models.specification.tables import make_config, preset_values
from tests.models.builders import build, dense_interactions, make_batch, tiny_dataset
from tests.models.dense_structure import (
    content_matrix,
    learned_matrix,
    missing_rows,
    normalized,
    propagated,
    ranking_terms,
)

THREE = ("visual", "textual", "acoustic")
Parameters = dict[str, torch.Tensor]


def lattice(dataset: MultimodalDataset | None = None, **keys: Any) -> LATTICE:
    model = build("lattice", dataset, **{"dim": 6, "k": 4, "content_dim": 5, **keys}).double()
    assert isinstance(model, LATTICE)
    with torch.no_grad():  # so that a bias or a share that is left out is seen
        for number, (name, parameter) in enumerate(model.named_parameters()):
            if "bias" in name or "logits" in name:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    return model


def item_graph(parameters: Parameters, dataset: MultimodalDataset, config: LATTICEConfig) -> torch.Tensor:
    """G [I, I] of the formula, differentiable."""
    shares = parameters["structure.modality_logits"].softmax(0)
    learned, given = 0.0, 0.0
    for number, name in enumerate(dataset.modalities):
        content = parameters.get(f"structure.content_{number}", dataset.features[name].block(0, dataset.num_items))
        matrix = learned_matrix(
            content.double(),
            parameters[f"structure.projections.{number}.weight"],
            parameters[f"structure.projections.{number}.bias"],
            missing_rows(dataset, name),
            config.k,
        )
        learned = learned + shares[number] * matrix
        given = given + shares[number] * content_matrix(dataset, name, config.k)
    if config.normalize_learned:
        learned = normalized(learned)
    return (1 - config.content_weight) * learned + config.content_weight * given


def dense_step(
    parameters: Parameters, graph: torch.Tensor, dataset: MultimodalDataset, config: LATTICEConfig, batch: Batch
) -> dict[str, torch.Tensor]:
    users, items = propagated(
        dense_interactions(dataset), parameters["user_table"], parameters["item_table"], config.num_layers
    )
    h = parameters["item_table"]
    for _ in range(config.structure_layers):
        h = graph @ h
    items = items + h / (h**2).sum(1).sqrt()[:, None]
    assert batch.negative_items is not None
    rows = (users[batch.users], items[batch.positive_items], items[batch.negative_items])
    return ranking_terms(*rows, config.regularization)


def leaves(model: LATTICE) -> Parameters:
    return {name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()}


def check_same(model: LATTICE, terms: dict[str, torch.Tensor], leaf: Parameters, expected: dict[str, torch.Tensor]):
    """Terms and all gradients agree; a parameter that the dense form does not reach has none."""
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(terms[name], value, rtol=1e-6, atol=1e-9), name
    model.zero_grad()
    sum(terms.values()).backward()
    gradients = torch.autograd.grad(sum(expected.values()), list(leaf.values()), allow_unused=True)
    for (name, parameter), gradient in zip(model.named_parameters(), gradients, strict=True):
        assert (parameter.grad is None) == (gradient is None), name
        if gradient is not None:
            # the content's own cosines and the scalings of the interactions are float32
            assert torch.allclose(parameter.grad, gradient, rtol=1e-5, atol=2e-7 * max(1, gradient.abs().max())), name


@pytest.mark.parametrize(
    ("modalities", "keys"),
    [
        (("visual",), {}),
        (("visual", "textual"), {}),
        (THREE, {}),
        (("visual", "textual"), {"preset": "authors"}),
        (("visual", "textual"), {"structure_layers": 2, "num_layers": 1, "regularization": 0.5}),
        (("visual", "textual"), {"train_content": False, "content_weight": 0.2}),
        (("visual", "textual"), {"k": 1000, "content_weight": 0.0}),
    ],
    ids=str,
)
def test_first_step_is_the_dense_one(modalities: tuple[str, ...], keys: dict[str, Any]) -> None:
    dataset = tiny_dataset(modalities)
    model = lattice(dataset, **keys)
    batch = make_batch(dataset, model=model)
    model.on_epoch_start(1, batch.generator)
    leaf = leaves(model)
    expected = dense_step(leaf, item_graph(leaf, dataset, model.config), dataset, model.config, batch)
    check_same(model, model.training_step(batch), leaf, expected)
    for name, parameter in model.named_parameters():
        # h has length 1 for the lone modality of share 1: then a share has no say
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any() or (len(modalities) == 1 and "logits" in name), name


def test_later_steps_take_the_graph_of_the_epochs_start() -> None:
    dataset = tiny_dataset()
    model = lattice(dataset)
    batches = [make_batch(dataset, seed=seed) for seed in range(3)]
    for epoch in (1, 2):
        model.on_epoch_start(epoch, batches[0].generator)
        first = leaves(model)
        graph = item_graph(first, dataset, model.config)
        check_same(
            model, model.training_step(batches[0]), first, dense_step(first, graph, dataset, model.config, batches[0])
        )
        for batch in batches[1:]:
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(0.4 * torch.randn(parameter.shape, generator=batch.generator, dtype=torch.float64))
            leaf = leaves(model)
            expected = dense_step(leaf, graph.detach(), dataset, model.config, batch)
            check_same(model, model.training_step(batch), leaf, expected)
            assert model.user_table.grad is not None and model.structure.projections[0].weight.grad is None


def test_the_first_step_differentiates_however_often_it_encodes() -> None:
    model = lattice()
    batch = make_batch(tiny_dataset())
    model.on_epoch_start(1, batch.generator)
    with torch.no_grad():
        model.encode()
    first = model.encode().items.sum()
    (first + model.encode().items.square().sum()).backward()
    assert model.structure.projections[0].weight.grad.any()
    assert not any(part.requires_grad for part in (graph.matrix for graph in model.structure.products()))


def big_dataset() -> MultimodalDataset:
    """200 items: a fifth share their picture with a few others, a tenth one placeholder, some have none."""
    random = np.random.default_rng(4)
    dataset = tiny_dataset(users=60, items=200, seed=3)
    features = {}
    for name, width in (("visual", 24), ("textual", 7)):
        values = random.normal(size=(200, width)).astype(np.float32)
        values[random.permutation(200)[:40]] = values[random.integers(0, 8, size=40)]
        values[random.permutation(200)[:20]] = values[3]
        features[name] = ModalityFeatures(values, random.random(200) < 0.05)
    return dataclasses.replace(dataset, features=features)


def test_blocks_are_the_dense_form_on_200_items_with_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("damrs_dgl.models.layers.neighbors._BLOCK_VALUES", 200 * 32)
    dataset = big_dataset()
    model = lattice(dataset, k=10, dim=12, content_dim=16)
    leaf = leaves(model)
    graph = item_graph(leaf, dataset, model.config)
    (product,) = model.structure.products()
    assert torch.allclose(product(torch.eye(200, dtype=torch.float64)), graph, rtol=1e-6, atol=1e-7)
    assert torch.equal(product(torch.eye(200, dtype=torch.float64)) != 0, graph != 0)
    weights = torch.randn(200, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    h = model.convolve(product)
    expected = graph @ leaf["item_table"]
    assert torch.allclose(h, expected, rtol=1e-6, atol=1e-7)
    (h * weights).sum().backward()
    (expected * weights).sum().backward()
    for name, parameter in model.named_parameters():
        if name.startswith("structure") or name == "item_table":
            assert torch.allclose(parameter.grad, leaf[name].grad, rtol=1e-5, atol=1e-6), name


def test_evaluation_takes_the_weights_as_they_are_and_mines_once_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    mine = structure.mine
    monkeypatch.setattr(structure, "mine", lambda *args: calls.append(1) or mine(*args))
    dataset = tiny_dataset()
    model = lattice(dataset)
    optimizers = model.configure_optimizers(0.05)
    model.on_epoch_start(1, torch.Generator())
    for seed in range(3):
        model.optimize(make_batch(dataset, seed=seed), optimizers)
    before = model.encode().items
    model.eval()
    calls.clear()
    with torch.no_grad():
        found = model.embeddings()
        assert torch.equal(model.embeddings().items, found.items) and len(calls) == 2
        graph = item_graph(leaves(model), dataset, model.config)
    h = graph @ model.item_table
    items = propagated(dense_interactions(dataset), model.user_table, model.item_table, 2)[1]
    assert torch.allclose(found.items, items + h / h.norm(dim=1, keepdim=True), rtol=1e-5, atol=1e-7)
    model.train()
    assert torch.equal(model.encode().items, before)  # evaluation leaves the epoch's graph alone
    model.optimize(make_batch(dataset, seed=3), optimizers)
    model.on_epoch_start(2, torch.Generator())
    model.optimize(make_batch(dataset, seed=4), optimizers)
    calls.clear()
    assert not torch.equal(model.eval().embeddings().items, found.items) and len(calls) == 2


def test_saved_weights_and_copies_give_the_same_vectors() -> None:
    model, other = lattice().eval(), lattice(seed=5).eval()
    first = other.embeddings().items
    assert not torch.equal(first, model.embeddings().items)
    other.load_state_dict(model.state_dict())
    for twin in (other, copy.deepcopy(model)):
        assert torch.equal(twin.embeddings().items, model.embeddings().items)


def test_every_table_is_registered_and_content_that_is_not_trained_is_not_saved() -> None:
    dataset = tiny_dataset()
    tables = (16 + 14) * 6 + 2 + sum((features.dim + 1) * 5 for features in dataset.features.values())
    content = sum(14 * features.dim for features in dataset.features.values())
    for trained in (True, False):
        model = lattice(dataset, train_content=trained)
        expected = tables + (content if trained else 0)
        assert sum(parameter.numel() for parameter in model.parameters()) == expected
        assert sum(value.numel() for value in model.state_dict().values()) == expected


def test_training_leaves_the_data_sets_content_as_it_was() -> None:
    dataset = tiny_dataset()
    before = dataset.features["visual"].values.copy()
    model = lattice(dataset)
    model.optimize(make_batch(dataset), model.configure_optimizers(0.1))
    assert not torch.equal(model.structure.content_0[0].float(), torch.from_numpy(before[0]))
    assert np.array_equal(dataset.features["visual"].values, before, equal_nan=True)
    assert not model.structure.content_0[12].any()  # an item without content learns none


def test_one_pair_and_large_scores_are_finite() -> None:
    model = lattice()
    for scale in (1.0, 100.0):
        with torch.no_grad():
            model.user_table.mul_(scale)
            model.item_table.mul_(scale)
        model.on_epoch_start(1, torch.Generator())
        terms = model.optimize(make_batch(tiny_dataset(), 1), model.configure_optimizers(1e-3))
        assert all(torch.isfinite(value) for value in terms.values())
    assert all(torch.isfinite(part).all() for part in model.eval().embeddings())


def test_it_learns() -> None:
    dataset = tiny_dataset()
    model = build("lattice", dataset, dim=8, k=4)
    optimizers = model.configure_optimizers(0.03)
    losses = []
    for step in range(45):
        if step % 3 == 0:
            model.on_epoch_start(step // 3 + 1, torch.Generator())
        losses.append(float(model.optimize(make_batch(dataset, 24, seed=step), optimizers)["feedback"]))
    assert sum(losses[-6:]) < 0.8 * sum(losses[:6])


def test_presets() -> None:
    original, authors = make_config({"name": "lattice"}), make_config({"name": "lattice", "preset": "authors"})
    assert isinstance(original, LATTICEConfig) and isinstance(authors, LATTICEConfig)
    assert (original.regularization, original.normalize_learned) == (1e-5, True)
    assert (authors.regularization, authors.normalize_learned) == (0.0, False)
    values = preset_values({"name": "lattice"})
    assert (values["training.batch_size"], values["training.learning_rate_decay"]) == (1024, 0.96)
    assert {original.k, original.dim, original.content_dim, original.num_layers} == {10, 64, 2}
    assert "regularization" not in lattice(preset="authors").training_step(make_batch(tiny_dataset()))


@pytest.mark.parametrize("train_content", [True, False])
def test_a_modality_may_have_any_name(train_content: bool) -> None:
    """Such as a word that the module itself uses."""
    dataset = tiny_dataset(("edges", "weight", "vectors"))
    model = lattice(dataset, train_content=train_content)
    assert model.training_step(make_batch(dataset))["feedback"].isfinite()


def test_it_says_that_it_needs_content() -> None:
    with pytest.raises(RecipeError, match='"lattice" needs content'):
        build("lattice", tiny_dataset(()))
