"""Files mapped into memory."""

from __future__ import annotations

import mmap

import numpy as np

_ROWS = 16  # taken before the pages are let go; a system may map two megabytes for each


def release_pages(values: np.ndarray) -> None:
    """Let go of the pages of an array mapped read-only; of any other array, nothing.

    Pages count as the process's memory once they are read. Afterwards they are the system's cache alone, from where
    they come back when they are read again.
    """
    base = values.base if isinstance(values, np.memmap) and values.mode == "r" else None
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def take_rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """``values[rows]``, with hardly more of a mapped array in memory than the result."""
    if not isinstance(values, np.memmap):
        return values[rows]
    taken = np.empty((len(rows), *values.shape[1:]), dtype=values.dtype)
    for start in range(0, len(rows), _ROWS):
        taken[start : start + _ROWS] = values[rows[start : start + _ROWS]]
        release_pages(values)
    return taken
