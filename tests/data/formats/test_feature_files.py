"""Feature files: what is mapped, what is converted, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from damrs_dgl.data import content
from damrs_dgl.data.formats.npy import open_npy
from damrs_dgl.errors import DataError


@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_floats_are_mapped(tmp_path: Path, kind: str) -> None:
    np.save(tmp_path / "v.npy", np.ones((3, 2), dtype=kind))
    features, findings = open_npy(tmp_path / "v.npy")
    assert isinstance(features.values, np.memmap)
    assert not features.values.flags.writeable
    assert features.values.dtype == kind
    assert findings == []


@pytest.mark.parametrize("kind", ["float64", "int32", "uint8", ">f4"])
def test_other_numbers_are_converted(tmp_path: Path, kind: str) -> None:
    np.save(tmp_path / "v.npy", np.array([[1, 2], [0, 0]], dtype=kind))
    features, findings = open_npy(tmp_path / "v.npy")
    assert features.values.dtype == np.float32
    assert features.block(0, 2).tolist() == [[1, 2], [0, 0]]
    assert [finding.action for finding in findings] == ["converted to float32", "treated as missing"]


def test_beyond_float32_is_missing(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array([[1e300, 1], [1, 1], [np.inf, 1]]))
    features, findings = open_npy(tmp_path / "v.npy")
    assert features.missing.tolist() == [True, False, True]
    assert [str(finding) for finding in findings[1:]] == [
        "v.npy: 1 rows with NaN, infinity or null (treated as missing)",
        "v.npy: 1 rows with numbers beyond float32's range (treated as missing)",
    ]


def test_scan_in_blocks_is_the_scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_SCAN_VALUES", 6)
    values = np.random.default_rng(0).normal(size=(31, 3)).astype(np.float32)
    values[[4, 30]] = 0
    values[5, 2] = np.nan
    values[17, 0] = -np.inf
    np.save(tmp_path / "v.npy", values)
    features, findings = open_npy(tmp_path / "v.npy")
    assert np.flatnonzero(features.missing).tolist() == [4, 5, 17, 30]
    assert [(finding.kind, finding.count) for finding in findings] == [
        ("rows with NaN, infinity or null", 2),
        ("all-zero rows", 2),
    ]
    np.save(tmp_path / "d.npy", values.astype(np.float64))
    assert np.array_equal(open_npy(tmp_path / "d.npy")[0].values, values, equal_nan=True)


class Harmful:
    def __reduce__(self) -> tuple:
        return (Path("harm.txt").touch, ())


def test_bad_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("good.npy", np.ones((9, 5), dtype=np.float32))
    Path("cut.npy").write_bytes(Path("good.npy").read_bytes()[:-20])
    Path("head.npy").write_bytes(Path("good.npy").read_bytes()[:20])
    Path("empty.npy").write_bytes(b"")
    Path("text.npy").write_text("1.0 2.0\n")
    Path("pickle.npy").write_bytes(pickle.dumps(Harmful()))
    np.save("object.npy", np.array([[Harmful()]], dtype=object), allow_pickle=True)
    np.save("words.npy", np.array([["a", "b"]]))
    np.save("flags.npy", np.ones((3, 2), dtype=bool))
    np.save("flat.npy", np.ones(3, dtype=np.float32))
    np.save("cube.npy", np.ones((3, 2, 2), dtype=np.float32))
    np.save("none.npy", np.ones((3, 0), dtype=np.float32))
    Path("folder.npy").mkdir()
    for name, words in {
        "cut": "is truncated",
        "head": "has a damaged header",
        "empty": "is empty",
        "text": "is not a .npy file",
        "pickle": "is not a .npy file .*a pickle",
        "object": "holds Python objects .*never loaded",
        "words": "holds <U1, expected numbers",
        "flags": "holds bool, expected numbers",
        "flat": r"shape \(3,\), expected items x values",
        "cube": r"shape \(3, 2, 2\), expected items x values",
        "none": r"shape \(3, 0\)",
        "folder": "is a folder, expected a file",
        "goood": "no such file; did you mean good.npy",
    }.items():
        with pytest.raises(DataError, match=words):
            open_npy(f"{name}.npy")
    assert not Path("harm.txt").exists()


def test_archive_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", a=np.ones(2))
    with pytest.raises(DataError, match="is an archive of arrays"):
        open_npy(tmp_path / "v.npz")
