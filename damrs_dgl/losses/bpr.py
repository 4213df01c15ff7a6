"""Bayesian personalised ranking, its form with many items at once, and the two norms that systems put beside it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def bpr(positive_scores: Tensor, negative_scores: Tensor) -> Tensor:
    """Mean of -ln sigmoid(x) over the batch, x = y_ui - y_uj (Rendle et al., 2009; Eq. 8 with f = 1 and g = 0).

    ``positive_scores`` and ``negative_scores`` are raw scores [B]; the result is a scalar in nats per pair.
    """
    return -F.logsigmoid(positive_scores - negative_scores).mean()


def sampled_softmax(positive_scores: Tensor, candidate_scores: Tensor, own: Tensor, weights: Tensor) -> Tensor:
    """Mean of -w ln( e^{y_ui} / (e^{y_ui} + sum_j e^{y_uj}) ): a click against many items at once.

    ``positive_scores`` and ``weights`` [B]; ``candidate_scores`` [B, C] of items j; ``own`` bool [B, C] is where a
    candidate is the click's own item, which is left out (one of each row at least is not). The result is a scalar in
    nats. With one other candidate it is BPR. Source: Wu et al., On the effectiveness of sampled softmax loss for item
    recommendation, TOIS 2024.
    """
    others = candidate_scores.masked_fill(own, -torch.inf).logsumexp(dim=1)
    return (weights * F.softplus(others - positive_scores)).mean()


def squared_norm(*rows: Tensor) -> Tensor:
    """Half the squared norm of all `rows` ([n, d]) over the first one's n, the batch's pairs: ||Theta||^2 of Eq. 8."""
    return torch.stack([part.square().sum() for part in rows]).sum() / (2 * rows[0].shape[0])


def norm_sum(*rows: Tensor) -> Tensor:
    """Sum of the Frobenius norms of all `rows` ([n, d]) over the first one's n: not squared, as in MMRec's EmbLoss."""
    return torch.stack([torch.linalg.vector_norm(part) for part in rows]).sum() / rows[0].shape[0]
