"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import json
import math
from pathlib import Path

import pytest

from damrs_dgl.errors import RunError, StorageError
from damrs_dgl.storage.files import read_json, whole_file, write_csv, write_json, write_text


def test_folders_are_made_and_the_file_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    write_text(path, "one")
    write_text(path, "zwölf")
    assert path.read_text(encoding="utf-8") == "zwölf"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError("half"), KeyboardInterrupt()])
def test_what_stood_there_stays_when_writing_fails(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "before")
    with pytest.raises(type(error)), whole_file(path) as temporary:
        temporary.write_text("after, but only ha")
        raise error
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("number", "saying"),
    [(errno.ENOSPC, "no room left"), (errno.EDQUOT, "no room left"), (errno.EACCES, "permissions")],
)
def test_why_a_file_could_not_be_written(tmp_path: Path, number: int, saying: str) -> None:
    path = tmp_path / "file.txt"
    with pytest.raises(StorageError, match=saying) as caught, whole_file(path) as temporary:
        temporary.write_text("half")
        raise OSError(number, "the system's words")
    assert str(path) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="choose another --run"):
        write_text(tmp_path / "file" / "inside.txt", "text")


def test_json_has_no_nan(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": math.nan, "b": [1.5, math.inf, {"c": -math.inf}], "d": (1, "ä", None, True)})
    text = path.read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": None,
        "b": [1.5, None, {"c": None}],
        "d": [1, "ä", None, True],
    }
    assert read_json(path, fix="")["b"][0] == 1.5


def test_json_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(RunError, match=r"x\.json: is not there; make it"):
        read_json(path, fix="make it")
    for content in (b"{", b"[1]", b"\xff\xfe", b""):
        path.write_bytes(content)
        with pytest.raises(RunError, match=r"is damaged .*make it"):
            read_json(path, fix="make it")


def test_csv_columns_stand_in_the_order_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    write_csv(path, [{"z": 1, "a": "x,y"}, {"extra": 2, "a": 3}], ["a", "unused", "z"])
    assert path.read_text() == 'a,unused,z,extra\n"x,y",,1,\n3,,,2\n'
