"""Writing files whole or not at all, and reading JSON back."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import json
import math
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from damrs_dgl.errors import RunError, StorageError


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the place of `path`, on any failure it is removed.

    Its permissions follow the umask, whatever the library that writes the content sets.

    Raises
    ------
    StorageError: the folder cannot be made or written, or the disk is full; what stood at `path` before is untouched.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = stat.S_IMODE(temporary.stat().st_mode)
        yield temporary
        if stat.S_IMODE(temporary.stat().st_mode) != mode:
            temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def private_folder(temporary: Path) -> Iterator[Path]:
    """A folder beside a temporary file of `whole_file`, for a writer that has temporary files of its own.

    It goes with all that is in it; after a kill -9 `locking.clear_leftovers` knows it by the process in its name.
    """
    folder = temporary.with_name(temporary.name.replace(f".{os.getpid()}.tmp", f".parts.{os.getpid()}.tmp"))
    try:
        folder.mkdir(exist_ok=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def storage_error(path: Path, error: OSError) -> StorageError:
    """What to say of a file that the system would not let us write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            "no room left on the disk", where=path, fix="free some space and run the same command again"
        )
    reason = error.strerror or str(error)
    return StorageError(
        f"cannot be written ({reason})",
        where=path,
        fix="check the folder and its permissions, or choose another --run, which may be a copy of the folder",
    )


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all, keys in the order given; NaN and infinity become null."""
    write_text(path, json.dumps(without_nan(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def without_nan(value: Any) -> Any:
    """The value as it is written: NaN and infinity become None, tuples become lists."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path, *, fix: str) -> dict[str, Any]:
    """A JSON object. Raises RunError, with `fix` as the cure, when the file is missing, damaged or something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError("is not there", where=path, fix=fix) from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"is damaged ({error})", where=path, fix=fix) from error
    if not isinstance(value, dict):
        raise RunError("is damaged (no JSON object)", where=path, fix=fix)
    return value


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Write rows as CSV, whole or not at all; what a row lacks stays empty.

    `columns` come first and in this order, whether a row has them or not; others follow as they appear. A file that
    holds just this is left alone, so that a finished run on a read-only disk can be shown.
    """
    names = dict.fromkeys([*(columns or ()), *(name for row in rows for name in row)])
    text = io.StringIO()
    writer = csv.DictWriter(text, list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with contextlib.suppress(OSError):
        if path.read_bytes() == text.getvalue().encode():
            return
    write_text(path, text.getvalue())
