"""How sure a mean is, and when a difference counts: one formula, text and level for studies and the report."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

SIGNIFICANT: Final = 0.05  # a p-value below it counts, once it is corrected for all of its table


def standard_error(values: ArrayLike) -> float | None:
    """Of the mean of values [n]: s / sqrt(n) with n - 1 in s; None of fewer than two, whose spread is not known."""
    found = np.asarray(values, dtype=np.float64)
    return float(found.std(ddof=1) / math.sqrt(len(found))) if len(found) > 1 else None


def with_error(mean: float, error: float | None, sign: str = " ± ") -> str:
    """A mean and its standard error as "0.2132 ± 0.0041"; the mean alone without one."""
    return f"{mean:.4f}" + ("" if error is None else f"{sign}{error:.4f}")
