"""Headers of .npy files that promise what is not there: one line each, and nothing is allocated for them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from damrs_dgl.data.formats.npy import open_npy
from damrs_dgl.errors import DataError


def write(path: Path, header: str, content: bytes = b"\0" * 64, version: tuple[int, int] = (1, 0)) -> Path:
    length = struct.pack("<H" if version == (1, 0) else "<I", len(header))
    path.write_bytes(b"\x93NUMPY" + bytes(version) + length + header.encode() + content)
    return path


def described(shape: str, descr: str = "'<f4'", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}\n"


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("{{{{", "has a damaged header"),
        ("(" * 3000, "has a damaged header"),
        ("-" * 3000 + "1", "has a damaged header"),
        ("{'descr'" * 1000, "has a damaged header"),
        ("", "has a damaged header"),
        ("\0" * 50, "has a damaged header"),
        ("[1, 2]\n", "has a damaged header"),
        (described("(4, 4)", "'<q9'"), "has a damaged header"),
        (described("(4, 4)", "[('a', 3)]"), "has a damaged header"),
        (described("(-4, 4)"), r"has a damaged header \(shape \(-4, 4\)\)"),
        (described("(-4, -4)"), "has a damaged header"),
        (described("(True, 4)"), r"has a damaged header \(shape \(True, 4\)\)"),
        (described("(False, 4)"), "has a damaged header"),
        (described("(1" + "0" * 30 + ", 4)"), r"has a damaged header \(shape"),
        (described("(4, 4611686018427387903)"), r"is truncated \(\d+ bytes, its header promises"),
        (described("(4.0, 4)"), "has a damaged header"),
        (described("4"), "has a damaged header"),
        (described("()"), r"shape \(\), expected items x values"),
        (described("(0, 4)"), r"shape \(0, 4\), expected items x values"),
        (described("(2, 4)"), r"goes on behind its array \(\d+ bytes, its header promises"),
        (described("(5, 4)"), "is truncated"),
        (described("(4, 4)", "'|O'"), "holds Python objects"),
        (described("(4, 4)", "'<c8'"), "holds complex64, expected numbers"),
        (described("(4, 4)", "'<M8[s]'"), "expected numbers"),
        (described("(4, 4)", "('<f4', (3,))"), "expected numbers|damaged header"),
    ],
)
def test_bad_headers(tmp_path: Path, header: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        open_npy(write(tmp_path / "v.npy", header))


@pytest.mark.parametrize("version", [(0, 0), (1, 1), (9, 9), (2, 0), (3, 0)])
def test_versions_and_lengths(tmp_path: Path, version: tuple[int, int]) -> None:
    file = write(tmp_path / "v.npy", described("(4, 4)"), np.ones(16, np.float32).tobytes(), version=version)
    if version in ((2, 0), (3, 0)):
        assert open_npy(file)[0].block(0, 4).tolist() == [[1.0] * 4] * 4
        file.write_bytes(b"\x93NUMPY" + bytes(version) + b"\xff\xff\xff\x7f")
    with pytest.raises(DataError, match="has a damaged header"):
        open_npy(file)


def test_columns_first(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.asfortranarray(np.arange(12, dtype=np.float32).reshape(4, 3)))
    assert open_npy(tmp_path / "v.npy")[0].block(0, 2).tolist() == [[0, 1, 2], [3, 4, 5]]
