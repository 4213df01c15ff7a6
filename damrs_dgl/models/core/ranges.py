"""What a search may try for a key: a list of values, or a range of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Range:
    """All numbers from `low` to `high`; integers where both are, drawn evenly or, with `log`, evenly in the logarithm.

    Raises ValueError for a range without numbers, and for a logarithmic one that reaches 0.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"low = {self.low} is not below high = {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log = true needs low above 0, not {self.low}")

    @property
    def integers(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def holds(self, value: object) -> bool:
        """Whether a value lies in it."""
        number = isinstance(value, int if self.integers else (int, float)) and not isinstance(value, bool)
        return number and self.low <= value <= self.high  # type: ignore[operator]


Values = tuple[object, ...] | Range
Space = Mapping[str, Values]  # "section.key" -> what may stand there

LEARNING_RATES: Final[Space] = {"training.learning_rate": Range(1e-4, 1e-2, log=True)}
# What the DA-MRS authors' logs have in common where they do not say otherwise: of a preset, and of a grid.
AUTHORS_TRAINING: Final[Mapping[str, object]] = {"training.learning_rate": 1e-3, "training.batch_size": 4096}
AUTHORS: Final[Space] = {"model.preset": ("authors",), **{key: (value,) for key, value in AUTHORS_TRAINING.items()}}
