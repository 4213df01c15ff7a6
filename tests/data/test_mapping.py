"""Mapped features: read like any others, and not counted as this process's memory for longer than it takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from damrs_dgl.data.mapping import release_pages, take_rows


def resident(values: np.ndarray) -> int:
    """Bytes of the mapping that are in this process's memory; Linux only."""
    address, maps = values.__array_interface__["data"][0], Path("/proc/self/smaps")
    if not maps.exists():
        pytest.skip("/proc/self/smaps tells what is resident, and this system has none")
    inside = False
    for line in maps.read_text().splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            low, high = (int(end, 16) for end in first.split("-"))
            inside = low <= address < high
        elif inside and first == "Rss:":
            return int(line.split()[1]) * 1024
    raise AssertionError("the mapping is not listed")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).normal(size=(3000, 512)).astype(np.float32))
    return tmp_path / "rows.npy"


@pytest.mark.parametrize("view", [slice(None), slice(100, 2000)])
def test_pages_leave_and_come_back(saved: Path, view: slice) -> None:
    mapped = np.load(saved, mmap_mode="r")[view]
    total = mapped.sum()
    assert resident(mapped) > mapped.nbytes // 2
    release_pages(mapped)
    assert resident(mapped) < mapped.nbytes // 10
    assert mapped.sum() == total


@pytest.mark.parametrize("mode", ["c", "r+", None])
def test_what_was_written_stays(saved: Path, mode: str | None) -> None:
    values = np.load(saved, mmap_mode=mode)
    values[5] = 7
    release_pages(values)
    assert (values[5] == 7).all()


@pytest.mark.parametrize("mode", ["r", None])
def test_rows_are_taken_whatever_their_order(saved: Path, mode: str | None) -> None:
    values = np.load(saved, mmap_mode=mode)
    rows = np.random.default_rng(1).integers(0, 3000, 400)
    np.testing.assert_array_equal(take_rows(values, rows), np.load(saved)[rows])
    assert take_rows(values, rows[:0]).shape == (0, 512)
