"""How far long work is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from damrs_dgl.console.tables import cell_text

if TYPE_CHECKING:
    import rich.console
    import rich.progress

    from damrs_dgl.console.output import Console

_LINE_SHARE, _LINE_SECONDS = 0.1, 30.0  # where there is no bar, a line after so much of the whole or such a time
_WIDE = 110  # columns of a terminal with room for a long bar


class ProgressBar:
    """A bar to be used in a ``with`` statement; without a terminal silent or lines. Made by ``Console.progress``."""

    def __init__(self, console: Console, label: str, total: int | None, *, lines_of: str = "") -> None:
        self._console = console
        self._label = label
        self._total = total
        self._lines = _Lines(f"{label}: {lines_of} ", total) if lines_of else None
        self._shown: dict[str, Any] = {}
        self._text = ""  # of them; replaced whole, for `heartbeat` reads it in a thread of its own
        self._task: rich.progress.TaskID | None = None
        self._outermost = False

    def __enter__(self) -> ProgressBar:
        bars = self._console.open_bars()
        if bars is not None:
            self._outermost = not bars.task_ids
            self._task = bars.add_task(self._label, total=self._total, text="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._outermost:
            self._console.close_bars()
        elif self._bars is not None and self._task is not None:
            self._bars.remove_task(self._task)
        self._task = None

    def advance(self, n: int = 1, **fields: Any) -> None:
        """Go on by ``n`` and show ``fields`` behind the bar until changed, e.g. ``advance(loss=0.31, best=0.09)``."""
        self._shown |= fields
        self._text = "  ".join(f"{key.replace('_', ' ')} {cell_text(value)}" for key, value in self._shown.items())
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, advance=n, text=self._text)
        elif self._lines is not None and (line := self._lines.after(n, self._text)):
            self._console.notice(line)

    def step(self, done: int, total: int, label: str) -> None:
        """Show how far a part has come; the bar stays where it is."""
        self.advance(0, step=f"{label} {done:,}/{total:,}")

    def skip(self, n: int) -> None:
        """Count ``n`` more as done before this began, so that the time left is not judged by them."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, advance=n)
        elif self._lines is not None:
            self._lines.skip(n)

    def expect(self, seconds: float | None) -> None:
        """Say how long the rest will take, where a steady pace is not to be expected; None: not known yet."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, ends_at=None if seconds is None else time.monotonic() + seconds)
        elif self._lines is not None:
            self._lines.expect(seconds)

    @contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Without a terminal, a line every half minute though nothing advances; a bar moves by itself."""
        lines = self._lines
        if lines is None or self._bars is not None:
            yield
            return
        over = threading.Event()

        def beat() -> None:
            while not over.wait(_LINE_SECONDS / 10):
                if line := lines.after(0, self._text):
                    self._console.notice(line)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    @property
    def _bars(self) -> rich.progress.Progress | None:
        return self._console.bars


class _Lines:
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
        if not (much or ended or now - self._told_at >= _LINE_SECONDS):
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
            return so_far if self._ends_at is None else f"{so_far}, about {clock(self._ends_at - now)} left"
        if made <= 0:
            return ""
        seconds = round((now - self._began) / made * (self._total - self._done))
        return f"  at most {clock(seconds)} left"


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
            return Text("" if seconds is None else f"{clock(seconds)} left", style="progress.remaining")

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


def clock(seconds: float) -> str:
    """Seconds as "3:20", or "1:03:20" from an hour on."""
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
