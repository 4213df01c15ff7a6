"""GRCN against its definition written out edge by edge, in dense matrices."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.errors import RecipeError
from damrs_dgl.models.base import Batch
from damrs_dgl.models.grcn import GRCN, GRCNConfig
from damrs_dgl.models.specification.tables import make_config, preset_values
from tests.models.builders import build, dense_interactions, make_batch, tiny_dataset
from tests.models.steps import assert_finite_step, assert_same_step, draw_biases, train

THREE = ("visual", "textual", "acoustic")


def unit(x: Tensor) -> Tensor:
    length = x.square().sum(1, keepdim=True).sqrt()
    return x / torch.where(length > 0, length, torch.ones_like(length))


def attention(scores: Tensor, clicks: Tensor) -> Tensor:
    """The softmax of each row over its clicks; zeros in a row without."""
    weights = torch.where(clicks > 0, scores.exp(), torch.zeros_like(scores))
    return weights / weights.sum(1, keepdim=True).clamp(min=1e-300)


def ranked_by(model: GRCN, data: MultimodalDataset) -> tuple[Tensor, Tensor]:
    """The vectors of users and items, by [U, I] matrices."""
    clicks = dense_interactions(data)
    user_trust, item_trust = model.confidence.split([data.num_users, data.num_items])
    users, items, to_users, to_items = [], [], [], []
    for m, (part, modality) in enumerate(zip(model.refinements, data.modalities, strict=True)):
        content = data.features[modality].block(0, data.num_items).double()
        projected = content @ part.projection.weight + part.projection.bias
        f = unit(torch.where(projected > 0, projected, 0.01 * projected))
        p = unit(part.preference)
        for _ in range(model.config.num_routings if model.config.route_to_users else 0):
            p = unit(p + attention(p @ f.T, clicks) @ f)
        of_users, of_items = attention(p @ f.T, clicks), attention(f @ p.T, clicks.T)
        users.append(p + of_users @ f)
        items.append(f + of_items @ p)
        to_users.append(of_users * item_trust[:, m])
        to_items.append(of_items * user_trust[:, m])
    into_users = torch.stack(to_users).amax(0).clamp(min=0) * clicks
    into_items = torch.stack(to_items).amax(0).clamp(min=0) * clicks.T
    x0_users, x0_items = unit(model.user_table), unit(model.item_table)
    x1_users, x1_items = into_users @ x0_items, into_items @ x0_users
    x2_users, x2_items = into_users @ x1_items, into_items @ x1_users
    return torch.cat([x0_users + x1_users + x2_users, *users], 1), torch.cat(
        [x0_items + x1_items + x2_items, *items], 1
    )


def written_out(model: GRCN, data: MultimodalDataset, batch: Batch) -> dict[str, Tensor]:
    users, items = ranked_by(model, data)
    margin = (users[batch.users] * (items[batch.positive_items] - items[batch.negative_items])).sum(1)
    pair_users, pair_items = batch.users.repeat(2), torch.cat([batch.positive_items, batch.negative_items])
    squares = (model.user_table[pair_users] ** 2 + model.item_table[pair_items] ** 2).mean()
    squares = squares + sum((part.preference[pair_users] ** 2).mean() for part in model.refinements)
    return {
        "feedback": -torch.sigmoid(margin).log().mean(),
        "regularization": model.config.regularization * squares,
    }


@pytest.mark.parametrize("modalities", [("visual", "textual"), ("textual",), THREE], ids=len)
@pytest.mark.parametrize("route", [True, False])
def test_step_is_the_definition(modalities: tuple[str, ...], route: bool) -> None:
    data = tiny_dataset(modalities)
    model = build("grcn", data, dim=4, regularization=0.1, route_to_users=route).double()
    draw_biases(model)
    users, items = model.embeddings()
    assert users.shape == (16, 4 * (1 + len(modalities))) and items.shape == (14, 4 * (1 + len(modalities)))
    assert_same_step(model, make_batch(data), lambda batch: written_out(model, data, batch))


def test_edges_are_pruned() -> None:
    """Some weights are negative before the rectifier, and differ by direction: else the tests above miss it."""
    data = tiny_dataset()
    model = build("grcn", data, dim=4)
    seen: list[Tensor] = []
    propagate = model._propagate
    model._propagate = lambda *weights: (seen.extend(weights), propagate(*weights))[1]  # type: ignore[method-assign]
    model.encode()
    to_users, to_items = seen
    for weights in seen:
        assert (weights == 0).any() and (weights > 0).any()
    assert not torch.allclose(to_users, to_items)


@pytest.mark.parametrize("route", [True, False])
def test_equal_content_is_attended_uniformly(route: bool) -> None:
    """With one vector for all items, whatever users prefer."""
    data = tiny_dataset(("visual",))
    model = build("grcn", data, dim=4, route_to_users=route).double()
    (part,) = model.refinements
    part.features.copy_(torch.arange(1.0, part.features.shape[1] + 1).expand_as(part.features))
    _, _, by_user, _ = part(model.edges, 3 if route else 0)
    degrees = dense_interactions(data).sum(1)
    assert torch.allclose(by_user, 1 / degrees[model.edges.targets])


def test_routing_moves_users_towards_what_they_chose() -> None:
    data = tiny_dataset()
    clicks = dense_interactions(data).float()
    closeness = []
    for rounds in (0, 1, 3):
        model = build("grcn", data, dim=4, num_routings=rounds)
        part = model.refinements[0]
        contents = unit(torch.nn.functional.leaky_relu(part.projection(part.features)))
        gathered, _, by_user, _ = part(model.edges, rounds)
        prototypes = gathered - model.edges.sum_to_targets(by_user, contents)
        closeness.append(torch.cosine_similarity(prototypes, clicks @ contents).mean().item())
    assert closeness[0] < closeness[1] < closeness[2]


def test_parameters_are_counted() -> None:
    model = build("grcn", dim=4)
    expected = (16 + 14) * (4 + 2) + 2 * 16 * 4 + (5 + 6 + 2) * 4
    assert sum(parameter.numel() for parameter in model.parameters()) == expected
    deviation = float(build("grcn", tiny_dataset(users=400), dim=4).confidence.detach().std())
    assert abs(deviation - (2 / (414 + 2)) ** 0.5) < 0.1 * deviation  # Xavier-normal


def test_what_damrs_convolves_has_the_width_that_ranks() -> None:
    encoded = build("grcn", dim=4).encode()
    assert encoded.item_input is encoded.items and encoded.items.shape[1] == 12


def test_it_learns() -> None:
    data = tiny_dataset()
    losses = train(build("grcn", data, dim=8), [make_batch(data, 40)])
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("size", [1, 12])
def test_finite_with_items_without_content_or_clicks(size: int) -> None:
    data = tiny_dataset()
    assert any(not data.features[name].block(0, data.num_items).any(1).all() for name in data.modalities)
    assert_finite_step(build("grcn", data, dim=4), make_batch(data, size))


def test_large_scores_stay_finite() -> None:
    model = build("grcn", dim=4)
    with torch.no_grad():
        model.confidence.mul_(1e3)
    users, items = model.embeddings()
    assert (users @ items.T).abs().max() > 1e3
    assert_finite_step(model, make_batch(tiny_dataset()))


def test_presets() -> None:
    original, authors = (make_config({"name": "grcn", "preset": preset}) for preset in ("original", "authors"))
    assert isinstance(original, GRCNConfig) and isinstance(authors, GRCNConfig)
    assert original == make_config({"name": "grcn"})
    assert original.route_to_users and not authors.route_to_users
    assert (original.num_routings, authors.regularization) == (3, 0.0)
    values = preset_values({"name": "grcn", "preset": "authors"})
    assert values["training.learning_rate"] == 1e-4 and values["training.batch_size"] == 256


def test_it_needs_content() -> None:
    with pytest.raises(RecipeError, match='"grcn" needs content'):
        build("grcn", tiny_dataset(()))
