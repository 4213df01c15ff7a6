"""Denoised BPR: how far to trust each observed pair, and a ranking loss that uses it (Eq. 4-8).

``relation_scores`` [R, B] holds the raw scores y^m_ui = u_u . h^m_i of the batch's B positive pairs in the R item-item
relations; the sigmoid is taken inside. f (reliability) and g (contradiction) lie in [0, 1], have shape [B], and are
constants of the step: no gradient flows into them. y_n, ``negative_preference``, is the mean over the batch's sampled
items j of sigmoid(u . t_j), or in the authors' code of sigmoid(y^m_uj) over all relations too; a number, or one of each
pair [B].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def reliability(relation_scores: Tensor, *, alpha: float, beta: float, unbiased_variance: bool = False) -> Tensor:
    """f = mu^alpha * exp(-s2)^beta [B]: high where every relation likes the pair and they agree (Eq. 6).

    mu and s2 are mean and variance of sigmoid(y^m) over the relations. The paper's variance is the population's; the
    authors' code takes the unbiased one, which is defined as 0 here where there is only one relation.
    """
    preferences = torch.sigmoid(relation_scores)
    correction = 1 if unbiased_variance and len(preferences) > 1 else 0
    variance = preferences.var(dim=0, correction=correction)
    # A mean of ones can round to a little more than one.
    return (preferences.mean(dim=0).pow(alpha) * torch.exp(-beta * variance)).clamp(max=1)


@torch.no_grad()
def contradiction(relation_scores: Tensor, negative_preference: Tensor, *, gamma: float) -> Tensor:
    """g = sigmoid(max_m y^m - y_n)^gamma [B] where y_n > mu, else 0 (Eq. 7): pairs liked less than random negatives."""
    g = torch.sigmoid(relation_scores.amax(dim=0) - negative_preference).pow(gamma)
    return _where_below(g, relation_scores, negative_preference)


@torch.no_grad()
def contradiction_by_gap(relation_scores: Tensor, negative_preference: Tensor, *, gamma: float) -> Tensor:
    """The authors' g [B]: (max_m sigmoid(y^m) - y_n)^gamma, the gap clamped to [0, 1], where mu < y_n, else 0."""
    g = (torch.sigmoid(relation_scores).amax(dim=0) - negative_preference).clamp(0, 1).pow(gamma)
    return _where_below(g, relation_scores, negative_preference)


def _where_below(g: Tensor, relation_scores: Tensor, negative_preference: Tensor) -> Tensor:
    """``g`` where the pair's mean preference is below that of the negatives, 0 elsewhere."""
    return torch.where(torch.sigmoid(relation_scores).mean(dim=0) < negative_preference, g, torch.zeros_like(g))


def denoised_bpr(positive_scores: Tensor, negative_scores: Tensor, f: Tensor, g: Tensor) -> Tensor:
    """Mean of -ln( f sigmoid(x) + g (1 - sigmoid(x)) ), x = y_ui - y_uj (Eq. 8); all arguments [B], result a scalar.

    Computed as -logaddexp(ln f + ln sigmoid(x), ln g + ln sigmoid(-x)), so that value and gradient stay finite for
    large |x|. With g = 0 the gradient is BPR's whatever f is; f = 0 beside g = 0 (underflow) is taken as that limit.
    """
    f, g = f.detach(), g.detach()
    # ln 0 = -inf on one side is what the equation says, and logaddexp differentiates it rightly; on both it is NaN.
    f = torch.where(g > 0, f, f.clamp(min=torch.finfo(f.dtype).tiny))
    x = positive_scores - negative_scores
    return -torch.logaddexp(f.log() + F.logsigmoid(x), g.log() + F.logsigmoid(-x)).mean()


def posterior(f: Tensor, g: Tensor, x: Tensor) -> Tensor:
    """f sigma(x) / (f sigma(x) + g (1 - sigma(x))) in [0, 1]: how much of Eq. 8's likelihood is that of a true click.

    Shapes broadcast. Computed as sigma(ln f - ln g + x), finite for any x. With g = 0 nothing speaks against the click:
    1, also where f = 0; with f = 0 and g > 0 it is 0.
    """
    found = torch.sigmoid(f.log() - g.log() + x)
    return torch.where(g > 0, found, torch.ones_like(found))


def weighted_bpr(positive_scores: Tensor, negative_scores: Tensor, f: Tensor, g: Tensor) -> Tensor:
    """The authors' form of Eq. 8: mean of -( f ln sigmoid(x) + g ln sigmoid(-x) ); all arguments [B], result a scalar.

    By Jensen's inequality it bounds Eq. 8's loss from above wherever f + g = 1; elsewhere it is another loss.
    """
    x = positive_scores - negative_scores
    return -(f.detach() * F.logsigmoid(x) + g.detach() * F.logsigmoid(-x)).mean()
