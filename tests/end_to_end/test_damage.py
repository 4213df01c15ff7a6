"""What is damaged on disk, a full disk, and a training that blows up: said in one line, and nothing good is lost."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from damrs_dgl.models.base import Batch
from damrs_dgl.models.damrs.model import DAMRS
from tests.cli_runner import CommandLine, without_times


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("content", ["{", "[]", '{"artefacts": {}}', '{"artefacts": {"fit": 3}, "data": {}}', "\x00"])
def test_a_damaged_manifest(fitted: CommandLine, content: str) -> None:
    (fitted.folder / "run" / "run.json").write_text(content)
    fitted.refused("fit", saying=("run.json", "choose another --run"))


def test_a_deleted_manifest_loses_no_training(fitted: CommandLine) -> None:
    (fitted.folder / "run" / "run.json").unlink()
    assert "fit: up to date" in fitted.ok("fit").err


@pytest.mark.parametrize("name", ["graph.bin", "summary.json"])
def test_a_damaged_graph_is_built_anew(fitted: CommandLine, name: str) -> None:
    path = fitted.folder / "run" / "graphs" / name
    whole = path.stat().st_size
    _cut(path)
    result = fitted.ok("build-graphs", "fit")
    assert f"{name}: " in result.err
    assert "building the graphs anew" in result.err
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


def test_damaged_metrics(fitted: CommandLine) -> None:
    path = fitted.folder / "run" / "metrics.json"
    _cut(path)
    fitted.refused("evaluate", saying=("metrics.json", "delete it and run `evaluate` again"))
    path.unlink()
    fitted.ok("evaluate")
    assert json.loads(path.read_text())["best_epoch"]


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
