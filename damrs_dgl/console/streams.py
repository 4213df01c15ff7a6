"""The standard streams: opened, given to rich, given up where nobody takes what is written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import rich.console


def open_standard_streams() -> None:
    """Open what whoever started the process has closed (`>&-`): a file of a run would else be taken for that stream."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:  # it takes the lowest number that is free
        pass
    os.close(descriptor)


def discard(stream: TextIO | None) -> None:
    """Point a standard stream at nothing."""
    try:
        if stream is not None:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
            os.close(nothing)
    except (OSError, ValueError):  # no file of the system: a test's or a notebook's
        pass


def rich_console(**options: Any) -> rich.console.Console:
    from rich.console import Console

    class RichConsole(Console):
        def on_broken_pipe(self) -> None:
            raise  # noqa: PLE0704 (called where the error is handled; rich would end the process with its own code)

    # no markup, emoji codes or guessed highlights: an item called "[red]" or ":star:" is shown as it is called
    return RichConsole(markup=False, emoji=False, highlight=False, **options)


def printable(text: str, stream: rich.console.Console) -> str:
    """Text that the stream can encode and that steers no terminal: ids and paths come from other people's files."""
    safe = "".join(
        letter if letter.isprintable() or letter in "\n\t" else letter.encode("unicode_escape").decode()
        for letter in text
    )
    encoding = getattr(stream.file, "encoding", None) or "utf-8"
    return safe.encode(encoding, "backslashreplace").decode(encoding)
