"""The errors that a user sees: each says what is wrong, where, and what to do, in one line."""

from __future__ import annotations

from pathlib import Path


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

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        cure = f"; {self.fix}" if self.fix else ""
        return " ".join(f"{place}{self.what}{cure}".split())


class DataError(DamrsError, ValueError):
    """The data set cannot be used as it is: a missing file, a bad column, ids that do not fit the features."""


class RecipeError(DamrsError, ValueError):
    """A recipe that does not parse or holds a key or value that is not allowed."""


class RunError(DamrsError):
    """A run directory or something in it that cannot be used: another recipe's, damaged, or not there yet."""


class DeviceError(DamrsError, ValueError):
    """The asked device, or a library that it needs, is not to be had on this machine."""


class TrainingError(DamrsError):
    """Training had to stop: a loss term that is no longer finite."""


class StorageError(DamrsError):
    """A file could not be written: no room, no permission."""


class ReaderGone(DamrsError):
    """Whoever read our output has closed the pipe; nothing is said of it."""

    exit_code = 141  # what a shell reports for SIGPIPE


class InternalError(DamrsError):
    """A fault of ours, which the user cannot mend."""

    exit_code = 1


def unexpected(error: Exception) -> DamrsError:
    """What to say of an error that nothing recognised: memory that ran out is the user's to mend, the rest is ours."""
    what = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error):
        fix = "lower training.batch_size, model.anchors, evaluation.block_size or graphs.block_size"
        return DamrsError(f"not enough memory ({what.splitlines()[0]})", fix=fix)
    fix = "this is a fault of damrs-dgl: run again with --debug and report the trace"
    return InternalError(f"internal error: {what}", fix=fix)
