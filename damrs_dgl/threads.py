"""How many threads compute, and how they wait for each other: set before torch loads, by the command line alone.

OpenMP's threads wait for each other by spinning. Where other processes want the same cores, a spinning thread keeps
the one that it waits for from running: on two cores with six processes, an epoch took ten times as long with the
unbounded spinning that is the default as with a bound of some 20 microseconds, after which a thread sleeps. That still
bridges most gaps between one parallel region and the next, so that on a quiet machine few threads have to be woken.
`python -m benchmarks.busy_machine` shows both.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

SPIN_COUNT: Final = 1000  # of GNU's OpenMP, which torch's Linux builds bring
USERS_OWN_WAITING: Final = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
_CGROUP: Final = Path("/sys/fs/cgroup")
_OWN_GROUPS: Final = Path("/proc/self/cgroup")


def usable_cores(cgroup: Path = _CGROUP, own: Path = _OWN_GROUPS) -> int:
    """Cores that this process may use: by affinity and by the quota of its control groups, not those of the host.

    cgroup: where control groups are mounted.  own: the file that names this process's; inside a container its own
    group is the mounted root.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for group in _groups(own) if (quota := _quota(cgroup, group)) is not None]
    return max(1, min([cores, *map(math.ceil, quotas)]))


def _groups(own: Path) -> list[str]:
    """The process's control groups and all around them, by their paths below the mount; the root is ""."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    found = [""]
    for line in lines:  # number:controllers:/path, without controllers in version 2
        path = PurePosixPath(line.split(":", 2)[-1])
        found += [str(group).lstrip("/") for group in (path, *path.parents)]
    return list(dict.fromkeys(found))


def _quota(cgroup: Path, group: str) -> float | None:
    """The cores' worth of time that a control group allows (version 2, else 1); None without a limit."""
    old = PurePosixPath("cpu", group)
    for file, period_file in (
        (PurePosixPath(group, "cpu.max"), None),
        (old / "cpu.cfs_quota_us", old / "cpu.cfs_period_us"),
    ):
        try:
            numbers = (cgroup / file).read_text().split()
            if period_file:
                numbers += (cgroup / period_file).read_text().split()
            quota, period = float(numbers[0]), float(numbers[1])
        except (OSError, ValueError, IndexError):  # no such file, "max", or another format
            continue
        if quota > 0 and period > 0:
            return quota / period
    return None


def settings(environment: Mapping[str, str], cgroup: Path = _CGROUP) -> dict[str, str]:
    """What is to be set beside what the user has set: how long threads spin, and how many there are."""
    chosen: dict[str, str] = {}
    if not any(name in environment for name in USERS_OWN_WAITING):
        chosen["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
    if "OMP_NUM_THREADS" not in environment and usable_cores(cgroup) < (os.cpu_count() or 1):
        chosen["OMP_NUM_THREADS"] = str(usable_cores(cgroup))
    return chosen


def bound_waiting() -> None:
    """Set the environment of this process; of use before torch is imported only."""
    os.environ.update(settings(os.environ))
