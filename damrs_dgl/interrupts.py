"""SIGTERM (a scheduler's stop) and SIGHUP (a closed terminal) end a command as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """The command was stopped by a signal, which `number` names."""

    def __init__(self, message: str = "", number: int = signal.SIGINT) -> None:
        super().__init__(*([message] if message else []))
        self.number = number


def signal_of(stop: BaseException) -> int:
    """The number of the signal that an interrupt came from; a plain KeyboardInterrupt is Ctrl-C."""
    return stop.number if isinstance(stop, Stopped) else signal.SIGINT


def exit_code(stop: BaseException) -> int:
    """What a shell reports for a process that a signal ended: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + signal_of(stop)


@contextmanager
def stopping_in_order() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `Stopped` where they arrive, unless whoever started the process ignores them."""
    if threading.current_thread() is not threading.main_thread():  # only that one may handle signals
        yield
        return
    before: dict[signal.Signals, Any] = {}
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            before[number] = signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped(number=number)


@contextmanager
def signals_remembered() -> Iterator[list[int]]:
    """A list of the signals that arrived meanwhile, besides what each does as always.

    For a signal that had no effect: Python drops an exception that is raised while an object is being destroyed.
    What is not handled in Python, or ignored (`nohup ... &`), stays so.
    """
    arrived: list[int] = []
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    handled = {number: handler for number, handler in handlers.items() if callable(handler)}
    if threading.current_thread() is not threading.main_thread():
        handled = {}

    def remember(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        handled[signal.Signals(number)](number, frame)

    for number in handled:
        signal.signal(number, remember)
    try:
        yield arrived
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)
