"""What the user sees: the only module that prints.

Results go to standard output; progress, warnings and errors to standard error, so that `damrs-dgl ... > table.txt`
holds results alone. On a terminal there are colours and bars (``NO_COLOR`` is respected); piped there is plain text in
full width. rich is imported at the first line printed, not with this module: `damrs-dgl --help` needs none of it.

Results that cannot be written are an error, as is a full disk; what cannot be said on standard error is dropped.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any, TextIO

from damrs_dgl.errors import DamrsError, ReaderGone, StorageError

if TYPE_CHECKING:
    import rich.console
    import rich.progress
    import rich.table

# Wide enough that rich, told of it, never folds or cuts a piped table.
_UNLIMITED_WIDTH = 1_000_000
_GAP = 3  # between two columns; a framed table has 1 at each side
_WORD = 24  # a longer word, such as a path, may be broken on a narrow terminal
_LINE_SHARE, _LINE_SECONDS = 0.1, 30.0  # where there is no bar, a line after so much of the whole or such a time


class ProgressBar:
    """A bar to be used in a ``with`` statement; without a terminal silent or lines. Made by ``Console.progress``."""

    def __init__(self, console: Console, label: str, total: int | None, *, lines_of: str = "") -> None:
        self._console = console
        self._label = label
        self._total = total
        self._lines = _Lines(f"{label}: {lines_of} ", total) if lines_of else None
        self._shown: dict[str, Any] = {}
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
        text = "  ".join(f"{key.replace('_', ' ')} {_cell(value)}" for key, value in self._shown.items())
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, advance=n, text=text)
        elif self._lines is not None and (line := self._lines.after(n, text)):
            self._console.notice(line)

    def skip(self, n: int) -> None:
        """Count ``n`` as done before this began, so that the time left is not judged by it."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=n)
        elif self._lines is not None:
            self._lines.skip(n)

    def expect(self, seconds: float | None) -> None:
        """Say how long the rest will take, where a steady pace is not to be expected; None: not known yet."""
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, ends_at=None if seconds is None else time.monotonic() + seconds)

    @property
    def _bars(self) -> rich.progress.Progress | None:
        return self._console.bars


class _Lines:
    """What stands for a bar in a pipe or a notebook: a line at every tenth of the whole, or every half minute."""

    def __init__(self, beginning: str, total: int | None) -> None:
        self._beginning, self._total = beginning, total
        self._done = self._skipped = self._told_done = 0
        self._began = self._told_at = time.monotonic()

    def skip(self, n: int) -> None:
        self._done = self._skipped = self._told_done = n

    def after(self, n: int, text: str) -> str | None:
        """The line to write after ``n`` more, None where it is not yet time for one."""
        self._done += n
        now, total = time.monotonic(), self._total
        much = total is not None and n > 0 and self._done - self._told_done >= _LINE_SHARE * total
        if not (much or self._done == total or now - self._told_at >= _LINE_SECONDS):
            return None
        self._told_done, self._told_at = self._done, now
        of = "" if total is None else f"/{total}"
        return f"{self._beginning}{self._done}{of}  {text}{self._left(now)}"

    def _left(self, now: float) -> str:
        """ "  at most 3:20 left", by the pace so far; nothing where that is not known."""
        made = self._done - self._skipped
        if self._total is None or made <= 0 or self._done >= self._total:
            return ""
        seconds = round((now - self._began) / made * (self._total - self._done))
        hours, minutes = seconds // 3600, seconds // 60 % 60
        clock = f"{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"{minutes}:{seconds % 60:02}"
        return f"  at most {clock} left"


class Console:
    """Lines, tables and progress bars on the process's standard streams, looked up anew at each use."""

    def __init__(self) -> None:
        self._streams: dict[str, rich.console.Console] = {}
        self.bars: rich.progress.Progress | None = None  # under way, on standard error's terminal

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

    def table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, keys: int = 1) -> None:
        """A table on standard output: numbers to the right, nothing cut.

        On a terminal that is too narrow, text is wrapped between words, and what still has no room goes into further
        tables below, each with the first `keys` columns again.
        Cells may be of any type: floats get four decimals, None is shown as "-", yes and no stand for booleans.
        """
        out = self._stdout
        cells = [[_printable(_cell(value), out) for value in row] for row in rows]
        if title:
            self._print(out, title, style="bold")
        if out.is_terminal:
            with self._writing(out):
                for chosen in _parts(columns, cells, out.width, keys):
                    part = [[row[place] for place in chosen] for row in cells]
                    out.print(_layout([columns[place] for place in chosen], part, out.width))
            return
        plain = _rich_console(file=StringIO(), width=_UNLIMITED_WIDTH)
        plain.print(_layout(columns, cells, None))
        text = plain.file.getvalue()  # type: ignore[attr-defined]
        self._print(out, "\n".join(line.rstrip() for line in text.splitlines()))

    def progress(self, label: str, total: int | None, *, lines_of: str = "") -> ProgressBar:
        """A bar with the share done, the fields last given to ``advance`` and the time left.

        One inside another is fine; ``total`` None means unknown. Where standard error is not a terminal, nothing is
        written, or with ``lines_of``, which says what is counted ("epoch"), a line at every tenth of the whole and at
        least every half minute.
        """
        return ProgressBar(self, label, total, lines_of=lines_of)

    def open_bars(self) -> rich.progress.Progress | None:
        """The live display that bars are drawn in, started where there is none yet; None without a terminal."""
        if self.bars is None and self._stderr.is_interactive:
            bars = _new_bars(self._stderr)
            bars.start()
            self.bars = bars
        return self.bars

    def close_bars(self) -> None:
        """Stop drawing; the bars stay on the screen as they are."""
        if self.bars is not None:
            self.bars.stop()
            self.bars = None

    @property
    def _stdout(self) -> rich.console.Console:
        return self._stream("stdout")

    @property
    def _stderr(self) -> rich.console.Console:
        return self._stream("stderr")

    def _stream(self, name: str) -> rich.console.Console:
        if name not in self._streams:
            self._streams[name] = _rich_console(stderr=name == "stderr")
        stream = self._streams[name]
        # While a bar moves, what goes to the same terminal must go past it, through the bar's own console.
        return self.bars.console if self.bars is not None and stream.is_terminal else stream

    def _print(self, stream: rich.console.Console, line: str, *, style: str = "") -> None:
        from rich.text import Text

        # Text carries its own style, which `print(style=...)` would also lend to a bar that is redrawn below the line.
        # soft_wrap: a line is as long as it is; the terminal, not rich at 80 columns, breaks it.
        with self._writing(stream):
            stream.print(Text(_printable(line, stream), style=style), soft_wrap=True)

    @contextmanager
    def _writing(self, stream: rich.console.Console) -> Iterator[None]:
        """What happens to a line that the system does not take."""
        try:
            yield
        except OSError as error:
            if stream.stderr:  # nobody is left to be told; results and files are not in danger
                _discard(sys.stderr)
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
        _discard(sys.stdout)


def open_standard_streams() -> None:
    """Open what whoever started the process has closed (`>&-`): a file of a run would else be taken for that stream."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:  # it takes the lowest number that is free
        pass
    os.close(descriptor)


def _discard(stream: TextIO | None) -> None:
    """Point a standard stream at nothing."""
    try:
        if stream is not None:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
            os.close(nothing)
    except (OSError, ValueError):  # no file of the system: a test's or a notebook's
        pass


def _rich_console(**options: Any) -> rich.console.Console:
    from rich.console import Console

    class RichConsole(Console):
        def on_broken_pipe(self) -> None:
            raise  # noqa: PLE0704 (called where the error is handled; rich would end the process with its own code)

    # no markup, emoji codes or guessed highlights: an item called "[red]" or ":star:" is shown as it is called
    return RichConsole(markup=False, emoji=False, highlight=False, **options)


def _new_bars(stderr: rich.console.Console) -> rich.progress.Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Task, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    class TimeLeft(TimeRemainingColumn):
        """By the pace so far, or as `ProgressBar.expect` says."""

        max_refresh = 0.5

        def render(self, task: Task) -> Text:
            if task.finished or "ends_at" not in task.fields:
                return super().render(task)
            ends_at = task.fields["ends_at"]
            if ends_at is None:
                return Text("--:--", style="progress.remaining")
            minutes, seconds = divmod(max(0, round(ends_at - time.monotonic())), 60)
            hours, minutes = divmod(minutes, 60)
            shown = f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes:02d}:{seconds:02d}"
            return Text(shown, style="progress.remaining")

    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}", markup=False),
        TimeLeft(compact=True, elapsed_when_finished=True),
        console=stderr,
        # rich would send standard output to the bar's terminal, past a pipe or file that it was meant for
        redirect_stdout=sys.stdout.isatty(),
    )


def _parts(columns: Sequence[str], cells: list[list[str]], width: int, keys: int) -> list[list[int]]:
    """Which columns stand side by side on a terminal so wide: all, or a few behind the first `keys` in each part."""
    least = [_least_width(column, [row[place] for row in cells]) + _GAP for place, column in enumerate(columns)]
    full = width - 2 + _GAP
    keys = min(keys, len(columns) - 1)
    while keys and sum(least[:keys]) + max(least[keys:]) > full:
        keys -= 1
    repeated = list(range(keys))
    parts: list[list[int]] = []
    room = -1
    for place in range(len(repeated), len(columns)):
        room -= least[place]
        if room < 0:
            parts.append([*repeated])
            room = full - sum(least[key] for key in repeated) - least[place]
        parts[-1].append(place)
    return parts


def _least_width(column: str, values: list[str]) -> int:
    """The fewest signs that a column can do with: a number whole, text by its longest word up to `_WORD`."""
    from rich.cells import cell_len

    if _is_numeric(values):
        return max(map(cell_len, [*column.split(), *values]), default=0)
    longest = max((cell_len(word) for value in values for word in value.split()), default=0)
    return max([*map(cell_len, column.split()), min(longest, _WORD)], default=0)


def _is_numeric(values: list[str]) -> bool:
    return any(value != "-" for value in values) and all(map(_looks_numeric, values))


def _widths(columns: Sequence[str], cells: list[list[str]], width: int) -> list[int]:
    """Signs for each column on a terminal so wide: the least that it can do with, and of the rest what it can use."""
    from rich.cells import cell_len

    by_column = [[row[place] for row in cells] for place in range(len(columns))]
    widths = [_least_width(column, values) for column, values in zip(columns, by_column, strict=True)]
    wanted = [max(map(cell_len, [column, *values])) for column, values in zip(columns, by_column, strict=True)]
    rest = max(0, width - 2 + _GAP - sum(widths) - _GAP * len(widths))
    order = sorted(range(len(widths)), key=lambda place: wanted[place] - widths[place])
    for done, place in enumerate(order):  # who wants little gets all of it, the others share what is left
        more = min(wanted[place] - widths[place], rest // (len(order) - done))
        widths[place] += more
        rest -= more
    return [min(size, max(width - 2, 1)) for size in widths]


def _layout(columns: Sequence[str], cells: list[list[str]], width: int | None) -> rich.table.Table:
    """A table in a frame for a terminal of so many signs, or without frame and as wide as it is."""
    from rich import box
    from rich.table import Table

    framed = width is not None
    widths: Sequence[int | None] = [None] * len(columns) if width is None else _widths(columns, cells, width)
    table = Table(box=box.SIMPLE_HEAD if framed else None, pad_edge=False, header_style="bold" if framed else "")
    for position, column in enumerate(columns):
        values = [row[position] for row in cells]
        numeric = _is_numeric(values)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold", width=widths[position])
    for row in cells:
        table.add_row(*row)
    return table


def _looks_numeric(cell: str) -> bool:
    return cell == "-" or cell.lstrip("+-")[:1].isdigit()


def _cell(value: Any) -> str:
    """A value as the user reads it; strings stay as they are."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e6 else f"{value:.3g}"
    return str(value)


def _printable(text: str, stream: rich.console.Console) -> str:
    """Text that the stream can encode and that steers no terminal: ids and paths come from other people's files."""
    safe = "".join(
        letter if letter.isprintable() or letter in "\n\t" else letter.encode("unicode_escape").decode()
        for letter in text
    )
    encoding = getattr(stream.file, "encoding", None) or "utf-8"
    return safe.encode(encoding, "backslashreplace").decode(encoding)


console = Console()
