"""A run that another process writes in, one that was moved, and one on a read-only disk."""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from damrs_dgl.storage.locking import RunLock
from tests.cli_runner import CommandLine, without_times
from tests.end_to_end.conftest import Shop


@contextmanager
def held(run: Path) -> Iterator[None]:
    """Another writer in the run."""
    lock = RunLock(run)
    lock.acquire("fit")
    try:
        yield
    finally:
        lock.release()


@pytest.mark.parametrize("stages", [("fit",), ("recommend",), ("stress",), ("-o", "graphs.k=5", "build-graphs")])
def test_two_writers_in_one_folder(fitted: CommandLine, stages: tuple[str, ...]) -> None:
    run = fitted.folder / "run"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    with held(run):
        fitted.refused(*stages, saying=("is in use by `fit` (process", "choose another --run"))
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()} == before


def test_what_a_run_shows_while_it_is_trained(fitted: CommandLine) -> None:
    run = fitted.folder / "run"
    with held(run):
        result = fitted.ok("build-graphs", "evaluate", "describe")
        assert "evaluate: up to date" in result.err and "describe: shown, not stored" in result.err
        assert "best epoch" in result.out
        right = without_times(run / "metrics.json")
        (run / "metrics.json").unlink()
        again = fitted.ok("evaluate")
        assert again.out.splitlines()[0] == result.out.splitlines()[0]
        assert "evaluate: shown, not stored (" in again.err and "is in use by `fit`" in again.err
        assert not (run / "metrics.json").exists()
    fitted.ok("evaluate")
    assert without_times(run / "metrics.json") == right


def test_the_lock_goes_with_the_command_however_it_ends(tiny: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tiny.folder / "run" / "run.lock"
    seen: list[bool] = []

    def stop(*_: Any, **__: Any) -> None:
        seen.append(lock.exists())
        raise errors.pop()

    errors: list[BaseException] = [KeyboardInterrupt(), RuntimeError("a fault"), MemoryError()]
    with monkeypatch.context() as patch:
        patch.setattr(importlib.import_module("damrs_dgl.stages.fit"), "prepare_training", stop)
        while errors:
            assert tiny("fit").code != 0
            assert not lock.exists()
    assert seen == [True] * 3
    tiny.ok("fit", "evaluate", "recommend")
    assert not lock.exists()


def test_a_project_that_was_moved_goes_on(shop: Shop) -> None:
    shop.cli.ok("fit", "recommend")
    old, new = shop.cli.folder, shop.cli.folder / "elsewhere"
    new.mkdir()
    for name in ("shop", "shop.toml", "run"):
        shutil.move(old / name, new / name)
    shop.cli.monkeypatch.chdir(new)
    result = shop.cli.ok("build-graphs", "fit", "evaluate", "recommend")
    for stage in ("build-graphs", "fit", "evaluate"):
        assert f"{stage}: up to date" in result.err


def test_data_that_were_moved_and_changed_are_other_data(shop: Shop) -> None:
    shop.cli.ok("fit")
    shutil.move(shop.folder, shop.cli.folder / "moved")
    moved = ("-o", f'data.path="{shop.cli.folder / "moved"}"')
    assert "fit: up to date" in shop.cli.ok(*moved, "fit").err
    changed = replace(shop, folder=shop.cli.folder / "moved")
    changed.write(changed.lines()[:-1])
    before = sorted(shop.cli.folder.rglob("*"))
    shop.cli.refused(*moved, "fit", saying=("holds a run of recipe 'shop' on other data: path", "choose another --run"))
    assert sorted(shop.cli.folder.rglob("*")) == before


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that cannot be written; tests may run as root, who is not kept out by permissions."""
    real = os.open

    def refuse(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and "run" in Path(path).parts:
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, flags, *args, **kwargs)

    def touch(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(Path, "touch", touch)


def test_a_finished_run_on_a_read_only_disk_is_shown(fitted: CommandLine, request: pytest.FixtureRequest) -> None:
    written = fitted.ok("evaluate").out
    (fitted.folder / "run" / "history.csv").touch()
    request.getfixturevalue("read_only")
    result = fitted.ok("describe", "build-graphs", "fit", "evaluate")
    assert written in result.out and "150" in result.out
    assert "describe: shown, not stored (" in result.err and "Read-only file system" in result.err
    assert "fit: up to date" in result.err
    assert "fit: up to date" in fitted.ok("-o", "evaluation.ks=[5,20]", "fit").err  # history.csv has other columns
    for more in (("recommend",), ("stress",), ("fit", "--restart"), ("-o", "training.epochs=9", "fit")):
        fitted.refused(*more, saying=("cannot be written (Read-only file system)", "a copy of the folder"))


def test_metrics_of_a_read_only_run_are_computed_and_shown(fitted: CommandLine, request: pytest.FixtureRequest) -> None:
    written = fitted.ok("evaluate").out
    (fitted.folder / "run" / "metrics.json").unlink()
    request.getfixturevalue("read_only")
    result = fitted.ok("evaluate")
    assert result.out == written
    assert "evaluate: shown, not stored (" in result.err


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o007])
def test_files_may_be_read_by_whom_the_umask_says(tiny: CommandLine, mask: int) -> None:
    before = os.umask(mask)
    try:
        tiny.ok("-o", "training.epochs=1", "describe", "fit", "recommend", "--export-vectors")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tiny.folder.rglob("*") if path.is_file()}
    assert len(modes) == 11 + 1 and set(modes.values()) == {0o666 & ~mask}, modes
