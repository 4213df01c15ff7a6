"""The run directory: keys, what changed, whose it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from damrs_dgl.errors import RunError
from damrs_dgl.run import RunDirectory, artefact_key, change_text


def test_a_key_depends_on_every_part_and_on_nothing_else() -> None:
    assert artefact_key("fit", {"a": 1, "b": [2.5]}) == artefact_key("fit", {"b": [2.5], "a": 1})
    keys = {artefact_key(*parts) for parts in (("a", 1), ("a", 2), ("b", 1), ("a", "1"), ("a", 1, None))}
    assert len(keys) == 5


def test_nothing_is_made_before_the_first_artefact(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "deep" / "run")
    run.claim("demo", {"format": "synthetic"})
    assert run.changes("fit", {"dim": 8}) is None
    run.forget("fit")
    assert list(tmp_path.iterdir()) == []


def test_changes_are_named(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.claim("demo", {"format": "synthetic"})
    made = tmp_path / "run" / "model"
    run.record("fit", {"dim": 8, "k": 10, "old": True})
    assert run.changes("fit", {"dim": 8, "k": 10, "old": True}, made) is None  # recorded, but its file is gone
    made.write_text("weights")
    again = RunDirectory(tmp_path / "run")
    assert again.changes("fit", {"dim": 8, "k": 10, "old": True}, made) == []
    assert again.changes("fit", {"dim": 16, "k": 10, "new": [1]}, made) == ["dim", "old", "new"]
    again.forget("fit")
    assert RunDirectory(tmp_path / "run").changes("fit", {}) is None


def test_parts_come_back_as_they_were_recorded(tmp_path: Path) -> None:
    parts = {"ks": [5, 20], "alpha": 1e-3, "name": "ä", "none": None, "nested": {"x": [1.5]}}
    run = RunDirectory(tmp_path)
    run.claim("demo", {"format": "synthetic"})
    run.record("fit", parts)
    assert RunDirectory(tmp_path).changes("fit", parts) == []


def test_a_directory_belongs_to_one_data_set(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.claim("mine", {"path": "a", "format": "mmrec"})
    run.record("graphs", {})
    RunDirectory(tmp_path).claim("yours", {"path": "a", "format": "mmrec"})  # other settings of the same data
    with pytest.raises(RunError, match=r"recipe 'mine', whose .data. differs: path; choose another --run"):
        RunDirectory(tmp_path).claim("yours", {"path": "b", "format": "mmrec"})


def test_a_file_is_no_run_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file"):
        RunDirectory(tmp_path / "file")


def test_changes_in_words() -> None:
    assert change_text(["the data"]) == "the data changed"
    assert change_text(["a", "b", "c"]) == "a, b, c changed"
    assert change_text(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more changed"
