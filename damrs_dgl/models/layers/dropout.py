"""Dropout whose randomness comes from a generator, so that a resumed training draws what the uninterrupted one drew."""

from __future__ import annotations

import torch
from torch import Tensor

_LEVELS = 2**16  # of the 16 random bits of an entry


def dropout(x: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """Set a uniform `share` of the entries to 0 and scale the others by 1 / (1 - share).

    `x` as it is where `generator` is None (evaluation) or `share` is 0. The generator is on the device of `x`.
    """
    if generator is None or share == 0:
        return x
    return x * kept_entries(x, share, generator).to(x.dtype).mul_(1 / (1 - share))


def kept_entries(x: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Which entries of a tensor like `x` stay when a uniform `share` is dropped, bool; to 1 in 65,536 of the share.

    Four entries take one draw of 64 bits, which is four times as fast as `bernoulli_`.
    """
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
    draws.random_(-(2**63), None, generator=generator)
    least = min(round(share * _LEVELS), _LEVELS - 1) - _LEVELS // 2  # the greatest number of 16 bits at most
    return (draws.view(torch.int16)[: x.numel()] >= least).view(x.shape)
