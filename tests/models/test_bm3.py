"""BM3 against its definition written out with dense matrices, and what is particular about it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from damrs_dgl.errors import RecipeError
from damrs_dgl.models.base import Batch
from damrs_dgl.models.bm3 import BM3, BM3Config
from damrs_dgl.models.layers.dropout import kept_entries
from damrs_dgl.models.specification.tables import make_config, preset_values
from tests.models.builders import build, dense_interactions, make_batch, tiny_dataset

MODALITIES = ("visual", "textual", "acoustic")
Values = dict[str, Tensor]


def bm3(modalities: tuple[str, ...] = MODALITIES[:2], **keys: Any) -> BM3:
    model = build("bm3", tiny_dataset(modalities), **{"dim": 6, **keys}).double()
    assert isinstance(model, BM3)
    with torch.no_grad():  # biases start at zero, which would hide a missing one
        for name, value in model.named_parameters():
            if name.endswith("bias"):
                value.copy_(torch.linspace(-0.3, 0.4, len(value)))
    return model


def pairs(modalities: tuple[str, ...] = MODALITIES[:2], size: int = 40) -> Batch:
    return make_batch(tiny_dataset(modalities), size, negatives=False)


def convolved(values: Values, layers: int, interactions: Tensor) -> tuple[Tensor, Tensor]:
    user_degrees, item_degrees = interactions.sum(1), interactions.sum(0)
    norm = interactions / (user_degrees[:, None] * item_degrees[None, :]).clamp(min=1).sqrt()
    users, items = [values["user_table"]], [values["item_table"]]
    for _ in range(layers):
        users, items = [*users, norm @ items[-1]], [*items, norm.T @ users[-1]]
    return torch.stack(users).mean(0), torch.stack(items).mean(0) + values["item_table"]


def dropped(rows: Tensor, share: float, generator: torch.Generator) -> Tensor:
    return rows.detach() * kept_entries(rows, share, generator) / (1 - share)


def slow_terms(values: Values, batch: Batch, config: BM3Config, modalities: tuple[str, ...]) -> Values:
    """The loss, pair by pair, on whole tables; masks are drawn as the model says: users, items, items, contents."""
    generator = torch.Generator()
    generator.set_state(batch.generator.get_state())
    users, items = convolved(values, config.num_layers, dense_interactions(tiny_dataset(modalities)))

    def predict(x: Tensor) -> Tensor:
        return x @ values["predictor.weight"] + values["predictor.bias"]

    def far(x: Tensor, target: Tensor) -> Tensor:
        return 1 - cosine_similarity(x, target, dim=1).mean()

    online_users, online_items = users[batch.users], items[batch.positive_items]
    user_target = dropped(online_users, config.dropout, generator)
    item_target = dropped(online_items, config.dropout, generator)
    terms = {"feedback": far(predict(online_users), item_target) + far(predict(online_items), user_target)}
    once = batch.positive_items.unique().tolist()
    place = torch.tensor([once.index(item) for item in batch.positive_items.tolist()])
    item_target = dropped(items[once], config.dropout, generator)[place]
    alignment, masking = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for m in range(len(modalities)):
        projected = values[f"content_tables.{m}"] @ values[f"projections.{m}.weight"] + values[f"projections.{m}.bias"]
        target = dropped(projected[once], config.dropout, generator)[place]
        online = predict(projected)[batch.positive_items]
        alignment = alignment + config.content_weight * far(online, item_target)
        masking = masking + config.content_weight * far(online, target)
    norms = users.square().sum().sqrt() + items.square().sum().sqrt()
    return terms | {
        "alignment": alignment,
        "masking": masking,
        "regularization": config.regularization * norms / len(items),
    }


def gradient_of(parameter: torch.nn.Parameter) -> Tensor:
    """Dense: that of content has the batch's rows alone."""
    assert parameter.grad is not None
    return parameter.grad.to_dense()


@pytest.mark.parametrize("share", [0.0, 0.4])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_loss_and_gradients_are_the_definition(count: int, share: float) -> None:
    modalities = MODALITIES[:count]
    model, batch = bm3(modalities, dropout=share, num_layers=2, content_weight=1.5), pairs(modalities)
    values = {name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()}
    expected = slow_terms(values, batch, model.config, modalities)
    found = model.training_step(batch)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-7, msg=name)
    torch.stack(list(found.values())).sum().backward()
    torch.stack(list(expected.values())).sum().backward()
    for name, parameter in model.named_parameters():
        gradient = gradient_of(parameter)
        assert gradient.any(), name
        torch.testing.assert_close(gradient, values[name].grad, rtol=1e-5, atol=1e-9, msg=name)


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_it_ranks_by_predicted_vectors(layers: int) -> None:
    model = bm3(num_layers=layers)
    values = dict(model.named_parameters())
    expected = convolved(values, layers, dense_interactions(tiny_dataset()))
    for found, rows in zip(model.embeddings(), expected, strict=True):
        torch.testing.assert_close(found, rows @ model.predictor.weight + model.predictor.bias, rtol=1e-5, atol=1e-7)
    assert model.encode().item_input is model.item_table


def test_no_negative_is_asked_for() -> None:
    """`pairs` makes batches without; a batch that has some gives the same loss."""
    model = bm3(dropout=0.0)
    with_negatives = model.training_step(make_batch(tiny_dataset(), 40))
    assert BM3.num_negatives == 0
    for name, value in model.training_step(pairs()).items():
        assert torch.equal(value, with_negatives[name])


def test_frozen_content_is_a_buffer_that_no_checkpoint_holds() -> None:
    trained, frozen = bm3(), bm3(train_content=False)
    content = [tiny_dataset().features[name].block(0, 14) for name in ("visual", "textual")]
    for table, buffer, expected in zip(trained.content_tables, frozen._content(), content, strict=True):
        torch.testing.assert_close(table.detach(), expected.double())
        torch.testing.assert_close(buffer, expected.double())
    assert not any("content" in name for name in frozen.state_dict())
    assert sum(p.numel() for p in trained.parameters()) - sum(p.numel() for p in frozen.parameters()) == 14 * (5 + 6)
    for name, value in frozen.training_step(pairs()).items():
        torch.testing.assert_close(value, trained.training_step(pairs())[name])


def test_training_leaves_the_data_set_as_it_is() -> None:
    """Trained content is a copy."""
    before = tiny_dataset().features["visual"].block(0, 14)
    model = bm3()
    model.optimize(pairs(), model.configure_optimizers(0.1))
    assert torch.equal(tiny_dataset().features["visual"].block(0, 14), before)
    assert not torch.equal(model.content_tables[0].detach(), before.double())


def test_evaluation_mode_is_deterministic() -> None:
    model = bm3(dropout=0.5)
    batch = pairs()
    assert not torch.equal(model.training_step(batch)["masking"], model.training_step(batch)["masking"])
    model.eval()
    assert torch.equal(model.training_step(batch)["masking"], model.training_step(batch)["masking"])
    assert all(map(torch.equal, model.embeddings(), model.embeddings()))


def test_a_batch_of_one_and_an_item_without_content() -> None:
    """The textual row of item 11 is missing; biases are zero at the start, and so its projection is."""
    model = build("bm3", dim=6)
    batch = Batch(torch.tensor([3]), torch.tensor([11]), None, torch.Generator().manual_seed(0))
    assert not model.get_parameter("content_tables.1")[11].any()
    torch.stack(list(model.training_step(batch).values())).sum().backward()
    for name, parameter in model.named_parameters():
        gradient = gradient_of(parameter)
        assert torch.isfinite(gradient).all() and gradient.abs().max() < 1e3, name


def test_large_scores_are_finite() -> None:
    model = bm3()
    with torch.no_grad():
        model.user_table.mul_(300)
        model.item_table.mul_(300)
    users, items = model.embeddings()
    assert (users @ items.T).abs().max() > 1e3
    assert all(torch.isfinite(value) for value in model.training_step(pairs()).values())


def test_it_learns() -> None:
    model = build("bm3", dim=8, dropout=0.3, regularization=0.0)
    optimizers = model.configure_optimizers(0.01)
    train = tiny_dataset().train
    generator = torch.Generator().manual_seed(0)
    batch = Batch(train.users, train.items, None, generator)
    losses = [sum(model.optimize(batch, optimizers).values()) for _ in range(60)]
    assert float(losses[-1]) < 0.7 * float(losses[0])
    users, items = model.eval().embeddings()
    scores = (users @ items.T).detach()
    met = dense_interactions(tiny_dataset()).bool()
    assert scores[met].mean() > scores[~met].mean()


def test_wrappers_get_the_content_terms() -> None:
    model, batch = bm3(dropout=0.0), pairs()
    kept, terms = model.auxiliary_losses(batch, model.encode()), model.training_step(batch)
    assert kept.keys() == {"alignment", "masking"}
    for name, value in kept.items():
        torch.testing.assert_close(value, terms[name])


def test_presets() -> None:
    assert make_config({"name": "bm3"}) == make_config({"name": "bm3", "preset": "original"})
    original, authors = make_config({"name": "bm3"}), make_config({"name": "bm3", "preset": "authors"})
    assert isinstance(original, BM3Config) and isinstance(authors, BM3Config)
    assert (original.num_layers, original.dropout, original.regularization) == (1, 0.5, 0.1)
    assert (authors.num_layers, authors.dropout, authors.regularization) == (2, 0.3, 0.01)
    assert preset_values({"name": "bm3", "preset": "authors"})["training.batch_size"] == 256


def test_content_is_needed() -> None:
    with pytest.raises(RecipeError, match='"bm3" needs content'):
        build("bm3", tiny_dataset(()))
