"""The errors that a user sees: each says what is wrong, where, and what to do, in one line."""

from __future__ import annotations

import copyreg
import re
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class DamrsError(Exception):
    """A mistake that the toolkit recognised.

    Parameters
    ----------
    what: what is wrong, with the value that was found.
    where: the file, column or recipe key that it stands in.
    fix: what the user can do about it.

    ``exit_code`` is what the command line ends with: 2 where the user can mend the cause, 1 where only we can.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str | Path | None = None, fix: str | None = None) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.fix = fix
        super().__init__(what, self.where, fix)

    def __reduce__(self) -> tuple[Any, ...]:
        """From process to process without `__init__`, whose arguments have names."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        cure = f"; {self.fix}" if self.fix else ""
        line = " ".join(f"{place}{self.what}{cure}".split())
        return re.sub(r"(\S{100})\S{200,}(\S{20})", r"\1...\2", line)  # numbers and names of thousands of signs


class DataError(DamrsError, ValueError):
    """The data set cannot be used as it is: a missing file, a bad column, ids that do not fit the features."""


class RecipeError(DamrsError, ValueError):
    """A recipe that does not parse or holds a key or value that is not allowed."""


class Mistake(RecipeError):
    """One mistake of a recipe.

    Parameters
    ----------
    keys: the keys that it is about, the one to blame first; a key is its sections' names and its own.
    """

    def __init__(self, keys: Sequence[tuple[str, ...]], what: str, fix: str | None = None) -> None:
        super().__init__(what, fix=fix)
        self.keys = keys


def refusal(mistakes: Sequence[RecipeError], source: object = None) -> RecipeError:
    """The first mistake as an exception that says how many more there are, and what lists those of a ``source``."""
    first, rest = mistakes[0], len(mistakes) - 1
    more = f"and {rest} more" if rest else None
    if rest and source is not None:
        more = f"{rest} more mistake{'s' if rest > 1 else ''}: `damrs-dgl recipes validate {source}` lists them"
    return RecipeError(first.what, where=first.where, fix="; ".join(filter(None, [first.fix, more])) or None)


class RunError(DamrsError):
    """A run directory or something in it that cannot be used: another recipe's, damaged, or not there yet."""


class DeviceError(DamrsError, ValueError):
    """The asked device, or a library that it needs, is not to be had on this machine."""


class TrainingError(DamrsError):
    """Training had to stop: a loss term that is no longer finite."""


class SystemFault(DamrsError):
    """A system, mostly of another package, that does not do what the toolkit asks of systems, or fails in its code."""


class StorageError(DamrsError):
    """A file could not be written: no room, no permission."""


class ReaderGone(DamrsError):
    """Whoever read our output has closed the pipe; nothing is said of it."""

    exit_code = 141  # what a shell reports for SIGPIPE


class InternalError(DamrsError):
    """A fault of ours, which the user cannot mend."""

    exit_code = 1


def as_ours(error: Exception) -> DamrsError:
    """The error itself where it is one of ours, else what to say of one that nothing recognised.

    Memory, disk and files are the user's to mend, a system of another package is its author's, and the rest ours.
    """
    if isinstance(error, DamrsError):
        return error
    what = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or _of_memory(str(error)):
        fix = "lower training.batch_size, evaluation.block_size, graphs.block_size or the width of the system"
        return DamrsError(f"not enough memory ({what.splitlines()[0]})", fix=fix)
    if isinstance(error, OSError) and error.strerror:  # no room, a name too long, a folder that may not be read
        place = error.filename if isinstance(error.filename, str) else "a file or the output"
        return DamrsError(f"cannot be read or written ({error.strerror})", where=place, fix="mend that and run again")
    system = _system_at_fault(error)
    if system is not None:
        return fault_of(system, f"failed ({what})")
    fix = "this is a fault of damrs-dgl: run again with --debug and report the trace"
    return InternalError(f"internal error: {what}", fix=fix)


def fault_of(system: type, what: str, fix: str = "mend it there; --debug shows the trace") -> SystemFault:
    """What to say of a system that does not do what is asked of one."""
    return SystemFault(what, where=f"the system {system.__module__}:{system.__qualname__}", fix=fix)


def _system_at_fault(error: Exception) -> type | None:
    """The class of the system that was at work when the error arose, where another package brought it."""
    frames = [frame.f_locals for frame, _ in traceback.walk_tb(error.__traceback__)]
    systems = [type(names["self"]) for names in frames if hasattr(type(names.get("self")), "training_step")]
    own = __name__.partition(".")[0]
    return systems[-1] if systems and systems[-1].__module__.partition(".")[0] != own else None


def _of_memory(message: str) -> bool:
    """Whether a library's message means that memory ran out: in its allocator, or while its code was loaded."""
    return any(text in message for text in ("allocate memory", "failed to map segment", "bad_alloc"))
