"""The run directory: keys, what changed, whose it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from damrs_dgl.errors import RunError
from damrs_dgl.storage.run import RunDirectory, artefact_key, change_text

DATA = {"format": "synthetic"}


def unread() -> str:
    raise AssertionError("the data were read")


def test_a_key_depends_on_every_part_and_on_nothing_else() -> None:
    assert artefact_key("fit", {"a": 1, "b": [2.5]}) == artefact_key("fit", {"b": [2.5], "a": 1})
    keys = {artefact_key(*parts) for parts in (("a", 1), ("a", 2), ("b", 1), ("a", "1"), ("a", 1, None))}
    assert len(keys) == 5


def test_nothing_is_made_before_the_first_artefact(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "deep" / "run")
    run.claim("demo", DATA, unread)
    assert run.changes("fit", {"dim": 8}) is None
    run.forget("fit")
    assert list(tmp_path.iterdir()) == []


def test_changes_are_named(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.claim("demo", DATA, unread)
    made = tmp_path / "run" / "model"
    run.record("fit", {"dim": 8, "k": 10, "old": True})
    assert run.changes("fit", {"dim": 8, "k": 10, "old": True}, made) is None  # recorded, but its file is gone
    made.write_text("weights")
    again = RunDirectory(tmp_path / "run")
    assert again.changes("fit", {"dim": 8, "k": 10, "old": True}, made) == []
    again.forget("other")
    assert again.changes("fit", {"dim": 16, "k": 10, "new": [1]}, made) == ["dim", "old", "new"]
    again.forget("fit")
    assert RunDirectory(tmp_path / "run").changes("fit", {}) is None


def test_parts_come_back_as_they_were_recorded(tmp_path: Path) -> None:
    parts = {"ks": [5, 20], "alpha": 1e-3, "name": "ä", "none": None, "nested": {"x": [1.5]}}
    run = RunDirectory(tmp_path)
    run.claim("demo", DATA, unread)
    run.record("fit", parts)
    assert RunDirectory(tmp_path).changes("fit", parts) == []


def test_a_directory_belongs_to_one_data_set(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.claim("mine", {"path": "a", "format": "mmrec"}, unread)
    run.fingerprint = "01"
    run.record("graphs", {})
    RunDirectory(tmp_path).claim("yours", {"path": "a", "format": "mmrec"}, unread)  # other settings of the same data
    for data, fingerprint in (({"path": "b", "format": "mmrec"}, lambda: "02"), ({"path": "b", "format": "x"}, unread)):
        with pytest.raises(RunError, match=r"recipe 'mine' on other data: .*path of .data. .*choose another --run"):
            RunDirectory(tmp_path).claim("yours", data, fingerprint)


def test_data_that_were_moved_are_known_by_their_fingerprint(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.claim("mine", {"path": "a", "format": "mmrec"}, unread)
    run.fingerprint = "01"
    run.record("graphs", {"k": 1})
    moved = RunDirectory(tmp_path)
    moved.claim("mine", {"path": "b", "format": "mmrec"}, lambda: "01")
    assert moved.changes("graphs", {"k": 1}) == []
    moved.record("graphs", {"k": 1})
    RunDirectory(tmp_path).claim("mine", {"path": "b", "format": "mmrec"}, unread)


def test_files_are_recorded_with_checksums(tmp_path: Path) -> None:
    run, said = RunDirectory(tmp_path), []
    run.claim("demo", DATA, unread)
    file = tmp_path / "deep" / "file"
    file.parent.mkdir()
    with run.making("it", {"k": 1}, file):
        file.write_text("one")
    again = RunDirectory(tmp_path)
    assert again.is_sound("it", {"k": 1}, said.append) and not again.is_sound("it", {"k": 2}, said.append) and not said
    file.write_text("two")
    assert not again.is_sound("it", {"k": 1}, said.append)
    assert said == [f"{file}: is damaged (its checksum does not fit); making the it anew"]
    file.unlink()
    assert again.changes("it", {"k": 1}) is None
    with pytest.raises(ZeroDivisionError), again.making("it", {"k": 1}, file):
        raise ZeroDivisionError
    assert RunDirectory(tmp_path).changes("it", {"k": 1}) is None


def test_why_an_artefact_is_refused(tmp_path: Path) -> None:
    run, table, plot = RunDirectory(tmp_path), tmp_path / "compare.csv", tmp_path / "compare.png"
    run.claim("demo", DATA, unread)
    for file in (table, plot):
        file.write_text("system")
    assert run.refusal("compare", {"k": 1}) is None  # written by hand
    run.record("compare", {"k": 1}, table, plot)
    assert run.refusal("compare", {"k": 1}) is None
    assert run.refusal("compare", {"k": 2}) == "of other settings (k changed)"
    assert run.refusal("compare", {"k": 2}, other="another training") == "of another training (k changed)"
    plot.unlink()  # which speaks against the table as little as for it
    assert run.refusal("compare", {"k": 1}) is None
    assert run.refusal("compare", {"k": 2}) == "of other settings (k changed)"
    table.write_text("model")
    assert run.refusal("compare", {"k": 1}) == "damaged (compare.csv)"


def test_commands_are_kept_and_say_nothing_of_what_is_up_to_date(tmp_path: Path) -> None:
    run, table = RunDirectory(tmp_path), tmp_path / "compare.csv"
    run.claim("demo", DATA, unread)
    table.write_text("system")
    run.record("compare", {"k": 1}, table, commands=[("compare", "--models", "a b")])
    run.record("graphs", {"k": 1})
    again = RunDirectory(tmp_path)
    assert again.commands("compare") == [["compare", "--models", "a b"]] and again.changes("compare", {"k": 1}) == []
    assert again.commands("graphs") == again.commands("stress") == []
    table.unlink()  # the others of its files may be shown
    assert again.commands("compare") == [["compare", "--models", "a b"]]
    again.forget("compare")
    assert again.commands("compare") == []


def test_a_folder_in_another_file_format(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"recipe": "demo", "data": {"format": "synthetic"}, "artefacts": {"fit": {}}}')
    run = RunDirectory(tmp_path)
    assert run.outdated == "3 or older"
    run.claim("demo", DATA, unread)
    assert run.changes("fit", {}) is None
    (tmp_path / "model.safetensors").write_text("a training")
    with pytest.raises(RunError, match=r"holds a training in file format 3 or older.*choose another --run"):
        RunDirectory(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    run.record("graphs", {})
    assert RunDirectory(tmp_path).outdated is None


def test_a_file_is_no_run_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file"):
        RunDirectory(tmp_path / "file")


def test_changes_in_words() -> None:
    assert change_text(["the data"]) == "the data changed"
    assert change_text(["a", "b", "c"]) == "a, b, c changed"
    assert change_text(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more changed"
