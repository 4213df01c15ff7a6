"""Names that lead to no plain file: answered at once, in one line, without waiting for anything."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from damrs_dgl.data import read_mmrec
from damrs_dgl.data.formats.files import exists, is_pipe, read_pipe, require_file, require_folder
from damrs_dgl.errors import DataError


def _folder(path: Path) -> None:
    path.mkdir()


def _circle(path: Path) -> None:
    path.symlink_to(path)


def _lost(path: Path) -> None:
    path.symlink_to("gone")


def _device(path: Path) -> None:
    path.symlink_to("/dev/null")


KINDS: list[tuple[Callable[[Path], None], str]] = [
    (_folder, "shop.inter: is a folder, expected a file"),
    (os.mkfifo, "shop.inter: is a pipe or a device, expected a file; copy"),
    (_device, "is a pipe or a device"),
    (_circle, r"shop.inter: cannot be opened \(Too many levels of symbolic links\)"),
    (_lost, "shop.inter: is a link to gone, which is not there; mend the link"),
]


@pytest.mark.parametrize(("make", "words"), KINDS)
def test_interactions_that_are_no_file(tmp_path: Path, make: Callable[[Path], None], words: str) -> None:
    make(tmp_path / "shop.inter")
    for name in (None, "shop.inter"):
        with pytest.raises(DataError, match=words):
            read_mmrec(tmp_path, interactions=name)


@pytest.mark.parametrize(
    ("name", "words"), [("a" * 5000, r"a{200}\.\.\.: cannot be opened \(File name too long\)"), ("a\0b", "is no name")]
)
def test_names_that_cannot_be(tmp_path: Path, name: str, words: str) -> None:
    for look in (require_file, require_folder, exists):
        with pytest.raises(DataError, match=words):
            look(Path(name))


def test_a_pipe_of_the_shell(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    assert is_pipe(f"/dev/fd/{reader}")
    assert not is_pipe(tmp_path)
    thread = threading.Thread(target=lambda: (os.write(writer, b"user\n"), os.close(writer)))
    thread.start()
    assert read_pipe(f"/dev/fd/{reader}") == b"user\n"
    thread.join()
    os.close(reader)
