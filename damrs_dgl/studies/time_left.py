"""How long a study will take: cells differ in cost, so each is expected to take what others of its system took."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from statistics import fmean


class TimeLeft:
    """Learns from finished cells, `known` (system, seconds) first, and says what others will take on `jobs` workers."""

    def __init__(self, jobs: int, known: Iterable[tuple[str, float]] = ()) -> None:
        self.jobs = jobs
        self._seconds: dict[str, list[float]] = {}
        for system, seconds in known:
            self.add(system, seconds)

    def add(self, system: str, seconds: float) -> None:
        """A cell of a system took so long."""
        self._seconds.setdefault(system, []).append(seconds)

    def of(self, system: str) -> float | None:
        """Seconds that a cell takes: the mean of its system, else of all; None before the first."""
        values = self._seconds.get(system) or [value for found in self._seconds.values() for value in found]
        return fmean(values) if values else None

    def of_all(self, waiting: Sequence[str], running: Sequence[tuple[str, float]] = ()) -> float | None:
        """Seconds until the last of the `waiting` systems' cells is done, in this order, each on the next free worker.

        `running`: systems of the cells under way, and the seconds that each has taken.
        """
        free = [max(0.0, (self.of(system) or 0.0) - spent) for system, spent in running]
        free += [0.0] * (self.jobs - len(free))
        heapq.heapify(free)
        for system in waiting:
            seconds = self.of(system)
            if seconds is None:
                return None
            heapq.heappush(free, heapq.heappop(free) + seconds)
        return None if running and not self._seconds else max(free)
