"""DA-MRS's loss terms with ordinary torch operations over whole matrices: the slow side of the training benchmark.

The same equations as damrs_dgl/losses (Eq. 6-11 of the paper), for both variants, all item relations and modalities,
strategy "AI". Every matrix is made once and used for all that needs it; autograd keeps what it asks for. Nothing of
damrs_dgl computes here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def confidences(
    positive: Tensor,
    negative: Tensor,
    negative_scores: Tensor,
    *,
    authors: bool,
    gap: bool,
    alpha: float,
    beta: float,
    gamma: float,
) -> tuple[Tensor, Tensor]:
    """f and g of each pair, [B] each (Eq. 6-7), constants of the step.

    positive, negative: scores y^m of the positive and the negative items in the R relations, [R, B];
    negative_scores: of the fused negative items, [B].
    """
    liked = torch.sigmoid(positive)
    mean = liked.mean(dim=0)
    variance = liked.var(dim=0, correction=1 if authors and len(liked) > 1 else 0)
    f = mean**alpha * torch.exp(-variance) ** beta
    level = torch.sigmoid(negative if authors else negative_scores).mean()
    if gap:
        g = (liked.amax(dim=0) - level).clamp(0, 1) ** gamma
    else:
        g = torch.sigmoid(positive.amax(dim=0) - level) ** gamma
    return f, torch.where(mean < level, g, torch.zeros_like(g))


def denoised_bpr(positive_scores: Tensor, negative_scores: Tensor, f: Tensor, g: Tensor, *, authors: bool) -> Tensor:
    """Eq. 8 or the authors' weighted form; all [B], result a scalar."""
    x = positive_scores - negative_scores
    if authors:
        return -(f * F.logsigmoid(x) + g * F.logsigmoid(-x)).mean()
    return -torch.logaddexp(f.log() + F.logsigmoid(x), g.log() + F.logsigmoid(-x)).mean()


def preference_alignment(users: Tensor, content: Tensor, id_items: Tensor) -> Tensor:
    """Eq. 9-10: mean over users [A, d] of both divergences between the softmaxes over all items [I, d]."""
    log_p = torch.log_softmax(users @ content.T, dim=1)
    log_q = torch.log_softmax(users @ id_items.T, dim=1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=1).mean()


def bernoulli_preference_alignment(users: Tensor, content: Tensor, id_items: Tensor) -> Tensor:
    """The authors' form: mean over users [A, d] and items [J, d], rows of which are normalised here."""
    a = users @ F.normalize(content, dim=1).T
    b = users @ F.normalize(id_items, dim=1).T
    return ((torch.sigmoid(a) - torch.sigmoid(b)) * (a - b)).mean()


def item_relation_alignment(
    relations: Sequence[Tensor], anchors: Tensor, *, k: int, temperature: float, all_candidates: bool, epsilon: float
) -> Tensor:
    """Eq. 11, averaged over anchors [A] (the batch's distinct items) and relations, R tables [I, d].

    The cosines [A, I] of a relation serve the graded sets (without gradient) and the contrast (with). The dissimilar
    items are the batch's, or all, less those of the two sets; `epsilon` stands inside the logarithms.
    """
    tables = [F.normalize(table, dim=1) for table in relations]
    cosines = [table[anchors] @ table.T for table in tables]
    pool = torch.ones_like(cosines[0][0])
    if not all_candidates:
        pool = torch.zeros_like(pool).index_fill_(0, anchors, 1.0)
    losses = []
    for cosine, (similar, less_similar) in zip(cosines, graded_sets(cosines, k), strict=True):
        phi = torch.exp(cosine / temperature)
        members = torch.cat([similar, less_similar], dim=1)
        near = phi.gather(1, members)
        r, t = near[:, :k].sum(dim=1), near[:, k:].sum(dim=1)
        n = phi @ pool - (near * pool[members]).sum(dim=1)
        losses.append(-torch.log(r / (r + t + n) + epsilon) - torch.log(t / (t + n) + epsilon))
    return torch.stack(losses).mean()


@torch.no_grad()
def graded_sets(cosines: Sequence[Tensor], k: int) -> list[tuple[Tensor, Tensor]]:
    """The k similar and the k less similar items [A, k] of each anchor in each relation, from its cosines [A, I]."""
    shares = [torch.softmax(cosine, dim=1) for cosine in cosines]
    total = sum(shares)
    sets = []
    for share in shares:
        similar = torch.topk(share + total, k, dim=1).indices
        sets.append((similar, torch.topk(share.scatter(1, similar, -1.0), k, dim=1).indices))
    return sets
