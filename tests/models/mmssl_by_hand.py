"""MMSSL written out: dense matrices, loops over users, heads and modalities, no code of the package's.

Random draws come in the order that the model documents by its code: content dropout by modality; the exponentials of
the real rows; then of each judgement (generated, real, mixed) the two dropouts, the mixed one's shares before them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, logsigmoid

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.models.base import Batch
from damrs_dgl.models.layers.dropout import kept_entries
from tests.models.builders import dense_interactions

Values = dict[str, Tensor]
Draws = torch.Generator | None


def same_draws(batch: Batch) -> torch.Generator:
    generator = torch.Generator()
    generator.set_state(batch.generator.get_state())
    return generator


def dropped(x: Tensor, share: float, draws: Draws) -> Tensor:
    if draws is None or not share:
        return x
    return x * kept_entries(x, share, draws) / (1 - share)


def unit(x: Tensor) -> Tensor:
    length = x.square().sum(1, keepdim=True)
    return torch.where(length > 0, x / length.where(length > 0, torch.ones_like(length)).sqrt(), x)


def half(matrix: Tensor) -> Tensor:
    """Rows of 0/1 divided by the square root of how many ones they have."""
    return matrix / matrix.sum(1, keepdim=True).clamp(min=1).sqrt()


def content_by_hand(values: Values, model: Any, data: MultimodalDataset, draws: Draws) -> list[tuple[Tensor, Tensor]]:
    interactions, found = dense_interactions(data), []
    for m, name in enumerate(data.modalities):
        features = data.features[name].block(0, data.num_items).double()
        items = features @ values[f"projections.{m}.weight"] + values[f"projections.{m}.bias"]
        items = dropped(items, model.config.dropout, draws)
        for _ in range(model.config.content_layers):
            users = half(interactions) @ items
            items = half(interactions.T) @ users
        found.append((users, items))
    return found


def attended(values: Values, heads: int, modalities: list[Tensor]) -> Tensor:
    dim = modalities[0].shape[1]
    width, outputs = dim // heads, []
    for asking in modalities:
        parts = []
        for head in range(heads):
            columns = slice(head * width, (head + 1) * width)
            query = asking @ values["attention.query"][:, columns]
            logits = [
                (query * (other @ values["attention.key"][:, columns])).sum(1) / width**0.5 for other in modalities
            ]
            weights = torch.stack(logits).softmax(0)
            parts.append(sum(w[:, None] * other for w, other in zip(weights, modalities, strict=True)))
        outputs.append(torch.cat(parts, dim=1) @ values["attention.output"])
    return sum(outputs) / len(outputs)  # type: ignore[return-value]


def final_by_hand(
    values: Values, model: Any, data: MultimodalDataset, content: list[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Final users and items, and y^m of the users."""
    config, interactions = model.config, dense_interactions(data)
    learned_users, learned_items = [], []
    for edges in model.learned_edges:
        graph = torch.zeros_like(interactions)
        for user, items in enumerate(edges.tolist()):
            for item in items:
                if item >= 0:
                    graph[user, item] = 1
        learned_users.append(half(graph) @ values["item_table"])
        learned_items.append(half(graph.T) @ values["user_table"])
    users = values["user_table"] + config.attention_rate * unit(attended(values, config.num_heads, learned_users))
    items = values["item_table"] + config.attention_rate * unit(attended(values, config.num_heads, learned_items))
    all_users, all_items = [users], [items]
    for layer in range(config.num_layers):
        users = half(interactions) @ items
        users = users.softmax(1) if layer == config.num_layers - 1 else users
        items = half(interactions.T) @ users
        items = items.softmax(1) if layer == config.num_layers - 1 else items
        all_users.append(users)
        all_items.append(items)
    users, items = torch.stack(all_users).mean(0), torch.stack(all_items).mean(0)
    users = users + config.content_rate * sum(unit(side) for side, _ in content)
    items = items + config.content_rate * sum(unit(side) for _, side in content)
    return users, items, learned_users


def contrast_by_hand(anchors: Tensor, counterparts: Tensor, temperature: float) -> Tensor:
    anchors, counterparts = unit(anchors), unit(counterparts)
    losses = []
    for r, anchor in enumerate(anchors):
        others = torch.cat([counterparts, anchors[:r], anchors[r + 1 :]])
        losses.append(torch.logsumexp(others @ anchor / temperature, 0) - counterparts[r] @ anchor / temperature)
    return torch.stack(losses).mean()


def judged(values: Values, model: Any, rows: Tensor, draws: Draws) -> Tensor:
    config, hidden = model.config, rows
    for layer, share in enumerate((config.critic_first_dropout, config.critic_second_dropout)):
        hidden = hidden @ values[f"critic.weights.{layer}"] + values[f"critic.biases.{layer}"]
        hidden = leaky_relu(hidden, 0.01)
        mean = hidden.mean(0)
        variance = (hidden - mean).square().mean(0)
        hidden = (hidden - mean) / (variance + 1e-5).sqrt()
        hidden = dropped(hidden * values[f"critic.scales.{layer}"] + values[f"critic.shifts.{layer}"], share, draws)
    return 100 * torch.sigmoid(hidden @ values["critic.weights.2"] + values["critic.biases.2"])[:, 0]


def similarities(users: Tensor, items: Tensor, seen: Tensor) -> Tensor:
    return unit((users @ items.T).masked_fill(seen.bool(), 0.0))


def critic_users(model: Any, batch: Batch) -> list[int]:
    return sorted(set(batch.users[: model.config.critic_users].tolist()))


def terms_by_hand(values: Values, model: Any, batch: Batch, data: MultimodalDataset) -> Values:
    assert batch.negative_items is not None
    config, draws = model.config, same_draws(batch)
    content = content_by_hand(values, model, data, draws)
    users, items, learned = final_by_hand(values, model, data, content)
    u, i, j = users[batch.users], items[batch.positive_items], items[batch.negative_items]
    squares = u.square().sum() + i.square().sum() + j.square().sum()
    distinct = sorted(set(batch.users.tolist()))
    contrast = sum(contrast_by_hand(y[distinct], users[distinct], config.temperature) for y in learned)
    content_squares = sum(x.square().sum() + y.square().sum() for x, y in content)
    chosen = critic_users(model, batch)
    seen = dense_interactions(data)[chosen]
    rows = torch.cat([similarities(x[chosen], y, seen) for x, y in content])
    return {
        "feedback": -logsigmoid((u * i).sum(1) - (u * j).sum(1)).mean(),
        "regularization": config.regularization / (2 * len(u)) * squares,
        "contrast": config.contrast_weight * contrast,
        "content_regularization": config.content_regularization / (2 * data.num_items) * content_squares,
        "adversarial": -config.adversarial_weight * judged(values, model, rows, draws).mean(),
    }


def critic_loss_by_hand(values: Values, model: Any, batch: Batch, data: MultimodalDataset) -> Tensor:
    config, draws = model.config, same_draws(batch)
    chosen = critic_users(model, batch)
    seen = dense_interactions(data)[chosen]
    with torch.no_grad():
        content = content_by_hand(values, model, data, draws)
        users, items, _ = final_by_hand(values, model, data, content)
        generated = torch.cat([similarities(x[chosen], y, seen) for x, y in content])
        exponential = torch.empty_like(seen).exponential_(generator=draws)
        softened = (seen - config.real_noise * torch.log(exponential)).softmax(1)
        real = unit(softened + config.real_similarity * similarities(users[chosen], items, seen))
    of_generated = judged(values, model, generated, draws).mean()
    of_real = judged(values, model, real, draws).mean()
    share = torch.rand(len(generated), 1, generator=draws, dtype=torch.float64)
    mixed = share * torch.cat([real] * len(content)) + (1 - share) * generated
    mixed.requires_grad_()
    (gradient,) = torch.autograd.grad(judged(values, model, mixed, draws).sum(), mixed, create_graph=True)
    penalty = (gradient.square().sum(1).sqrt() - 1).square().mean()
    return of_generated - of_real + config.gradient_penalty * penalty
