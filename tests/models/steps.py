"""A training step against the same step written out, values and gradients of every parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from damrs_dgl.models.base import Batch, RankingModel


def assert_same_step(model: RankingModel, batch: Batch, written_out: Callable[[Batch], Mapping[str, Tensor]]) -> None:
    """`model` is in float64; node degrees are kept in float32, hence the tolerance."""
    parameters = dict(model.named_parameters())
    found = model.training_step(batch)
    expected = written_out(batch)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert torch.allclose(value, expected[name], rtol=1e-6, atol=1e-8), name
    mine, theirs = (
        torch.autograd.grad(torch.stack(list(terms.values())).sum(), list(parameters.values()))
        for terms in (found, expected)
    )
    for name, own, other in zip(parameters, mine, theirs, strict=True):
        assert own.any(), f"{name} gets no gradient"
        assert torch.allclose(own, other, rtol=1e-5, atol=1e-6 * float(other.abs().max())), name


def draw_biases(model: RankingModel, *, seed: int = 7) -> None:
    """Biases start at zero, where a wrong one would not be seen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-0.5, 0.5, generator=generator)


def assert_finite_step(model: RankingModel, batch: Batch) -> None:
    """The terms, every gradient, and what ranks."""
    terms = model.training_step(batch)
    torch.stack(list(terms.values())).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
    model.eval()
    first, second = model.embeddings(), model.embeddings()
    for one, other in zip(first, second, strict=True):
        assert torch.isfinite(one).all() and torch.equal(one, other)


def train(model: RankingModel, batches: list[Batch], *, learning_rate: float = 0.02, epochs: int = 30) -> list[float]:
    """Some steps; the summed terms of each epoch."""
    optimizers = model.configure_optimizers(learning_rate)
    return [
        sum(float(value) for batch in batches for value in model.optimize(batch, optimizers).values())
        for _ in range(epochs)
    ]
