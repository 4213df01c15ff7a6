"""Finding files: what is not there, or is no file, is answered with what to do; and pipes, which are read once."""

from __future__ import annotations

import difflib
import stat
import sys
from pathlib import Path
from typing import TextIO
from weakref import WeakKeyDictionary

from damrs_dgl.errors import DataError

_STANDARD_INPUT = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
_kept: WeakKeyDictionary[TextIO, bytes] = WeakKeyDictionary()  # what was read of a stream


def require_folder(path: str | Path) -> Path:
    """The folder, or a DataError that names the nearest one beside it."""
    folder = Path(path)
    mode = _mode(folder)
    if mode is not None and stat.S_ISDIR(mode):
        return folder
    if mode is not None:
        raise DataError("is a file, expected the folder of a data set", where=folder, fix=f"try {folder.parent}")
    raise DataError("no such folder", where=folder, fix=_nearest(folder))


def require_file(path: str | Path) -> Path:
    """The file, or a DataError: none of that name (with the nearest one), a folder, a pipe, a link without an end."""
    file = Path(path)
    mode = _mode(file)
    if mode is None:
        raise DataError("no such file", where=file, fix=_nearest(file))
    if stat.S_ISDIR(mode):
        raise DataError("is a folder, expected a file", where=file, fix="name the file in it")
    if not stat.S_ISREG(mode):  # reading a pipe would wait until someone writes to it
        raise DataError("is a pipe or a device, expected a file", where=file, fix="copy its content into a file")
    return file


def exists(path: Path) -> bool:
    """Whether anything is there by that name. Raises DataError where that cannot be found out."""
    return _mode(path) is not None


def is_pipe(path: str | Path) -> bool:
    """Whether a name stands for a stream: - and /dev/stdin for standard input, /dev/fd/N for what a shell connects."""
    name = str(path)
    if name in _STANDARD_INPUT:
        return True
    mode = _mode(Path(name)) if name.startswith(("/dev/fd/", "/proc/self/fd/")) else None
    return mode is not None and stat.S_ISFIFO(mode)


def read_pipe(path: str | Path, *, keep: bool = False) -> bytes:
    """All that comes through a stream that `is_pipe` knows; it can be read once.

    keep: what came through standard input is kept, for whoever reads it so again, as a stage does its data.
    """
    if str(path) not in _STANDARD_INPUT:
        return Path(path).read_bytes()
    if not keep:
        return sys.stdin.buffer.read()
    if sys.stdin not in _kept:
        _kept[sys.stdin] = sys.stdin.buffer.read()
    return _kept[sys.stdin]


def _mode(path: Path) -> int | None:
    """What kind of file a path leads to, None where there is none. Raises DataError where that cannot be found out."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise DataError(
                f"is a link to {path.readlink()}, which is not there", where=path, fix="mend the link"
            ) from None
        return None
    except ValueError as error:  # a zero byte in the name
        raise DataError(f"is no name of a file ({error})", where=repr(str(path))[:200], fix="check the name") from None
    except OSError as error:  # a name too long, links in a circle, a folder that may not be looked into
        where = str(path) if len(str(path)) <= 200 else f"{str(path)[:200]}..."
        raise DataError(f"cannot be opened ({error.strerror})", where=where, fix="check the name") from None


def _nearest(path: Path) -> str:
    """What to try instead of a path that does not exist."""
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return f"{path.parent} cannot be listed" if path.parent.exists() else f"{path.parent} does not exist either"
    close = difflib.get_close_matches(path.name, names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"{path.parent} has {', '.join(names[:8]) or 'nothing in it'}{', ...' if len(names) > 8 else ''}"
