"""The largest values of each row, in less time than ``torch.topk`` takes on the CPU; places within groups."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Values [n, k] and column indices int64 [n, k] of the k largest of each row of ``scores`` [n, I], largest first.

    As ``torch.topk``: among equal values any may be chosen, NaN counts as the largest. k is at most I. Where a value
    is -inf, for want of others, its index means nothing.

    Column c belongs to group c mod G. Each of the k largest lies in one of the k groups with the largest maxima, so
    only those groups' members are compared with each other: one pass over the row, then two choices among G and k I/G.
    """
    columns = scores.shape[1]
    if scores.is_cuda or columns < 32 * k:
        return torch.topk(scores, k, dim=1)
    # With 64 k groups or more torch.topk sorts a part of them only; with I/k as the square of the size both choices
    # are among equally many.
    size = max(8, min(columns // (64 * k), math.isqrt(columns // k)))
    groups = columns // size
    rest = columns - groups * size
    if rest > groups:  # no more than a few hundred columns
        return torch.topk(scores, k, dim=1)
    maxima = scores[:, : groups * size].view(-1, size, groups).amax(dim=1)
    if rest:  # the first groups have one member more
        maxima[:, :rest] = torch.maximum(maxima[:, :rest], scores[:, groups * size :])
    best = maxima.topk(k, dim=1, sorted=False).indices
    members = (best.unsqueeze(2) + torch.arange(0, columns, groups, device=scores.device)).flatten(1)
    outside = members >= columns
    members.masked_fill_(outside, 0)
    values, order = scores.gather(1, members).masked_fill_(outside, -math.inf).topk(k, dim=1)
    return values, members.gather(1, order)


def place_in_group(groups: Tensor, counts: Tensor) -> Tensor:
    """0, 1, 2, ... within each run of equal values of `groups` [n], ascending; `counts`: how often each occurs."""
    return torch.arange(len(groups), device=groups.device) - (counts.cumsum(0) - counts)[groups]
