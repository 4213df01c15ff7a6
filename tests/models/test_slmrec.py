"""SLMRec against its definition written out with dense matrices."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.errors import RecipeError
from damrs_dgl.models.base import Batch
from damrs_dgl.models.slmrec import SLMRec, SLMRecConfig
from damrs_dgl.models.specification.tables import make_config, preset_values
from tests.models.builders import build, dense_interactions, make_batch, tiny_dataset
from tests.models.steps import assert_finite_step, assert_same_step, draw_biases, train

TWO = ("visual", "textual")
THREE = (*TWO, "acoustic")


def unit(x: Tensor) -> Tensor:
    length = x.square().sum(1, keepdim=True).sqrt()
    return x / torch.where(length > 0, length, torch.ones_like(length))


def propagation(data: MultimodalDataset, layers: int) -> Tensor:
    """The mean of the powers 0..L of the symmetrically normalised adjacency, [n, n]."""
    clicks = dense_interactions(data)
    users, items = clicks.shape
    matrix = torch.zeros(users + items, users + items, dtype=torch.float64)
    matrix[:users, users:], matrix[users:, :users] = clicks, clicks.T
    scale = matrix.sum(1).clamp(min=1).rsqrt()
    step = scale[:, None] * matrix * scale
    powers = [torch.eye(users + items, dtype=torch.float64)]
    for _ in range(layers):
        powers.append(step @ powers[-1])
    return torch.stack(powers).mean(0)


def cross_entropy(logits: Tensor, items: Tensor, mask: bool) -> Tensor:
    """Against the diagonal; `mask`: without the other columns of the same item."""
    terms = []
    for row in range(len(logits)):
        seen = [c for c in range(len(logits)) if c == row or not mask or items[c] != items[row]]
        terms.append(-logits[row, row] + logits[row, seen].exp().sum().log())
    return torch.stack(terms).mean()


def written_out(model: SLMRec, data: MultimodalDataset, batch: Batch) -> dict[str, Tensor]:
    config, mean = model.config, propagation(data, model.config.num_layers)
    views = [mean @ torch.cat([model.user_table, model.item_table])]
    for modality, projection in zip(data.modalities, model.projections, strict=True):
        content = unit(data.features[modality].block(0, data.num_items).double())
        views.append(mean @ torch.cat([model.user_table, content @ projection.weight + projection.bias]))
    user_views, item_views = zip(*(view.split([data.num_users, data.num_items]) for view in views), strict=True)
    users = torch.cat(user_views, 1) @ model.user_fusion.weight + model.user_fusion.bias
    items = torch.cat(item_views, 1) @ model.item_fusion.weight + model.item_fusion.bias
    chosen = batch.positive_items
    logits = unit(users[batch.users]) @ unit(items[chosen]).T / config.temperature
    terms = {"feedback": cross_entropy(logits, chosen, config.mask_duplicates)}
    query, aligned = item_views[0][chosen], []
    for to_query, to_key, view in zip(model.alignment.queries, model.alignment.keys, item_views[1:], strict=True):
        query = query @ to_query.weight + to_query.bias
        logits = query @ (view[chosen] @ to_key.weight + to_key.bias).T / config.alignment_temperature
        aligned.append(cross_entropy(logits, chosen, config.mask_duplicates))
    terms["alignment"] = config.alignment_weight * sum(aligned)
    terms["regularization"] = config.weight_decay / 2 * sum((value**2).sum() for value in model.parameters())
    return terms


def pairs(data: MultimodalDataset, size: int = 24) -> Batch:
    return make_batch(data, size, negatives=False)


@pytest.mark.parametrize("modalities", [TWO, ("textual",), THREE], ids=len)
@pytest.mark.parametrize("mask", [False, True], ids=["as-published", "masked"])
def test_step_is_the_definition(modalities: tuple[str, ...], mask: bool) -> None:
    data = tiny_dataset(modalities)
    model = build(
        "slmrec",
        data,
        dim=4,
        alignment_weight=0.5,
        alignment_temperature=0.7,
        weight_decay=0.01,
        mask_duplicates=mask,
    ).double()
    draw_biases(model)
    batch = pairs(data)
    assert len(batch.distinct_positive_items) < len(batch.positive_items)  # else the mask would hide nothing
    assert_same_step(model, batch, lambda given: written_out(model, data, given))


def test_no_negative_is_drawn() -> None:
    assert SLMRec.num_negatives == 0
    data = tiny_dataset()
    model, batch = build("slmrec", data, dim=4), pairs(data)
    with_negatives = replace(batch, negative_items=(batch.positive_items + 1) % data.num_items)
    for name, value in model.training_step(batch).items():
        assert torch.equal(value, model.training_step(with_negatives)[name])


@pytest.mark.parametrize(("modalities", "widths"), [(("visual",), [6]), (TWO, [6, 3]), (THREE, [6, 6, 3])], ids=len)
def test_heads_and_parameters(modalities: tuple[str, ...], widths: list[int]) -> None:
    model = build("slmrec", tiny_dataset(modalities), dim=6)
    assert [head.weight.shape[1] for head in model.alignment.queries] == widths
    content = sum(5 + offset for offset in range(len(modalities)))
    fused = 2 * ((1 + len(modalities)) * 6 * 6 + 6)
    heads = 2 * sum(6 * width + width for width in widths)
    expected = (16 + 14) * 6 + content * 6 + len(modalities) * 6 + fused + heads
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_alignment_is_what_a_wrapper_keeps() -> None:
    data = tiny_dataset()
    model, batch = build("slmrec", data, dim=4), pairs(data)
    found = model.auxiliary_losses(batch, model.encode())
    assert found.keys() == {"alignment"}
    assert torch.equal(found["alignment"], model.training_step(batch)["alignment"])
    alone = build("slmrec", data, dim=4, alignment_weight=0.0, weight_decay=0.0)
    assert alone.training_step(batch).keys() == {"feedback"}
    assert not any(name.startswith("alignment") for name, _ in alone.named_parameters())


def test_weight_decay_is_adams() -> None:
    """A step with the term is Adam's with weight decay (added to the gradient) on the loss without it."""
    data = tiny_dataset()
    batch = pairs(data)
    mine, theirs = (build("slmrec", data, dim=4, weight_decay=decay).double() for decay in (0.05, 0.0))
    mine.optimize(batch, mine.configure_optimizers(0.01))
    torch.stack(list(theirs.training_step(batch).values())).sum().backward()
    for own, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert other.grad is not None
        gradient = other.grad + 0.05 * other.detach()
        expected = other.detach() - 0.01 * gradient / (gradient.abs() + 1e-8)  # Adam's first step
        assert torch.allclose(own, expected, rtol=1e-7, atol=1e-12)


def test_modalities_may_be_left_out() -> None:
    found = build("slmrec", tiny_dataset(THREE), dim=4, preset="authors")
    assert len(found.projections) == 2
    with pytest.raises(RecipeError, match="leaves slmrec without a modality"):
        build("slmrec", tiny_dataset(("acoustic",)), dim=4, preset="authors")
    with pytest.raises(RecipeError, match='"slmrec" needs content'):
        build("slmrec", tiny_dataset(()))


def test_it_learns() -> None:
    data = tiny_dataset()
    losses = train(build("slmrec", data, dim=8), [pairs(data)])
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("size", [1, 12])
def test_finite_with_items_without_content_or_clicks(size: int) -> None:
    data = tiny_dataset()
    assert any(not data.features[name].block(0, data.num_items).any(1).all() for name in data.modalities)
    assert_finite_step(build("slmrec", data, dim=4), pairs(data, size))


def test_large_scores_stay_finite() -> None:
    """Alignment is by raw dot products."""
    model = build("slmrec", dim=4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(20)
    assert model.training_step(pairs(tiny_dataset()))["alignment"] > 1e3
    assert_finite_step(model, pairs(tiny_dataset()))


def test_presets() -> None:
    original, authors = (make_config({"name": "slmrec", "preset": preset}) for preset in ("original", "authors"))
    assert isinstance(original, SLMRecConfig) and isinstance(authors, SLMRecConfig)
    assert original == make_config({"name": "slmrec"})
    assert (original.num_layers, original.temperature, original.weight_decay) == (3, 0.2, 1e-4)
    assert (original.alignment_weight, authors.alignment_weight) == (0.1, 0.01)
    assert (original.left_out, authors.left_out) == ((), ("acoustic",))
    values = preset_values({"name": "slmrec", "preset": "authors"})
    assert values["training.learning_rate"] == 1e-3 and values["training.batch_size"] == 256
