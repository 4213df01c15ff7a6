"""What `auto` stands for: batch size, patience and the spread of a spectral start, by the size of the data."""

from __future__ import annotations

from typing import Literal

SMALLEST_BATCH, LARGEST_BATCH = 256, 8192
FEWEST_STEPS = 12  # of an epoch, down to the smallest batch; the largest batch wants twice as many
SPREAD_PER_CLICK = 0.0025  # of a spectral start
PATIENT_STEPS, FEWEST_EVALUATIONS = 500, 10


def batch_size_for(asked: Literal["auto"] | int, num_interactions: int) -> int:
    """Pairs a step. `auto`: the largest power of two from 256 to 8192 that leaves an epoch enough steps.

    So 256 below 6,000 interactions, 1024 from 12,000, 4096 from 49,000, and 8192 from 197,000.
    """
    if asked != "auto":
        return asked
    size = LARGEST_BATCH
    steps = 2 * FEWEST_STEPS
    while size > SMALLEST_BATCH and num_interactions < steps * size:
        size, steps = size // 2, FEWEST_STEPS
    return size


def patience_for(asked: Literal["auto"] | int, steps: int) -> int:
    """Evaluations without a better score before training stops. `auto`: those of 500 steps, at least 10.

    `steps`: training steps between two evaluations. A small catalogue's epoch is a few steps, and its validation
    score may fall for dozens of epochs before it rises again (`Schedule.waits_for_climb`).
    """
    return asked if asked != "auto" else max(FEWEST_EVALUATIONS, -(-PATIENT_STEPS // max(steps, 1)))


def spread_for(asked: Literal["auto"] | float, num_interactions: int, num_users: int) -> float:
    """Standard deviation of the tables after a spectral start. `auto`: 0.0025 times the mean user's clicks.

    The more clicks a user has, the larger vectors grow in training, and the larger a start keeps what it knows.
    """
    return asked if asked != "auto" else SPREAD_PER_CLICK * num_interactions / max(num_users, 1)
