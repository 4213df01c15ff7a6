"""Which process is which, for a number alone is given again after its process ended; and one that ends with another.

Nothing heavy is imported here: a process that is started runs `live_with_parent` after some tenths of a second.
"""

from __future__ import annotations

import os
import pkgutil
import threading
from multiprocessing import parent_process
from pathlib import Path

import psutil


def is_alive(pid: int) -> bool:
    """Whether a process of this machine with this number runs; one that only waits to be buried does not."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False
    except psutil.Error:  # there, but not ours to look at
        return True


def start_mark(pid: int) -> str:
    """When a process began, in words that no other process of this number shares; empty where it does not run.

    On Linux the clock ticks since this boot, which do not move when the clock is set.
    """
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {ticks}"
    except (OSError, IndexError):
        pass
    try:
        return str(psutil.Process(pid).create_time())
    except (psutil.Error, ValueError, OverflowError):
        return ""


def current() -> tuple[int, str]:
    """The number of this process and when it began."""
    pid = os.getpid()
    return pid, start_mark(pid)


def live_with_parent(life: str, *given: object) -> None:
    """Call the function `module:name` in a process of `multiprocessing`, which ends when the one that started it does.

    It is imported when that is taken care of, which may take many seconds.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pkgutil.resolve_name(life)(*given)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
