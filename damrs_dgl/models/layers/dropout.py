"""Dropout whose randomness comes from a generator, so that a resumed training draws what the uninterrupted one drew."""

from __future__ import annotations

import torch
from torch import Tensor


def dropout(x: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """Set a uniform `share` of the entries to 0 and scale the others by 1 / (1 - share).

    `x` as it is where `generator` is None (evaluation) or `share` is 0. The generator is on the device of `x`.
    """
    if generator is None or share == 0:
        return x
    kept = torch.empty_like(x).bernoulli_(1 - share, generator=generator)
    return x * kept.div_(1 - share)
