"""MMSSL's second player: a critic that tells users' rows of similarities from rows made of their interactions.

A Wasserstein critic with a gradient penalty (Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from damrs_dgl.models.base import ModelInputs
from damrs_dgl.models.layers.dropout import dropout
from damrs_dgl.models.layers.rows import unit_rows

_SCALE = 100.0  # of the critic's output
_EPSILON = 1e-5  # of the batch normalisation


class Critic(nn.Module):
    """D: |I| -> h -> h/2 -> 1; a hidden layer is linear, LeakyReLU, batch normalisation, dropout; output 100 sigmoid.

    Batch normalisation always takes the batch's own statistics: a critic judges in training only. Weights are Kaiming-
    normal. Shapes: rows [n, I] -> [n].
    """

    def __init__(self, inputs: ModelInputs, hidden: int, dropouts: tuple[float, float]) -> None:
        super().__init__()
        self.dropouts = dropouts
        widths = (inputs.num_items, hidden, max(1, hidden // 2), 1)
        self.weights = nn.ParameterList()
        for width_in, width_out in pairwise(widths):
            drawn = torch.randn(width_in, width_out, generator=inputs.generator) * (2 / width_in) ** 0.5
            self.weights.append(nn.Parameter(drawn.to(inputs.device)))
        self.biases = nn.ParameterList(inputs.zeros(width) for width in widths[1:])
        self.scales = nn.ParameterList(nn.Parameter(torch.ones_like(bias)) for bias in self.biases[:2])
        self.shifts = nn.ParameterList(inputs.zeros(width) for width in widths[1:3])

    def project(self, rows: Tensor) -> Tensor:
        """The first linear map, [n, I] -> [n, h]."""
        return torch.addmm(self.biases[0], rows, self.weights[0])

    def judge(self, projected: Tensor, generator: torch.Generator | None) -> Tensor:
        """All that follows the first linear map, [n, h] -> [n] in (0, 100)."""
        for layer, share in enumerate(self.dropouts):
            hidden = F.leaky_relu(projected)
            variance, mean = torch.var_mean(hidden, dim=0, correction=0)
            hidden = (hidden - mean) * (variance + _EPSILON).rsqrt() * self.scales[layer] + self.shifts[layer]
            hidden = dropout(hidden, share, generator)
            projected = torch.addmm(self.biases[layer + 1], hidden, self.weights[layer + 1])
        return _SCALE * projected[:, 0].sigmoid()

    def forward(self, rows: Tensor, generator: torch.Generator | None) -> Tensor:
        return self.judge(self.project(rows), generator)

    def mean_of(self, rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """Mean judgement, differentiable in `rows` only: the generator's steps leave the critic as it is."""
        fixed = {name: value.detach() for name, value in self.named_parameters()}
        return functional_call(self, fixed, (rows, generator)).mean()

    def extra_repr(self) -> str:
        return " -> ".join(str(len(weight)) for weight in self.weights) + " -> 1"


def similarity_rows(users: Tensor, items: Tensor, seen: Tensor) -> Tensor:
    """S = rn((users items^T) * (1 - seen)), rows of length 1. Shapes: [b, d], [I, d], 0/1 [b, I] -> [b, I]."""
    return unit_rows((users @ items.T) * (1 - seen))


def real_rows(
    seen: Tensor, similarity: Tensor, *, noise: float, similarity_scale: float, generator: torch.Generator
) -> Tensor:
    """A = rn(softmax(R - noise log(-log xi)) + scale S), xi uniform: interactions with Gumbel noise, and similarities.

    Shapes: R = `seen` 0/1 [b, I], S = `similarity` [b, I] -> [b, I]. No gradient is meant to pass.
    """
    exponential = torch.empty_like(seen).exponential_(generator=generator).clamp_(min=1e-30)  # -log xi
    softened = (seen - noise * exponential.log_()).softmax(dim=1)
    return unit_rows(softened.add_(similarity, alpha=similarity_scale))


def critic_loss(
    critic: Critic, real: Tensor, generated: Tensor, *, penalty: float, generator: torch.Generator | None
) -> Tensor:
    """mean D(generated) - mean D(real) + penalty mean_r (||grad D(mix_r)||_2 - 1)^2, a scalar.

    mix_r = t real_r + (1 - t) generated_r, t uniform per row. Shapes: real [b, I], generated [M b, I]: M blocks of the
    same b users. D is f(x W_1 + b_1), so the mix is taken of the projections, and with g the gradient of f there the
    gradient by a row is W_1 g, of squared length g^T (W_1^T W_1) g: no further tensor as wide as the catalogue is made.
    """
    real_projected, generated_projected = critic.project(real), critic.project(generated)
    judged = critic.judge(generated_projected, generator).mean() - critic.judge(real_projected, generator).mean()
    share = torch.rand(len(generated), 1, generator=generator, dtype=real.dtype, device=real.device)
    blended = share * real_projected.repeat(len(generated) // len(real), 1) + (1 - share) * generated_projected
    (slope,) = torch.autograd.grad(critic.judge(blended, generator).sum(), blended, create_graph=True)
    first = critic.weights[0]
    length = ((slope @ (first.T @ first)) * slope).sum(dim=1).clamp(min=1e-20).sqrt()
    return judged + penalty * (length - 1).square().mean()
