"""The live display of progress bars on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from damrs_dgl.console.pace import clock

if TYPE_CHECKING:
    import rich.console
    import rich.progress

_WIDE = 110  # columns of a terminal with room for a long bar


class LiveBars:
    """The display that all bars are drawn in, while one is under way on standard error's terminal.

    under_way: it, None where no bar is open or there is no terminal.
    """

    def __init__(self, stderr: Callable[[], rich.console.Console]) -> None:
        self._stderr = stderr
        self.under_way: rich.progress.Progress | None = None

    def open(self) -> rich.progress.Progress | None:
        """The display, started where there is none yet; None without a terminal."""
        stderr = self._stderr()
        if self.under_way is None and stderr.is_interactive:
            bars = new_bars(stderr)
            bars.start()
            self.under_way = bars
        return self.under_way

    def close(self) -> None:
        """Stop drawing; the bars stay on the screen as they are."""
        if self.under_way is not None:
            self.under_way.stop()
            self.under_way = None


def new_bars(stderr: rich.console.Console) -> rich.progress.Progress:
    """The live display of all bars; on a narrow terminal the fields are cut, never the count or the times."""
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn
    from rich.progress import Progress as Bars
    from rich.table import Column
    from rich.text import Text

    class TimeLeft(ProgressColumn):
        """By the pace so far, or as `ProgressBar.expect` says."""

        max_refresh = 0.5

        def render(self, task: Task) -> Text:
            if task.finished:
                return Text(f"took {clock(task.finished_time or 0)}", style="progress.elapsed")
            if "ends_at" in task.fields:
                ends_at = task.fields["ends_at"]
                seconds = None if ends_at is None else ends_at - time.monotonic()
            else:
                seconds = task.time_remaining
            known = seconds is not None and (seconds > 0 or "ends_at" not in task.fields)
            return Text(f"{clock(seconds or 0)} left" if known else "", style="progress.remaining")

    class Fields(ProgressColumn):
        """What was last said of the work; cut where the terminal is too narrow, so that counts and times are whole."""

        def render(self, task: Task) -> Text:
            return Text(task.fields["text"], no_wrap=True, overflow="ellipsis")

    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30 if stderr.width >= _WIDE else 10, table_column=Column(no_wrap=True)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeLeft(table_column=Column(no_wrap=True)),
        Fields(),
        console=stderr,
        # rich would send standard output to the bar's terminal, past a pipe or file that it was meant for
        redirect_stdout=sys.stdout.isatty(),
    )
