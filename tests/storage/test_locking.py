"""The lock of a run folder: one writer, dead ones replaced, other hosts respected, nothing left behind."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from damrs_dgl.errors import StorageError
from damrs_dgl.processes import is_alive, start_mark
from damrs_dgl.storage.locking import LOCK_NAME, Holder, RunBusyError, RunLock, clear_leftovers


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def left_behind(folder: Path, **changes: object) -> Path:
    """A lock file that nobody holds open, of this process but for `changes`."""
    path = folder / LOCK_NAME
    path.write_text(json.dumps(asdict(replace(Holder.me("fit"), **changes))))  # type: ignore[arg-type]
    return path


def test_one_has_it_until_it_is_released(tmp_path: Path) -> None:
    first, second = RunLock(tmp_path), RunLock(tmp_path)
    assert first.acquire("fit") is None and first.acquire("fit") is None and first.held
    with pytest.raises(RunBusyError, match=rf"is in use by `fit` \(process {os.getpid()} on .*wait for it"):
        second.acquire("recommend")
    assert not second.held
    first.release()
    first.release()
    assert not list(tmp_path.iterdir())
    assert second.acquire("recommend") is None
    second.release()


def test_a_process_that_was_forked_does_not_give_it_back(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    lock.acquire("stress")
    child = os.fork()
    if not child:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(RunBusyError):
        RunLock(tmp_path).acquire("fit")
    lock.release()
    assert not list(tmp_path.iterdir())


def test_folders_that_were_made_for_it_go_again_unless_something_was_written(tmp_path: Path) -> None:
    lock = RunLock(tmp_path / "runs" / "demo")
    lock.acquire("fit")
    lock.release()
    assert not list(tmp_path.iterdir())
    lock.acquire("fit")
    (tmp_path / "runs" / "demo" / "model").write_text("")
    lock.release()
    assert [path.name for path in (tmp_path / "runs" / "demo").iterdir()] == ["model"]


def test_a_dead_process_s_lock_is_taken_over(tmp_path: Path, dead: int) -> None:
    left_behind(tmp_path, pid=dead)
    lock = RunLock(tmp_path)
    said = lock.acquire("fit")
    assert said is not None and f"process {dead}" in said and "was killed; its lock is taken over" in said
    assert json.loads((tmp_path / LOCK_NAME).read_text())["pid"] == os.getpid()
    lock.release()
    assert not list(tmp_path.iterdir())


def test_a_number_that_was_given_again_does_not_keep_the_lock(tmp_path: Path) -> None:
    left_behind(tmp_path, start="another time")
    lock = RunLock(tmp_path)
    assert "taken over" in (lock.acquire("fit") or "")
    lock.release()


def test_a_living_process_keeps_it_where_the_file_system_cannot_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = left_behind(tmp_path)
    with pytest.raises(RunBusyError, match="in use by `fit`"):
        RunLock(tmp_path).acquire("fit")
    path.unlink()
    lock = RunLock(tmp_path)
    lock.acquire("fit")
    with pytest.raises(RunBusyError):
        RunLock(tmp_path).acquire("fit")
    lock.release()
    assert not path.exists()


def test_another_host_s_lock_is_refused_with_the_cure(tmp_path: Path, dead: int) -> None:
    path = left_behind(tmp_path, host="another-host", pid=dead)
    with pytest.raises(RunBusyError, match=rf"on another-host.*does not run there any more, delete {path}"):
        RunLock(tmp_path).acquire("fit")
    assert "another-host" in path.read_text()


def test_what_a_library_was_writing_is_cleared_too(tmp_path: Path, dead: int) -> None:
    """safetensors has temporary files of its own beside the file that it is asked for; they get a folder of ours."""
    (tmp_path / f".model.parts.{dead}.tmp").mkdir()
    (tmp_path / f".model.parts.{dead}.tmp" / ".tmpn3X9VZ").write_text("half")
    clear_leftovers(tmp_path, "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', "null", "\ud800"])
def test_a_lock_that_names_nobody_is_taken(tmp_path: Path, text: str) -> None:
    (tmp_path / LOCK_NAME).write_bytes(text.encode(errors="surrogatepass"))
    lock = RunLock(tmp_path)
    assert lock.acquire("fit") is None
    lock.release()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        RunLock(tmp_path / "file" / "run").acquire("fit")


def test_of_many_that_come_at_once_one_gets_it(tmp_path: Path, dead: int) -> None:
    left_behind(tmp_path, pid=dead)
    program = (
        "import sys; from pathlib import Path; from damrs_dgl.storage.locking import *\n"
        "lock = RunLock(Path(sys.argv[1])); sys.stdin.readline()\n"
        "try: lock.acquire('fit'); print('got')\nexcept RunBusyError: print('busy')\n"
        "sys.stdout.flush(); sys.stdin.readline(); lock.release()"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
    racers = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], **pipes) for _ in range(6)]
    for racer in racers:
        racer.stdin.write("\n")
        racer.stdin.flush()
    said = [racer.stdout.readline().strip() for racer in racers]
    for racer in racers:
        racer.communicate("\n")
    assert sorted(said) == ["busy"] * 5 + ["got"]
    assert not list(tmp_path.iterdir())


def test_temporary_files_of_the_dead_are_cleared(tmp_path: Path, dead: int) -> None:
    inside = tmp_path / "graphs"
    inside.mkdir()
    gone = [
        tmp_path / f".run.json.{dead}.tmp",
        inside / f".graph.bin.{dead}.tmp",
        inside / f".graph.bin.{os.getpid()}.tmp",
    ]
    kept = [
        inside / f".graph.bin.{os.getppid()}.tmp",
        inside / "mine.tmp",
        inside / ".mine.tmp",
        inside / f"a.{dead}.tmp",
    ]
    for path in (*gone, *kept):
        path.write_text("")
    clear_leftovers(tmp_path, "graph.bin")
    assert all(path.exists() for path in (*gone, *kept))  # that name is not in this folder
    clear_leftovers(tmp_path)
    assert [path.exists() for path in (*gone, *kept)] == [False] * 3 + [True] * 4


def test_which_process_is_which() -> None:
    assert not any(is_alive(number) for number in (-1, 2**31, 2**70))
    assert is_alive(os.getpid()) and is_alive(1)
    assert start_mark(os.getpid()) == start_mark(os.getpid()) != start_mark(1)
    assert start_mark(2**31) == start_mark(-1) == ""


def test_a_process_that_is_not_buried_yet_is_dead() -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    while is_alive(child):
        pass
    os.waitpid(child, 0)
