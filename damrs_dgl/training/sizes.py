"""What `auto` stands for: batch size and patience by the size of the data."""

from __future__ import annotations

from typing import Literal

SMALLEST_BATCH, LARGEST_BATCH = 256, 4096
STEPS_AN_EPOCH = 16  # at least so many, down to the smallest batch
PATIENT_STEPS, FEWEST_EVALUATIONS = 1000, 25


def batch_size_for(asked: Literal["auto"] | int, num_interactions: int) -> int:
    """Pairs a step. `auto`: the largest power of two from 256 to 4096 that leaves an epoch at least 16 steps."""
    if asked != "auto":
        return asked
    size = LARGEST_BATCH
    while size > SMALLEST_BATCH and num_interactions < STEPS_AN_EPOCH * size:
        size //= 2
    return size


def patience_for(asked: Literal["auto"] | int, steps: int) -> int:
    """Evaluations without a better score before training stops. `auto`: those of 1,000 steps, at least 25.

    `steps`: training steps between two evaluations. A small catalogue's epoch is a few steps, and its validation
    score may fall for dozens of epochs before it rises again.
    """
    return asked if asked != "auto" else max(FEWEST_EVALUATIONS, -(-PATIENT_STEPS // max(steps, 1)))
