"""Cross-entropy losses that doubt observed pairs: truncated and reweighted (ADT: Wang et al., WSDM 2021), and DeCA's.

Scores are raw (logits), labels are 1 for observed pairs and 0 for sampled ones, both [n]; results are scalars in nats.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

EPSILON = 1e-5  # inside DeCA's logarithms


def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """-y ln sigmoid(s) - (1 - y) ln(1 - sigmoid(s)) of each pair [n]."""
    return binary_cross_entropy_with_logits(scores, labels, reduction="none")


def truncated_cross_entropy(scores: Tensor, labels: Tensor, *, drop_rate: float) -> Tensor:
    """Mean over the pairs that are kept: the share `drop_rate` of *all* goes, observed ones with the largest loss.

    As many observed as sampled pairs make 2 x drop_rate of the observed ones go. Which are kept carries no gradient;
    of equal losses the earlier pair is kept.
    """
    losses = cross_entropy(scores, labels)
    kept = int((1 - drop_rate) * len(losses))
    order = (labels * losses).detach().argsort(stable=True)
    return losses[order[:kept]].mean()


def reweighted_cross_entropy(scores: Tensor, labels: Tensor, *, beta: float) -> Tensor:
    """Mean of w l with w = sigmoid(s)^beta for an observed pair, (1 - sigmoid(s))^beta for another; w is constant."""
    agreement = torch.where(labels > 0, logsigmoid(scores), logsigmoid(-scores)).detach()
    return (torch.exp(beta * agreement) * cross_entropy(scores, labels)).mean()


def bernoulli_divergence(first: Tensor, second: Tensor) -> Tensor:
    """KL(Bernoulli(sigmoid(a)) || Bernoulli(sigmoid(b))) of raw scores a, b, each [n]."""
    return torch.sigmoid(first) * (_log(first) - _log(second)) + torch.sigmoid(-first) * (_log(-first) - _log(-second))


def dislike_likelihood(scores: Tensor, labels: Tensor, observed_if_disliked: Tensor, *, penalty: float) -> Tensor:
    """DeCA's term of denoising observed pairs (DP) [n], p = sigmoid(scores), phi = P(observed | disliked).

    -(1 - p) ln phi for an observed pair, -(1 - p) ln(1 - phi) + penalty p for another.
    """
    dislike = torch.sigmoid(-scores)
    observed = -dislike * _log(observed_if_disliked)
    others = -dislike * _log(-observed_if_disliked) + penalty * torch.sigmoid(scores)
    return torch.where(labels > 0, observed, others)


def like_likelihood(scores: Tensor, labels: Tensor, observed_if_liked: Tensor, *, penalty: float) -> Tensor:
    """DeCA's term of denoising unobserved pairs (DN) [n], phi = P(observed | liked).

    -p ln phi + penalty (1 - p) for an observed pair, -p ln(1 - phi) for another.
    """
    like = torch.sigmoid(scores)
    observed = -like * _log(observed_if_liked) + penalty * torch.sigmoid(-scores)
    return torch.where(labels > 0, observed, -like * _log(-observed_if_liked))


def _log(score: Tensor) -> Tensor:
    """ln(sigmoid(s) + epsilon), as in DeCA's code: never below ln epsilon, and flat where s is (-11.5)."""
    return torch.log(torch.sigmoid(score) + EPSILON)
