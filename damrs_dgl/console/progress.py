"""How far long work is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from damrs_dgl.console.bars import LiveBars
from damrs_dgl.console.pace import LINE_SECONDS, Lines
from damrs_dgl.console.tables import cell_text

if TYPE_CHECKING:
    import rich.progress


class ProgressBar:
    """A bar to be used in a ``with`` statement; without a terminal silent or lines. Made by ``Console.progress``.

    live: the display that it is drawn in.  tell: takes a line where there is none.
    """

    def __init__(
        self, live: LiveBars, tell: Callable[[str], None], label: str, total: int | None, *, lines_of: str = ""
    ) -> None:
        self._live = live
        self._tell = tell
        self._label = label
        self._total = total
        self._lines = Lines(f"{label}: {lines_of} ", total) if lines_of else None
        self._shown: dict[str, Any] = {}
        self._text = ""  # of them; replaced whole, for `heartbeat` reads it in a thread of its own
        self._task: rich.progress.TaskID | None = None
        self._outermost = False

    def __enter__(self) -> ProgressBar:
        bars = self._live.open()
        if bars is not None:
            self._outermost = not bars.task_ids
            self._task = bars.add_task(self._label, total=self._total, text="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._outermost:
            self._live.close()
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
            self._tell(line)

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
            while not over.wait(LINE_SECONDS / 10):
                if line := lines.after(0, self._text):
                    self._tell(line)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    @property
    def _bars(self) -> rich.progress.Progress | None:
        return self._live.under_way
