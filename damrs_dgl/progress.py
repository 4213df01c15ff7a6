"""How long work tells how far it is: by calling a function that shows it, or does not."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[int, int, str], None]  # (done, total, label)


def silent(done: int, total: int, label: str) -> None:
    """Progress that nobody watches."""
