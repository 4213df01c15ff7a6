"""One writer in a run folder: the lock that it holds, and what a killed one leaves behind.

The lock is the file `run.lock`: the process, its host and its command, in JSON. It is also locked by the system
(`flock`), so that of two processes that come at the same moment one gets it. At the end, whether by an error, Ctrl-C,
SIGTERM or SIGHUP, the file is removed. After a kill -9 it stays; the next process sees that nobody of that number runs
here any more and takes it over. Of a process on another host nothing is known: the lock is refused until it is deleted.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from damrs_dgl.errors import RunError
from damrs_dgl.processes import current, is_alive, start_mark
from damrs_dgl.storage.files import storage_error

LOCK_NAME = "run.lock"
_TEMPORARY = re.compile(r"\.(.+)\.(\d{1,18})\.tmp")  # what `files.whole_file` calls a file that is not whole yet


class RunBusyError(RunError):
    """Another process writes in this run folder."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock: a process, when it began (`start`), on which host, with which command, since when."""

    pid: int
    start: str
    host: str
    command: str
    since: str

    @classmethod
    def me(cls, command: str) -> Holder:
        """This process."""
        return cls(*current(), socket.gethostname(), command, time.strftime("%Y-%m-%d %H:%M:%S"))

    @classmethod
    def read(cls, text: str) -> Holder | None:
        """Who is named in a lock file; None where it names nobody (killed before it was written)."""
        try:
            holder = cls(**json.loads(text))
        except (ValueError, TypeError, RecursionError):
            return None
        kinds = (int, str, str, str, str)
        return holder if all(map(isinstance, asdict(holder).values(), kinds)) else None

    @property
    def is_here(self) -> bool:
        """Whether it is, or was, a process of this host."""
        return self.host == socket.gethostname()

    @property
    def is_running(self) -> bool:
        """Whether that process of this host still runs, and its number was not given to another one."""
        return is_alive(self.pid) and (not self.start or start_mark(self.pid) == self.start)

    def __str__(self) -> str:
        return f"`{self.command}` (process {self.pid} on {self.host}, since {self.since})"


class RunLock:
    """The right to write in a run folder. Held once however often it is asked for; the folder is made if need be."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK_NAME
        self._file: int | None = None
        self._owner = 0  # the process that took it, and not one that it forked
        self._made: list[Path] = []  # folders that were not there

    @property
    def held(self) -> bool:
        """Whether this process has it."""
        return self._file is not None

    def acquire(self, command: str) -> str | None:
        """Take the lock; returns what to tell the user where a killed process had left it.

        Raises RunBusyError while another process holds it, StorageError where the folder cannot be written.
        """
        if self.held:
            return None
        try:
            file = self._locked_file()
            with contextlib.ExitStack() as unless_held:
                unless_held.callback(os.close, file)
                before = self._check_free(os.pread(file, 1 << 16, 0).decode(errors="replace"))
                os.ftruncate(file, 0)
                os.pwrite(file, json.dumps(asdict(Holder.me(command)), indent=2).encode() + b"\n", 0)
                unless_held.pop_all()
        except OSError as error:
            self._remove_made()
            raise storage_error(self.path.parent, error) from error
        self._file, self._owner = file, os.getpid()
        return f"{self.path}: {before} was killed; its lock is taken over" if before else None

    def release(self) -> None:
        """Give the lock back; folders made for it that are still empty go with it."""
        if self._file is None:
            return
        file, self._file = self._file, None
        if os.getpid() == self._owner:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
        os.close(file)
        self._remove_made()

    def _locked_file(self) -> int:
        """The lock file, opened and locked by the system where the file system can do that."""
        while True:
            self._make_folder()
            try:
                file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:  # its holder has just gone, with the empty folder
                continue
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                text = os.pread(file, 1 << 16, 0).decode(errors="replace")
                os.close(file)
                raise self._busy(Holder.read(text)) from None
            except OSError:
                return file  # no such locks on this file system: the number of the process has to do
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), self.path.stat()):
                    return file
            os.close(file)  # it was removed by its holder while it was being opened

    def _check_free(self, text: str) -> Holder | None:
        """The holder before, if it was killed here. Raises RunBusyError if it runs, or nobody here can know."""
        holder = Holder.read(text)
        if holder is not None and (not holder.is_here or holder.is_running):
            raise self._busy(holder)
        return holder

    def _busy(self, holder: Holder | None) -> RunBusyError:
        cure = "wait for it, or choose another --run"
        if holder is not None and not holder.is_here:
            cure += f"; if it does not run there any more, delete {self.path}"
        return RunBusyError(f"is in use by {holder or 'another process'}", where=self.path.parent, fix=cure)

    def _make_folder(self) -> None:
        missing = [folder for folder in (self.path.parent, *self.path.parent.parents) if not folder.exists()]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._made = missing or self._made

    def _remove_made(self) -> None:
        with contextlib.suppress(OSError):  # the first that is not empty ends it
            for folder in self._made:
                folder.rmdir()
        self._made = []


def clear_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove the temporary files of writers that were killed: in a folder and all below, or of one file beside it.

    To be called by the folder's only writer before it writes: a temporary file with this process's own number is from
    a dead process that had it.
    """
    for path in list(folder.rglob(".*.tmp") if name is None else folder.glob(".*.tmp")):
        found = _TEMPORARY.fullmatch(path.name)
        if found is None or (name is not None and found[1] not in (name, f"{name}.parts")):
            continue
        if int(found[2]) == os.getpid() or not is_alive(int(found[2])):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
