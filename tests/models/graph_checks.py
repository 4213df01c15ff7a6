"""What the tests of the collaborative graph systems (NGCF, SGL, SimGCL) have in common."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from damrs_dgl.models.base import Batch, RankingModel
from tests.models.builders import build, make_batch, tiny_dataset


def step(model: RankingModel, batch: Batch) -> dict[str, Tensor]:
    """The terms of a training step, after a backward pass through their sum."""
    model.zero_grad()
    terms = model.training_step(batch)
    torch.stack(list(terms.values())).sum().backward()
    return terms


def double_copies(model: RankingModel) -> dict[str, Tensor]:
    """The parameters by name in float64, apart from the model, to differentiate a written-out form by."""
    return {name: value.detach().double().requires_grad_() for name, value in model.named_parameters()}


def assert_step_equals(
    model: RankingModel, batch: Batch, expected: dict[str, Tensor], copies: dict[str, Tensor]
) -> None:
    """The terms, and the gradients of their sum, are those of the written-out form."""
    terms = step(model, batch)
    assert list(terms) == list(expected)
    for name, value in expected.items():
        # The factors d^-1/2 are float32; everything else is float64.
        assert torch.allclose(terms[name], value, rtol=2e-6, atol=1e-9), name
    torch.stack(list(expected.values())).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
        assert torch.allclose(parameter.grad, copies[name].grad, rtol=2e-5, atol=1e-8), name


def softplus_bpr(users: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """mean log(1 + exp(s_uj - s_ui)) of rows."""
    return (1 + (users * negative - users * positive).sum(1).exp()).log().mean()


def dense_nce(anchors: Tensor, candidates: Tensor, positives: Tensor, temperature: float) -> Tensor:
    """InfoNCE of cosines, row by row."""
    terms = []
    for anchor, positive in zip(anchors, positives.tolist(), strict=True):
        cosines = torch.stack([anchor @ c / (anchor.norm() * c.norm()) for c in candidates])
        terms.append(-torch.log((cosines[positive] / temperature).exp() / (cosines / temperature).exp().sum()))
    return torch.stack(terms).mean()


def check_edge_cases(name: str, **keys: Any) -> None:
    """No content, one and three modalities; a batch of one; scores up to 1e4: terms and gradients stay finite."""
    for modalities in ((), ("visual",), ("visual", "textual", "acoustic")):
        dataset = tiny_dataset(modalities)
        for size, scale in ((12, 1.0), (1, 1.0), (12, 300.0)):
            model = build(name, dataset, dim=8, **keys)
            with torch.no_grad():
                for table in model.tables() or ():
                    table.mul_(scale)
            model.on_epoch_start(1, torch.Generator().manual_seed(1))
            terms = step(model, make_batch(dataset, size, model=model))
            assert all(torch.isfinite(value) for value in terms.values())
            assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
            users, items = model.embeddings()
            assert torch.isfinite(users).all() and torch.isfinite(items).all()


def check_determinism(name: str, **keys: Any) -> None:
    """Evaluation draws nothing; the same seeds make the same step, other draws another."""
    dataset = tiny_dataset()
    models = [build(name, dataset, dim=8, **keys) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        model.on_epoch_start(1, torch.Generator().manual_seed(seed))
        batch = make_batch(dataset, model=model)
        batch.generator.manual_seed(seed)
        step(model, batch)
    first, same, other = ([p.grad for p in model.parameters()] for model in models)
    assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    model = models[0].eval()
    with torch.no_grad():
        once, again = model.embeddings(), model.embeddings()
    assert torch.equal(once.users, again.users) and torch.equal(once.items, again.items)


def check_learns(name: str, **keys: Any) -> None:
    """A few epochs rank the training pairs above the rest."""
    dataset = tiny_dataset()
    model = build(name, dataset, dim=8, **keys)
    optimizers = model.configure_optimizers(0.05)
    losses = []
    for epoch in range(1, 31):
        model.on_epoch_start(epoch, torch.Generator().manual_seed(epoch))
        terms = model.optimize(make_batch(dataset, 64, seed=epoch, model=model), optimizers)
        losses.append(float(terms["feedback"]))
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
