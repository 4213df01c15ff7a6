"""What is damaged on disk, a full disk, and a training that blows up: said in one line, and nothing good is lost."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from damrs_dgl.cli import main
from damrs_dgl.models.base import Batch
from damrs_dgl.models.damrs.model import DAMRS
from tests.cli_runner import CommandLine, tiny_options, without_times


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path: Path) -> None:
    """One bit in the middle is another one."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("content", ["{", "[]", '{"artefacts": {}}', '{"artefacts": {"fit": 3}, "data": {}}', "\x00"])
def test_a_damaged_manifest(fitted: CommandLine, content: str) -> None:
    (fitted.folder / "run" / "run.json").write_text(content)
    fitted.refused("fit", saying=("run.json", "choose another --run"))


def test_a_deleted_manifest_loses_no_training(fitted: CommandLine) -> None:
    (fitted.folder / "run" / "run.json").unlink()
    assert "fit: up to date" in fitted.ok("fit").err


@pytest.mark.parametrize("name", ["graphs/graph.bin", "graphs/summary.json", "ids/users.parquet", "ids/items.parquet"])
@pytest.mark.parametrize("damage", [_cut, _flip])
def test_a_damaged_graph_is_built_anew(fitted: CommandLine, name: str, damage: Callable[[Path], None]) -> None:
    path = fitted.folder / "run" / name
    whole = path.stat().st_size
    damage(path)
    result = fitted.ok("build-graphs", "fit")
    assert f"{name}: " in result.err
    assert "making the graphs anew" in result.err
    assert "fit: up to date" in result.err
    assert path.stat().st_size == pytest.approx(whole, abs=10)


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "model.safetensors"])
def test_a_checkpoint_cut_short(fitted: CommandLine, name: str) -> None:
    _cut(fitted.folder / "run" / name)
    fitted.refused("-o", "training.epochs=5", "fit", saying=(name, "fit --restart"))
    result = fitted.ok("fit", "--restart")
    assert "fit: best epoch" in result.err


def test_a_model_cut_short(fitted: CommandLine) -> None:
    _cut(fitted.folder / "run" / "model.safetensors")
    fitted.refused("recommend", saying=("model.safetensors", "fit"))


def test_a_graph_of_another_run(fitted: CommandLine) -> None:
    """Of the same sizes, whole, and with the seal of its own: it is not this run's."""
    path, mine = fitted.folder / "run" / "graphs" / "graph.bin", tiny_options(fitted.folder / "other")
    replace(fitted, options=mine).ok("-o", "data.seed=1", "build-graphs")
    shutil.copy(fitted.folder / "other" / "graphs" / "graph.bin", path)
    right = without_times(fitted.folder / "run" / "metrics.json")
    (fitted.folder / "run" / "metrics.json").unlink()
    assert "graph.bin: is damaged (its checksum does not fit); making the graphs anew" in fitted.ok("evaluate").err
    assert without_times(fitted.folder / "run" / "metrics.json") == right


@pytest.mark.parametrize("name", ["checkpoint.safetensors", "model.safetensors"])
def test_one_flipped_bit_in_what_was_trained(fitted: CommandLine, name: str) -> None:
    _flip(fitted.folder / "run" / name)
    fitted.refused("fit", saying=(name, "its checksum does not fit", "fit --restart"))
    if name.startswith("model"):
        fitted.refused("recommend", saying=(name, "its checksum does not fit", "fit --restart"))
    assert "fit: best epoch" in fitted.ok("fit", "--restart").err


@pytest.mark.parametrize("damage", [_cut, _flip])
def test_damaged_metrics_are_computed_anew(fitted: CommandLine, damage: Callable[[Path], None]) -> None:
    path = fitted.folder / "run" / "metrics.json"
    right = without_times(path)
    damage(path)
    result = fitted.ok("evaluate")
    assert result.err.count("metrics.json: is damaged (its checksum does not fit); making the metrics anew") == 1
    assert without_times(path) == right
    assert "evaluate: up to date" in fitted.ok("evaluate").err


def test_metrics_that_someone_edited(fitted: CommandLine) -> None:
    path = fitted.folder / "run" / "metrics.json"
    path.write_text(re.sub(r'"recall@20": 0', '"recall@20": 1', path.read_text()))
    assert "metrics.json: is damaged" in fitted.ok("fit").err


def test_a_manifest_with_one_other_letter(fitted: CommandLine) -> None:
    path = fitted.folder / "run" / "run.json"
    path.write_text(path.read_text().replace('"graphs.k": 10', '"graphs.k": 11'))
    fitted.refused("fit", saying=("run.json", "its checksum does not fit", "a training is kept"))
    path.unlink()
    assert "fit: up to date" in fitted.ok("fit").err


def test_everything_that_is_written_is_in_the_manifest_or_vouches_for_itself(fitted: CommandLine) -> None:
    fitted.ok("describe", "recommend", "--export-vectors")
    run = fitted.folder / "run"
    manifest = json.loads((run / "run.json").read_text())
    listed = {name for entry in manifest["artefacts"].values() for name in entry["files"]}
    alone = {"run.json", "checkpoint.safetensors", "model.safetensors", "history.csv"}  # the last is written anew
    assert listed | alone == {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    for entry in manifest["artefacts"].values():
        assert entry["parts"]["the data" if "the data" in entry["parts"] else "the training"]
        for name, digest in entry["files"].items():
            assert hashlib.sha256((run / name).read_bytes()).hexdigest() == digest


def test_verify_says_which_files_are_not_what_was_written(fitted: CommandLine) -> None:
    fitted.ok("describe", "recommend", "--top", "2", "--export-vectors")
    run = fitted.folder / "run"
    result = fitted.ok("verify")
    assert result.out.count("sound") == 11 and "damaged" not in result.out
    for name in ("recommendations.parquet", "vectors.safetensors", "model.safetensors"):
        _flip(run / name)
    (run / "dataset.json").unlink()
    result = fitted("verify")
    assert result.code == 2 and "4 of 11 files are damaged or gone, the first is " in result.errors[0]
    states = dict(line.split(maxsplit=1) for line in result.out.splitlines()[2:])
    assert [name for name, state in states.items() if state == "not there"] == ["dataset.json"]
    assert {name for name, state in states.items() if state == "damaged"} == {
        "recommendations.parquet",
        "vectors.safetensors",
        "model.safetensors",
    }


def _append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n# more\n")


def _other_number(path: Path) -> None:
    path.write_text(path.read_text().replace("0.", "0.9", 1))


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        ("tuned.toml", _append),
        ("history.csv", _append),
        ("report.html", _append),
        ("cells/*.parquet", Path.unlink),
        ("cells/*.json", _other_number),
        ("trials/*.trial.json", _other_number),
        ("trials/*.searches.json", _other_number),
    ],
)
def test_verify_sees_what_someone_changed(study: CommandLine, pattern: str, damage: Callable[[Path], None]) -> None:
    run = study.folder / "run"
    path = min(run.glob(pattern))
    damage(path)
    result = study("verify")
    assert result.code == 2
    assert f"files are damaged or gone, the first is {path.relative_to(run)}" in result.errors[0]
    assert "sound" in result.out


@pytest.fixture(scope="module")
def studied_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a fit, a comparison, a search and a page. To be copied, not changed."""
    run = tmp_path_factory.mktemp("studied") / "run"
    stages = ("fit", "compare", "--models", "mf", "tune", "--search", "grid", "--trials", "1", "report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("damrs_dgl.studies.workers.usable_cores", lambda: 1)
        patch.setattr(sys, "argv", ["damrs-dgl", *tiny_options(run), "-o", "model.name=mf", *stages])
        main()
    return run


@pytest.fixture
def study(tiny: CommandLine, studied_run: Path) -> CommandLine:
    shutil.copytree(studied_run, tiny.folder / "run")
    return tiny


def test_verify_of_what_studies_left(study: CommandLine) -> None:
    result = study.ok("verify")
    for name in ("tuned.toml", "history.csv", "report.html", "cells/", "trials/"):
        assert f"\n{name}" in result.out
    assert result.err == ""
    (study.folder / "run" / "notes.txt").write_text("mine")
    assert "verify: not compared, for no checksum was taken: notes.txt" in study.ok("verify").err


def test_verify_looks_into_runs_inside_the_run(fitted: CommandLine) -> None:
    run = fitted.folder / "run"
    shutil.copytree(run, fitted.folder / "copy")
    shutil.move(fitted.folder / "copy", run / "without-suspects-0.05")
    assert "without-suspects-0.05/metrics.json" in fitted.ok("verify").out
    _append(run / "without-suspects-0.05" / "metrics.json")
    fitted_again = fitted("verify")
    assert "the first is without-suspects-0.05/metrics.json" in fitted_again.errors[0]
    (run / "without-suspects-0.05" / "run.json").write_text("{")
    assert "the first is without-suspects-0.05/run.json" in fitted("verify").errors[0]


def test_a_history_with_other_columns_is_sound(fitted: CommandLine) -> None:
    fitted.ok("-o", "evaluation.ks=[20, 30]", "fit")
    assert "validation_recall@30" in (fitted.folder / "run" / "history.csv").read_text()
    fitted.ok("verify")


def test_verify_where_nothing_is(tiny: CommandLine) -> None:
    tiny.refused("verify", saying=("nothing is there yet", "`fit` first"))


def test_a_training_of_other_settings_is_not_replaced_without_a_word(fitted: CommandLine) -> None:
    (fitted.folder / "run" / "run.json").unlink()
    said = fitted.ok("-o", "training.seed=4", "-o", "training.epochs=1", "fit").err
    assert "checkpoint.safetensors is of other settings, training anew" in said


def test_a_damaged_checkpoint_of_other_settings_is_in_nobodys_way(fitted: CommandLine) -> None:
    _append(fitted.folder / "run" / "checkpoint.safetensors")
    said = fitted.ok("-o", "training.seed=4", "-o", "training.epochs=1", "fit").err
    assert "fit: training.seed changed, training anew" in said


def test_a_training_that_was_killed_before_it_was_noted_as_done_is_noted_later(
    tiny: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("damrs_dgl.stages.history.History.record", lambda self: None)
        tiny.ok("fit")
    assert "no checksum was taken: history.csv" in tiny.ok("verify").err
    tiny.ok("fit")
    assert tiny.ok("verify").err == ""


def _no_room_for(monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """The disk is full whenever a file with this in its name is to take its place."""
    real = Path.replace  # not os.replace, which Path has taken hold of at import in Python 3.10

    def replace(source: Path, target: Path) -> Path:
        if part in target.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(source, target)

    monkeypatch.setattr(Path, "replace", replace)


@pytest.mark.parametrize(
    "name",
    ["users.parquet", "graph.bin", "summary.json", "checkpoint", "model.safetensors", "history.csv", "metrics.json"],
)
def test_a_full_disk(tiny: CommandLine, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with monkeypatch.context() as patch:
        _no_room_for(patch, name)
        tiny.refused("fit", saying=(name, "no room left on the disk", "free some space"))
    run = tiny.folder / "run"
    assert not list(run.rglob("*.tmp"))
    assert not list(run.rglob(f"{name}*"))
    tiny.ok("fit")
    assert list(run.rglob(f"{name}*"))


def test_a_full_disk_keeps_what_stood_there(fitted: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted.ok("recommend", "--top", "2", "--export-vectors")
    run = fitted.folder / "run"
    before = {name: (run / name).read_bytes() for name in ("recommendations.parquet", "vectors.safetensors")}
    for name, content in before.items():
        with monkeypatch.context() as patch:
            _no_room_for(patch, name)
            fitted.refused("recommend", "--top", "4", "--export-vectors", saying=(name, "no room left"))
        assert (run / name).read_bytes() == content


def _breaks_in(monkeypatch: pytest.MonkeyPatch, epoch: int, term: str) -> None:
    """Let one loss term become NaN in one epoch."""
    real_start, real_step = DAMRS.on_epoch_start, DAMRS.training_step
    now = [0]

    def start(model: DAMRS, index: int, generator: torch.Generator) -> None:
        now[0] = index
        real_start(model, index, generator)

    def step(model: DAMRS, batch: Batch) -> dict[str, Tensor]:
        terms = real_step(model, batch)
        return {**terms, term: terms[term] * float("nan")} if now[0] == epoch else terms

    monkeypatch.setattr(DAMRS, "on_epoch_start", start)
    monkeypatch.setattr(DAMRS, "training_step", step)


def test_a_term_that_is_no_longer_finite(tiny: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        _breaks_in(patch, 3, "preference")
        tiny.refused("fit", saying=("loss term 'preference' is", "epoch 3", "epoch 2 is kept", "learning_rate"))
    run = tiny.folder / "run"
    assert len((run / "history.csv").read_text().splitlines()) == 3  # the header and two epochs
    tiny.ok("evaluate")  # the best of the two
    assert without_times(run / "metrics.json")["epochs"] == 2
    assert "fit: resuming after epoch 2" in tiny.ok("fit").err


def test_a_term_that_is_not_finite_from_the_start(tiny: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        _breaks_in(patch, 1, "feedback")
        tiny.refused("fit", saying=("loss term 'feedback' is", "epoch 1", "nothing was kept"))
    assert not (tiny.folder / "run" / "checkpoint.safetensors").exists()
    tiny.ok("fit")
