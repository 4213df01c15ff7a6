"""Time and pace in words, and the lines that stand for a bar where there is no terminal."""

from __future__ import annotations

import time

LINE_SECONDS = 30.0  # where there is no bar, a line after such a time,
_LINE_SHARE = 0.1  # or after so much of the whole


def clock(seconds: float) -> str:
    """Seconds as "3:20", or "1:03:20" from an hour on."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


class Lines:
    """What stands for a bar in a pipe or a notebook: a line at every tenth of the whole, or every half minute."""

    def __init__(self, beginning: str, total: int | None) -> None:
        self._beginning, self._total = beginning, total
        self._done = self._skipped = self._told_done = 0
        self._began = self._told_at = time.monotonic()
        self._expects = False  # whether the pace is not steady, and others say when the end is to be expected
        self._ends_at: float | None = None

    def skip(self, n: int) -> None:
        self._done += n
        self._skipped += n
        self._told_done += n

    def expect(self, seconds: float | None) -> None:
        self._expects, self._ends_at = True, None if seconds is None else time.monotonic() + seconds

    def after(self, n: int, text: str) -> str | None:
        """The line to write after ``n`` more, None where it is not yet time for one."""
        self._done += n
        now, total = time.monotonic(), self._total
        much = total is not None and n > 0 and self._done - self._told_done >= _LINE_SHARE * total
        ended = n > 0 and self._done == total
        if not (much or ended or now - self._told_at >= LINE_SECONDS):
            return None
        self._told_done, self._told_at = self._done, now
        of = "" if total is None else f"/{total}"
        return f"{self._beginning}{self._done}{of}  {text}{self._left(now)}"

    def _left(self, now: float) -> str:
        """The words " at most 3:20 left", by the pace so far or what `expect` was told; nothing where unknown."""
        made = self._done - self._skipped
        if self._total is None or self._done >= self._total:
            return ""
        if self._expects:
            so_far = f"  {clock(now - self._began)} so far"
            if self._ends_at is None or self._ends_at <= now:  # what was expected is over, and nothing is known
                return so_far
            return f"{so_far}, about {clock(self._ends_at - now)} left"
        if made <= 0:
            return ""
        seconds = round((now - self._began) / made * (self._total - self._done))
        return f"  at most {clock(seconds)} left"
