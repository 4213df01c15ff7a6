"""MICRO: a whole step beside one with full matrices in float64, and whom its contrast looks at."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.errors import RecipeError
from damrs_dgl.models.base import Batch
from damrs_dgl.models.micro import MICRO, MICROConfig
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


def micro(dataset: MultimodalDataset | None = None, **keys: Any) -> MICRO:
    model = build("micro", dataset, **{"dim": 6, "k": 4, "content_dim": 5, **keys}).double()
    assert isinstance(model, MICRO)
    with torch.no_grad():  # so that a bias that is left out is seen
        for number, (name, parameter) in enumerate(model.named_parameters()):
            if "bias" in name:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    return model


def leaves(model: MICRO) -> Parameters:
    return {name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()}


def item_graphs(parameters: Parameters, dataset: MultimodalDataset, config: MICROConfig) -> list[torch.Tensor]:
    graphs = []
    for number, name in enumerate(dataset.modalities):
        matrix = learned_matrix(
            parameters.get(f"structure.content_{number}", dataset.features[name].block(0, dataset.num_items)).double(),
            parameters[f"structure.projections.{number}.weight"],
            parameters[f"structure.projections.{number}.bias"],
            missing_rows(dataset, name),
            config.k,
        )
        given = content_matrix(dataset, name, config.k)
        graphs.append((1 - config.content_weight) * normalized(matrix) + config.content_weight * given)
    return graphs


def contrast(anchors: torch.Tensor, counterparts: torch.Tensor, temperature: float) -> torch.Tensor:
    """nce2, pair by pair."""

    def similarity(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return torch.exp((left @ right) / (left.norm() * right.norm()) / temperature)

    terms = []
    for row, anchor in enumerate(anchors):
        total = sum(similarity(anchor, other) for other in counterparts)
        total = total + sum(similarity(anchor, other) for place, other in enumerate(anchors) if place != row)
        terms.append(-torch.log(similarity(anchor, counterparts[row]) / total))
    return torch.stack(terms).mean()


def dense_step(
    parameters: Parameters, graphs: list[torch.Tensor], dataset: MultimodalDataset, config: MICROConfig, batch: Batch
) -> dict[str, torch.Tensor]:
    users, items = propagated(
        dense_interactions(dataset), parameters["user_table"], parameters["item_table"], config.num_layers
    )
    views = []
    for graph in graphs:
        view = parameters["item_table"]
        for _ in range(config.structure_layers):
            view = graph @ view
        views.append(view)
    weight, bias, query = (parameters[name] for name in ("attention.weight", "attention.bias", "query"))
    scores = torch.stack([torch.exp(torch.tanh(view @ weight + bias) @ query)[:, 0] for view in views])
    fused = sum((share / scores.sum(0))[:, None] * view for share, view in zip(scores, views, strict=True))
    items = items + fused / (fused**2).sum(1).sqrt()[:, None]
    assert batch.negative_items is not None
    rows = (users[batch.users], items[batch.positive_items], items[batch.negative_items])
    terms = ranking_terms(*rows, config.regularization)
    taken = list(range(dataset.num_items))
    if config.contrast_items == "batch":
        taken = sorted({*batch.positive_items.tolist(), *batch.negative_items.tolist()})
    parts = [contrast(view[taken], fused[taken], config.temperature) for view in views]
    terms["contrast"] = config.contrast_weight * sum(parts)
    return terms


def check_same(model: MICRO, batch: Batch, leaf: Parameters, expected: dict[str, torch.Tensor]) -> None:
    terms = model.training_step(batch)
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
        (THREE, {"contrast_items": "batch"}),
        (("visual", "textual"), {"structure_layers": 2, "num_layers": 1, "contrast_weight": 2.0, "temperature": 0.1}),
        (("visual", "textual"), {"train_content": False, "content_weight": 0.2, "regularization": 0.5}),
    ],
    ids=str,
)
def test_first_and_later_steps_are_the_dense_ones(modalities: tuple[str, ...], keys: dict[str, Any]) -> None:
    dataset = tiny_dataset(modalities)
    model = micro(dataset, **keys)
    batch = make_batch(dataset, 5)
    model.on_epoch_start(1, batch.generator)
    leaf = leaves(model)
    graphs = item_graphs(leaf, dataset, model.config)
    check_same(model, batch, leaf, dense_step(leaf, graphs, dataset, model.config, batch))
    for name, parameter in model.named_parameters():
        lonely = len(modalities) == 1 and name in {"attention.weight", "attention.bias", "query"}  # its share is 1
        assert parameter.grad is not None and (lonely or parameter.grad.any()), name
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.3)
    leaf = leaves(model)
    constant = [graph.detach() for graph in graphs]
    check_same(model, batch, leaf, dense_step(leaf, constant, dataset, model.config, batch))
    assert model.structure.projections[0].weight.grad is None


def test_a_wrapper_that_brings_its_own_ranking_loss_keeps_the_contrast() -> None:
    model, batch = micro(), make_batch(tiny_dataset())
    encoded = model.encode()
    assert encoded.item_input is model.item_table and encoded.user_input is model.user_table
    kept = model.auxiliary_losses(batch, encoded)
    assert torch.allclose(kept["contrast"], model.training_step(batch)["contrast"])
    assert "contrast" not in micro(contrast_weight=0.0).training_step(batch)


def test_evaluation_is_deterministic_and_follows_the_weights() -> None:
    dataset = tiny_dataset()
    model = micro(dataset)
    optimizers = model.configure_optimizers(0.05)
    seen = []
    for epoch in (1, 2):
        model.train().on_epoch_start(epoch, torch.Generator())
        for seed in range(2):
            model.optimize(make_batch(dataset, seed=seed), optimizers)
        model.eval()
        with torch.no_grad():
            seen.append(model.embeddings())
            assert all(torch.equal(*pair) for pair in zip(seen[-1], model.embeddings(), strict=True))
        twin = micro(dataset, seed=7).eval()
        twin.load_state_dict(model.state_dict())
        assert torch.equal(twin.embeddings().items, seen[-1].items)
    assert not torch.equal(seen[0].items, seen[1].items)


def test_one_pair_and_large_scores_are_finite() -> None:
    for items in ("all", "batch"):
        model = micro(contrast_items=items)
        for scale in (1.0, 100.0):
            with torch.no_grad():
                model.user_table.mul_(scale)
                model.item_table.mul_(scale)
            model.on_epoch_start(1, torch.Generator())
            terms = model.optimize(make_batch(tiny_dataset(), 1), model.configure_optimizers(1e-3))
            assert all(torch.isfinite(value) for value in terms.values())
        assert all(torch.isfinite(part).all() for part in model.eval().embeddings())


def test_every_table_is_registered() -> None:
    dataset = tiny_dataset()
    content = sum(14 * features.dim + (features.dim + 1) * 5 for features in dataset.features.values())
    assert sum(parameter.numel() for parameter in micro(dataset).parameters()) == (16 + 14 + 6 + 2) * 6 + content


def test_preset_and_what_it_needs() -> None:
    config = make_config({"name": "micro"})
    assert isinstance(config, MICROConfig)
    assert (config.regularization, config.contrast_weight, config.temperature) == (1e-5, 0.03, 0.5)
    assert preset_values({"name": "micro"})["training.learning_rate"] == 5e-4
    with pytest.raises(ValidationError, match="preset"):
        make_config({"name": "micro", "preset": "authors"})
    with pytest.raises(RecipeError, match='"micro" needs content'):
        build("micro", tiny_dataset(()))
