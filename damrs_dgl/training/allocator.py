"""The C library's allocator, told to keep what one training step frees for the next."""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's numbers of these settings (malloc.h)
_LARGEST_KEPT = 32 * 2**20  # the most that glibc's own adjustment comes to
_KEPT_AT_THE_TOP = 256 * 2**20
USERS_OWN = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> None:
    """Let blocks of up to 32 MiB stay with the process when they are freed; for the whole process, and with glibc only.

    A step makes and frees dozens of tables. By default glibc may give each back to the system at once and ask for it
    anew, and then every page of it is zeroed again, which takes up to as long as the step's own work; whether it does
    depends on what happened to be freed before. Where the environment sets glibc's thresholds, nothing is changed.
    """
    if any(name in os.environ for name in USERS_OWN):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library, or another system
        return
    mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
    mallopt(_TRIM_THRESHOLD, _KEPT_AT_THE_TOP)
