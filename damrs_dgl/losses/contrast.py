"""InfoNCE: tell each anchor's own counterpart among many candidates, in blocks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import normalize

BLOCK_VALUES = 2**21  # logits at a time: 8 MiB of float32


def info_nce(
    anchors: Tensor,
    candidates: Tensor,
    positives: Tensor | None = None,
    *,
    temperature: float,
    weights: Tensor | None = None,
    counts: Tensor | None = None,
    own_once: bool = False,
) -> Tensor:
    """mean_r -log softmax_c(cos(a_r, c) / temperature) at c = positives[r] (van den Oord et al., 2018).

    Parameters
    ----------
    anchors: [B, d].  candidates: [C, d].
    positives: int64 [B], each anchor's own candidate; None: the r-th, with C >= B.
    temperature: of the cosines, above 0.
    weights, counts, own_once: as in `softmax_contrast`.

    Returns a scalar in nats. No [B, C] matrix is kept: logits are made in blocks, and the gradients with them.
    """
    if positives is None:
        positives = torch.arange(len(anchors), device=anchors.device)
    unit_anchors, unit_candidates = normalize(anchors, dim=1) / temperature, normalize(candidates, dim=1)
    return softmax_contrast(unit_anchors, unit_candidates, positives, weights=weights, counts=counts, own_once=own_once)


def symmetric_info_nce(anchors: Tensor, counterparts: Tensor, *, temperature: float) -> Tensor:
    """InfoNCE whose candidates are the counterparts and the other anchors (GRACE: Zhu et al., 2020; MMSSL, MICRO).

    mean_r -log( e(a_r, c_r) / (sum_c e(a_r, c) + sum_{s != r} e(a_r, a_s)) ), e(x, y) = exp(cos(x, y) / temperature).
    Shapes: [B, d], [B, d] -> a scalar in nats.
    """
    own = torch.arange(len(anchors), device=anchors.device)
    unit_anchors, unit_counterparts = normalize(anchors, dim=1), normalize(counterparts, dim=1)
    candidates = torch.cat([unit_counterparts, unit_anchors])
    return softmax_contrast(unit_anchors / temperature, candidates, own, excluded=own + len(anchors))


def softmax_contrast(
    anchors: Tensor,
    candidates: Tensor,
    positives: Tensor,
    *,
    excluded: Tensor | None = None,
    weights: Tensor | None = None,
    counts: Tensor | None = None,
    own_once: bool = False,
) -> Tensor:
    """sum_r w_r (-log softmax_c(a_r . c) at c = positives[r]), by default the mean.

    Parameters
    ----------
    anchors: [B, d].  candidates: [C, d].  positives: int64 [B].
    excluded: int64 [B], a candidate that r does not see.
    weights: [B], w_r; rows that are alike can be one with their number's share. None: 1 / B each.
    counts: int64 [C], how often each candidate counts in the sum over the candidates. None: once each.
    own_once: an anchor's positive counts once for it, whatever its count.

    Returns a scalar in nats. Once differentiable, in `anchors` and `candidates`.
    """
    if weights is None:
        weights = anchors.new_full((len(anchors),), 1 / max(len(anchors), 1))
    more = None if counts is None else counts.to(anchors.dtype).log()
    return _SoftmaxContrast.apply(anchors, candidates, positives, excluded, weights, more, own_once)


class _SoftmaxContrast(torch.autograd.Function):
    """The gradients, softmax minus one-hot times the other side, are made beside the value, a block of anchors a time.

    d loss / d a_r = w_r (sum_c p_rc c - c_pos) and d loss / d c = sum_r w_r (p_rc - [c = pos_r]) a_r. `more` [C] is
    added to the logits of all anchors.
    """

    @staticmethod
    def forward(
        ctx: Any,
        anchors: Tensor,
        candidates: Tensor,
        positives: Tensor,
        excluded: Tensor | None,
        weights: Tensor,
        more: Tensor | None,
        own_once: bool,
    ) -> Tensor:
        """The loss, a scalar; both gradients are kept for `backward`. Arguments as in `softmax_contrast`."""
        anchor_grad, candidate_grad = torch.empty_like(anchors), torch.zeros_like(candidates)
        rows = max(1, BLOCK_VALUES // max(len(candidates), 1))
        loss = anchors.new_zeros((), dtype=torch.float64)
        for start in range(0, len(anchors), rows):
            block = slice(start, start + rows)
            part, own = anchors[block], positives[block]
            place = torch.arange(len(part), device=part.device)
            logits = part @ candidates.T
            positive = logits[place, own]
            if more is not None:
                logits += more
                if own_once:
                    logits[place, own] = positive
            if excluded is not None:
                logits[place, excluded[block]] = -torch.inf
            highest = logits.amax(dim=1, keepdim=True)
            shares = logits.sub_(highest).exp_()  # not yet divided by their sum: the smaller factors are
            total = shares.sum(dim=1, keepdim=True)
            weight = weights[block, None]
            loss += ((total.log() + highest)[:, 0] - positive).double() @ weights[block].double()
            torch.mm(shares, candidates, out=anchor_grad[block]).div_(total).sub_(candidates[own]).mul_(weight)
            candidate_grad.addmm_(shares.T, part * (weight / total))
        candidate_grad.index_add_(0, positives, anchors * weights[:, None], alpha=-1)
        ctx.save_for_backward(anchor_grad, candidate_grad)
        return loss.to(anchors.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """The kept gradients times that of the loss; none for what is no table."""
        anchor_grad, candidate_grad = ctx.saved_tensors
        return grads[0] * anchor_grad, grads[0] * candidate_grad, None, None, None, None, None
