"""Trackers: what they are told, that they lack nothing after a resumed training, and that they never stop one."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from damrs_dgl.errors import DamrsError
from damrs_dgl.training.trackers import (
    MLflowTracker,
    Row,
    TensorBoardTracker,
    TrackedTraining,
    require_tracker,
    scalars,
)
from tests.cli_runner import CommandLine, tiny_options


def rows(*epochs: int) -> list[dict[str, float]]:
    return [
        {"epoch": float(epoch), "loss": 1 / epoch, "feedback": 0.5, "validation_recall@20": 0.1 * epoch, "seconds": 2.0}
        for epoch in epochs
    ]


@pytest.fixture
def training(tmp_path: Path) -> TrackedTraining:
    return TrackedTraining("demo", "abc", tmp_path / "run", {"model.name": "damrs", "model.dim": "64"})


def test_names_are_sorted_into_folders() -> None:
    assert dict(scalars(rows(2)[0])) == {
        "train/loss": 0.5, "train/feedback": 0.5, "validation/recall@20": 0.2, "time/seconds": 2.0,
    }  # fmt: skip


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return {tag: [(p.step, round(p.value, 6)) for p in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_tensorboard_has_one_curve_of_a_resumed_training(training: TrackedTraining) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    first = TensorBoardTracker(training, [])
    for row in rows(1, 2):
        first.epoch(row)
    first.close(finished=False)
    second = TensorBoardTracker(training, rows(1, 2))
    second.epoch(rows(3)[0])
    second.metrics({"test/recall@20": 0.25}, 3)
    second.close(finished=True)
    found = curves(training.folder / "tensorboard")
    assert found["validation/recall@20"] == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert found["test/recall@20"] == [(3, 0.25)]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of a store in files, which needs no data base."""
    pytest.importorskip("mlflow", reason="mlflow is not installed")
    from mlflow.tracking import MlflowClient

    monkeypatch.setattr(logging.getLogger("mlflow"), "level", logging.WARNING)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri())


def runs(client: Any) -> list[Any]:
    return client.search_runs([client.get_experiment_by_name("demo").experiment_id])


def curve(client: Any, run: Any, name: str) -> list[tuple[int, float]]:
    return [(point.step, round(point.value, 6)) for point in client.get_metric_history(run.info.run_id, name)]


def test_mlflow_goes_on_in_the_run_of_a_resumed_training(client: Any, training: TrackedTraining) -> None:
    first = MLflowTracker(training, [])
    first.epoch(rows(1)[0])
    first.close(finished=False)
    assert runs(client)[0].info.status == "KILLED"
    second = MLflowTracker(training, rows(1, 2))  # the second epoch was trained without it
    second.epoch(rows(3)[0])
    second.metrics({"test/recall@20": 0.25}, 3)
    second.close(finished=True)
    (run,) = runs(client)
    assert curve(client, run, "validation/recall_at_20") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert run.data.metrics["test/recall_at_20"] == 0.25
    assert run.data.params == training.settings
    assert run.info.status == "FINISHED"


@pytest.mark.parametrize("change", ["begun anew", "another key", "another folder"])
def test_another_training_is_another_run_of_mlflow(client: Any, training: TrackedTraining, change: str) -> None:
    MLflowTracker(training, rows(1, 2)).close(finished=True)
    other = {
        "begun anew": training,
        "another key": TrackedTraining("demo", "def", training.folder, {}),
        "another folder": TrackedTraining("demo", "abc", training.folder.parent / "other", {}),
    }[change]
    MLflowTracker(other, rows(1) if change == "begun anew" else rows(1, 2)).close(finished=True)
    assert len(runs(client)) == 2


def test_a_package_that_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tensorboard", "torch.utils.tensorboard", "mlflow", "mlflow.tracking"):
        monkeypatch.setitem(sys.modules, module, None)
    for name in ("tensorboard", "mlflow"):
        with pytest.raises(DamrsError) as caught:
            require_tracker(name)
        assert str(caught.value).startswith(f"--track {name}: {name} cannot be imported (")
        assert str(caught.value).endswith(f"; pip install 'damrs-dgl[tracking-{name}]'")
        assert caught.value.exit_code == 2
    with pytest.raises(DamrsError, match="no tracker 'wandb'"):
        require_tracker("wandb")


class Recorded:
    """A tracker that remembers what it was told, and fails where it is asked to."""

    told: list[Any]
    fails_in = ""

    def __init__(self, training: TrackedTraining, history: Sequence[Row]) -> None:
        self._told("open", [row["epoch"] for row in history])
        assert training.settings["training.epochs"]

    def _told(self, *what: Any) -> None:
        self.told.append(what)
        if what[0] == self.fails_in:
            raise ConnectionError("the server\nis gone")

    def epoch(self, row: Row) -> None:
        self._told("epoch", row["epoch"])

    def metrics(self, values: Mapping[str, float], epoch: int) -> None:
        self._told("metrics", "test/recall@20" in values, epoch)

    def close(self, *, finished: bool) -> None:
        self._told("close", finished)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> type[Recorded]:
    class Fresh(Recorded):
        told: list[Any] = []  # noqa: RUF012

    monkeypatch.setattr("damrs_dgl.stages.tracking.require_tracker", lambda name: None)
    monkeypatch.setattr("damrs_dgl.stages.tracking.TRACKERS", {"mlflow": Fresh})
    return Fresh


@pytest.fixture
def tiny(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    return CommandLine(capsys, monkeypatch, tmp_path, tiny_options(tmp_path / "run"))


def test_a_training_is_followed_and_taken_up_again(tiny: CommandLine, recorded: type[Recorded]) -> None:
    tiny.ok("-o", "training.epochs=2", "fit", "--track", "mlflow")
    best = recorded.told[3][2]
    assert recorded.told == [("open", []), ("epoch", 1.0), ("epoch", 2.0), ("metrics", True, best), ("close", True)]
    recorded.told.clear()
    tiny.ok("fit", "--track", "mlflow", "--track", "mlflow")
    assert [what[0] for what in recorded.told] == ["open", "epoch", "metrics", "close"]
    assert recorded.told[0] == ("open", [1.0, 2.0])
    recorded.told.clear()
    tiny.ok("fit")
    assert recorded.told == []  # off by default


def test_a_tracker_that_fails_on_the_way_is_left(tiny: CommandLine, recorded: type[Recorded]) -> None:
    recorded.fails_in = "epoch"
    result = tiny.ok("fit", "--track", "mlflow")
    warnings = [line for line in result.err.splitlines() if "--track" in line]
    assert warnings == ["warning: --track mlflow: ConnectionError: the server; the training goes on without it"]
    assert recorded.told == [("open", []), ("epoch", 1.0)]
    assert "fit: best epoch" in result.err


def test_a_tracker_that_cannot_be_opened_is_refused_before_an_epoch(
    tiny: CommandLine, recorded: type[Recorded]
) -> None:
    recorded.fails_in = "open"
    tiny.refused("fit", "--track", "mlflow", saying=("--track mlflow", "ConnectionError: the server", "--track out"))
    assert not (tiny.folder / "run" / "history.csv").exists()


def test_a_training_that_is_stopped_closes_its_trackers(
    tiny: CommandLine, recorded: type[Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    from damrs_dgl.training.trainer import Trainer

    real = Trainer._one_epoch

    def one_epoch(trainer: Trainer) -> None:
        if trainer.progress.epoch == 1:
            raise KeyboardInterrupt
        real(trainer)

    monkeypatch.setattr(Trainer, "_one_epoch", one_epoch)
    assert tiny("fit", "--track", "mlflow").code == 130
    assert recorded.told[-1] == ("close", False)
