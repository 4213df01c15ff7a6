"""InfoNCE: tell each anchor's own counterpart among many candidates, in blocks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import normalize

BLOCK_VALUES = 2**22  # logits at a time: 16 MiB of float32


def info_nce(
    anchors: Tensor,
    candidates: Tensor,
    positives: Tensor | None = None,
    *,
    temperature: float,
    groups: Tensor | None = None,
) -> Tensor:
    """mean_r -log softmax_c(cos(a_r, c) / temperature) at c = positives[r] (van den Oord et al., 2018).

    Parameters
    ----------
    anchors: [B, d].  candidates: [C, d].
    positives: int64 [B], each anchor's own candidate; None: the r-th, with C >= B.
    temperature: of the cosines, above 0.
    groups: int64 [C], which candidates stand for the same thing; an anchor does not see others of its positive's group.

    Returns a scalar in nats. No [B, C] matrix is kept: logits are made in blocks, and the gradients with them.
    """
    if positives is None:
        positives = torch.arange(len(anchors), device=anchors.device)
    unit_anchors, unit_candidates = normalize(anchors, dim=1), normalize(candidates, dim=1)
    return softmax_contrast(unit_anchors / temperature, unit_candidates, positives, groups=groups)


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
    groups: Tensor | None = None,
) -> Tensor:
    """mean_r -log softmax_c(a_r . c) at c = positives[r]; `excluded` int64 [B]: a candidate that r does not see.

    Shapes: [B, d], [C, d], int64 [B] -> a scalar. Once differentiable, in `anchors` and `candidates`.
    groups: as in `info_nce`.
    """
    return _SoftmaxContrast.apply(anchors, candidates, positives, excluded, groups)


class _SoftmaxContrast(torch.autograd.Function):
    """The gradients, softmax minus one-hot times the other side, are made beside the value, a block of anchors a time.

    d loss / d a_r = (sum_c p_rc c - c_pos) / B and d loss / d c = sum_r (p_rc - [c = pos_r]) a_r / B.
    """

    @staticmethod
    def forward(
        ctx: Any,
        anchors: Tensor,
        candidates: Tensor,
        positives: Tensor,
        excluded: Tensor | None,
        groups: Tensor | None,
    ) -> Tensor:
        size = len(anchors)
        anchor_grad, candidate_grad = torch.empty_like(anchors), torch.zeros_like(candidates)
        rows = max(1, BLOCK_VALUES // max(len(candidates), 1))
        loss = anchors.new_zeros((), dtype=torch.float64)
        for start in range(0, size, rows):
            block = slice(start, start + rows)
            part = anchors[block]
            own = torch.arange(len(part), device=part.device)
            logits = part @ candidates.T
            if excluded is not None:
                logits[own, excluded[block]] = -torch.inf
            if groups is not None:
                others = groups[positives[block], None] == groups
                others[own, positives[block]] = False
                logits.masked_fill_(others, -torch.inf)
            normalizer = logits.logsumexp(dim=1, keepdim=True)
            loss += (normalizer[:, 0] - logits[own, positives[block]]).sum()
            shares = logits.sub_(normalizer).exp_()
            shares[own, positives[block]] -= 1
            anchor_grad[block] = shares @ candidates
            candidate_grad.addmm_(shares.T, part)
        ctx.save_for_backward(anchor_grad.div_(size), candidate_grad.div_(size))
        return (loss / size).to(anchors.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        anchor_grad, candidate_grad = ctx.saved_tensors
        return grads[0] * anchor_grad, grads[0] * candidate_grad, None, None, None
