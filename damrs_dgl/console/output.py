"""Lines, tables and bars on the process's standard streams."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any

from damrs_dgl.console.bars import LiveBars
from damrs_dgl.console.paste import render
from damrs_dgl.console.progress import ProgressBar
from damrs_dgl.console.streams import discard, printable, rich_console
from damrs_dgl.console.tables import cell_text, layout, side_by_side
from damrs_dgl.errors import DamrsError, ReaderGone, StorageError

if TYPE_CHECKING:
    import rich.console

# Wide enough that rich, told of it, never folds or cuts a piped table.
_UNLIMITED_WIDTH = 1_000_000


class Console:
    """Lines, tables and progress bars on the process's standard streams, looked up anew at each use."""

    def __init__(self) -> None:
        self._streams: dict[str, rich.console.Console] = {}
        self.bars = LiveBars(lambda: self._stderr)

    def info(self, line: str = "") -> None:
        """A line of result on standard output."""
        self._print(self._stdout, line)

    def notice(self, line: str) -> None:
        """A line on standard error: what a stage did or did not need to do, and where its files are."""
        self._print(self._stderr, line)

    def warning(self, line: str) -> None:
        """``warning: line`` on standard error."""
        self._print(self._stderr, f"warning: {line}", style="yellow")

    def error(self, error: DamrsError) -> None:
        """``error: ...`` in one line on standard error, without a stack trace."""
        self._print(self._stderr, f"error: {error}", style="red")

    def table(
        self,
        title: str,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
        *,
        keys: int = 1,
        format: str | None = None,
    ) -> None:
        """A table on standard output: numbers to the right, nothing cut.

        In a `format` of `console.paste` it is text to paste elsewhere, without the title: the output is the table. Else
        it is for reading: on a terminal that is too narrow, text is wrapped between words, and what still has no room
        goes into further tables below, each with the first `keys` columns again.
        Cells may be of any type: floats get four decimals, None is shown as "-", yes and no stand for booleans.
        """
        if format is not None:
            self.info(render(columns, list(rows), format).rstrip("\n"))
            return
        out = self._stdout
        cells = [[printable(cell_text(value), out) for value in row] for row in rows]
        if title:
            self._print(out, title, style="bold")
        if out.is_terminal:
            with self._writing(out):
                for chosen in side_by_side(columns, cells, out.width, keys):
                    part = [[row[place] for place in chosen] for row in cells]
                    out.print(layout([columns[place] for place in chosen], part, out.width))
            return
        plain = rich_console(file=StringIO(), width=_UNLIMITED_WIDTH)
        plain.print(layout(columns, cells, None))
        text = plain.file.getvalue()  # type: ignore[attr-defined]
        self._print(out, "\n".join(line.rstrip() for line in text.splitlines()))

    def progress(self, label: str, total: int | None, *, lines_of: str = "") -> ProgressBar:
        """A bar with the share done, the fields last given to ``advance`` and the time left.

        One inside another is fine; ``total`` None means unknown. Where standard error is not a terminal, nothing is
        written, or with ``lines_of``, which says what is counted ("epoch"), a line at every tenth of the whole and when
        half a minute has passed since the last (``ProgressBar.heartbeat``: also where nothing advances).
        """
        return ProgressBar(self.bars, self.notice, label, total, lines_of=lines_of)

    @property
    def _stdout(self) -> rich.console.Console:
        return self._stream("stdout")

    @property
    def _stderr(self) -> rich.console.Console:
        return self._stream("stderr")

    def _stream(self, name: str) -> rich.console.Console:
        if name not in self._streams:
            self._streams[name] = rich_console(stderr=name == "stderr")
        stream = self._streams[name]
        # While a bar moves, what goes to the same terminal must go past it, through the bar's own console.
        return self.bars.under_way.console if self.bars.under_way is not None and stream.is_terminal else stream

    def _print(self, stream: rich.console.Console, line: str, *, style: str = "") -> None:
        from rich.text import Text

        # Text carries its own style, which `print(style=...)` would also lend to a bar that is redrawn below the line.
        # soft_wrap: a line is as long as it is; the terminal, not rich at 80 columns, breaks it.
        with self._writing(stream):
            stream.print(Text(printable(line, stream), style=style), soft_wrap=True)

    @contextmanager
    def _writing(self, stream: rich.console.Console) -> Iterator[None]:
        """What happens to a line that the system does not take."""
        try:
            yield
        except OSError as error:
            if stream.stderr:  # nobody is left to be told; results and files are not in danger
                discard(sys.stderr)
                return
            raise self.lost_output(error) from error

    def flush(self) -> None:
        """Write out what is still held back. Raises StorageError where standard output does not take it."""
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError as error:
            raise self.lost_output(error) from error

    def lost_output(self, error: OSError) -> DamrsError:
        """What to say where standard output takes no more; what is held back for it is given up."""
        self.abandon_output()
        if isinstance(error, BrokenPipeError):
            return ReaderGone("nobody reads it any more", where="standard output")
        fix = "send it elsewhere and run the same command again"
        return StorageError(f"cannot be written ({error.strerror or error})", where="standard output", fix=fix)

    @staticmethod
    def abandon_output() -> None:
        """Let what is still held back for standard output go nowhere: the interpreter would try it again at its end."""
        discard(sys.stdout)


console = Console()
