"""A training that is stopped goes on and ends with the same numbers; what may change on the way and what may not."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from damrs_dgl.training.trainer import Trainer
from tests.cli_runner import CommandLine, history_without_times, tiny_options, without_times

TOTAL = 60  # enough that a signal after the second epoch comes before the last, however quick the machine is
EPOCHS = ("-o", f"training.epochs={TOTAL}", "-o", f"training.patience={TOTAL}")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a training in one go."""
    from damrs_dgl.cli import main

    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["damrs-dgl", *tiny_options(run), *EPOCHS, "fit"])
        main()
    return run


@contextlib.contextmanager
def heeding_ctrl_c() -> Iterator[None]:
    """A shell's background jobs ignore Ctrl-C (and `nohup` SIGHUP), and hand that on to what they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGHUP, before[1])


def _stop_after(rows: int, run: Path, how: signal.Signals) -> subprocess.CompletedProcess[str]:
    """Start `fit` in a process of its own and send it a signal once so many epochs are done; its number ends `args`."""
    command = [sys.executable, "-m", "damrs_dgl", *tiny_options(run), *EPOCHS, "fit"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with heeding_ctrl_c(), subprocess.Popen(command, env=environment, **pipes) as process:
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until:
            if (run / "history.csv").exists() and len((run / "history.csv").read_text().splitlines()) > rows:
                break
            time.sleep(0.01)
        process.send_signal(how)
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess([*command, process.pid], process.returncode, out, err)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopped_training_ends_as_if_it_had_not_been(
    tiny: CommandLine, uninterrupted: Path, how: signal.Signals
) -> None:
    run = tiny.folder / "run"
    stopped = _stop_after(2, run, how)
    done = len((run / "history.csv").read_text().splitlines()) - 1
    assert 2 <= done < TOTAL
    assert (run / "run.lock").exists() == (how == signal.SIGKILL)
    if how != signal.SIGKILL:
        assert stopped.returncode == 128 + how
        lines = [line for line in stopped.stderr.splitlines() if line]
        assert "Traceback" not in stopped.stderr
        assert lines[-1].startswith("fit: stopped after epoch ")
        assert lines[-1].endswith("the same command goes on from there")
    else:
        assert stopped.returncode == -signal.SIGKILL
    if how == signal.SIGKILL:  # what it would have left in the middle of a write
        (run / f".checkpoint.safetensors.{stopped.args[-1]}.tmp").write_text("half")
    resumed = tiny.ok(*EPOCHS, "fit").err
    assert "fit: resuming after epoch" in resumed
    assert ("was killed; its lock is taken over" in resumed) == (how == signal.SIGKILL)
    assert not [path for path in run.rglob("*") if path.suffix in (".tmp", ".lock")]
    assert without_times(run / "metrics.json") == without_times(uninterrupted / "metrics.json")
    assert history_without_times(run / "history.csv") == history_without_times(uninterrupted / "history.csv")


def _stop_in_epoch(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let Ctrl-C come in the middle of an epoch."""
    real = Trainer._one_epoch

    def one_epoch(trainer: Trainer) -> None:
        if trainer.progress.epoch + 1 == number:
            raise KeyboardInterrupt
        real(trainer)

    monkeypatch.setattr(Trainer, "_one_epoch", one_epoch)


@pytest.mark.parametrize(
    "change",
    [
        "model.refresh=4",
        "model.refresh=epoch",
        "model.variant=authors",
        "model.backbone=vbpr",
        "model.name=mf",
        "model.name=bm3",
    ],
)
def test_every_kind_of_training_resumes(tiny: CommandLine, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    anchors = () if change.startswith("model.name") else ("-o", "model.anchors=50")
    options = ("-o", change, *anchors, "-o", "training.epochs=6", "-o", "training.patience=50", "fit")
    with monkeypatch.context() as patch:
        _stop_in_epoch(patch, 4)
        tiny(*options)
    assert "fit: resuming after epoch 3" in tiny.ok(*options).err
    whole = tiny.folder / "whole"
    tiny.ok("--run", str(whole), *options)
    assert without_times(tiny.folder / "run" / "metrics.json") == without_times(whole / "metrics.json")
    assert history_without_times(tiny.folder / "run" / "history.csv") == history_without_times(whole / "history.csv")


def test_a_ctrl_c_that_python_drops_stops_the_training_after_the_epoch(
    tiny: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Trainer._one_epoch

    def one_epoch(trainer: Trainer) -> None:
        if trainer.progress.epoch == 1:
            with contextlib.suppress(KeyboardInterrupt):  # as Python does while it destroys an object
                signal.raise_signal(signal.SIGINT)
        real(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_one_epoch", one_epoch)
        with heeding_ctrl_c():
            result = tiny("-o", "training.epochs=4", "-o", "training.patience=50", "fit")
            assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert result.code == 130
    assert "fit: stopped after epoch 2; the same command goes on from there" in result.err


def test_ctrl_c_before_the_first_epoch_is_full(tiny: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        _stop_in_epoch(patch, 1)
        result = tiny("fit")
    assert result.code == 130
    assert "fit: stopped before the first epoch was full; the same command goes on from there" in result.err
    assert result.errors == []
    tiny.ok("fit")


@pytest.mark.parametrize("stage", ["build-graphs", "evaluate", "recommend"])
def test_ctrl_c_in_another_stage_is_one_line(tiny: CommandLine, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("damrs_dgl.stages.workspace.load_dataset", stop)
    result = tiny(stage)
    assert result.code == 130
    assert result.err.strip() == "stopped; the same command goes on after what is finished"


def test_evaluate_and_recommend_say_that_a_training_is_unfinished(
    tiny: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _stop_in_epoch(patch, 3)
        tiny("fit")
    result = tiny.ok("evaluate", "recommend", "--top", "2")
    assert result.err.count("warning: the training stopped after epoch 2 and is unfinished; `fit` goes on") == 1
    assert without_times(tiny.folder / "run" / "metrics.json")["epochs"] == 2
    assert "fit: resuming after epoch 2" in tiny.ok("fit").err
    assert without_times(tiny.folder / "run" / "metrics.json")["epochs"] == 3


def test_more_epochs_and_patience_go_on(fitted: CommandLine, uninterrupted: Path) -> None:
    result = fitted.ok(*EPOCHS, "fit")
    assert "fit: resuming after epoch 3" in result.err
    run = fitted.folder / "run"
    assert without_times(run / "metrics.json") == without_times(uninterrupted / "metrics.json")
    assert history_without_times(run / "history.csv") == history_without_times(uninterrupted / "history.csv")


def test_fewer_epochs_than_are_trained_keep_what_there_is(fitted: CommandLine) -> None:
    result = fitted.ok("-o", "training.epochs=2", "fit")
    assert "of 3; training.epochs = 2 asks for fewer, `fit --restart` trains anew" in result.err
    restarted = fitted.ok("-o", "training.epochs=2", "fit", "--restart")
    assert "of 2, validation recall@20" in restarted.err
    assert without_times(fitted.folder / "run" / "metrics.json")["epochs"] == 2


@pytest.mark.parametrize(
    "change",
    ["training.seed=1", "training.batch_size=128", "model.dim=4", "model.gamma=3", "graphs.k=5", "model.name=mf"],
)
def test_any_other_change_trains_anew_and_says_so(
    tiny: CommandLine, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    with monkeypatch.context() as patch:
        _stop_in_epoch(patch, 2)
        tiny("fit")
    result = tiny.ok("-o", change, "-o", "training.epochs=1", "fit")
    key = change.split("=", maxsplit=1)[0]
    named = {"model.dim": "model.backbone.dim"}.get(key, key)  # of what DA-MRS wraps
    assert named in result.err
    assert "changed, training anew" in result.err
    assert "resuming" not in result.err


def test_settings_that_are_set_back_before_an_epoch_was_full_keep_the_training(
    fitted: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _stop_in_epoch(patch, 1)
        assert "training.seed changed, training anew" in fitted("-o", "training.seed=1", "fit").err
    said = fitted.ok("fit").err
    assert "fit: up to date" in said
    assert "anew" not in said
    assert "changed" not in fitted.ok("fit").err
    assert fitted.ok("verify").err == ""


def test_a_restart_that_is_killed_before_it_trains_keeps_what_was_there(
    fitted: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fitted.folder / "run"
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    with monkeypatch.context() as patch:

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(Trainer, "__init__", killed)  # the data are read, the graph is there, the system is made
        assert fitted("fit", "--restart").code == 130
    after = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    assert after == before
    assert "fit: up to date" in fitted.ok("fit").err


def test_what_may_change_is_written_down(cli: CommandLine) -> None:
    text = " ".join(cli.ok("fit", "--help").out.split())
    assert "training.epochs, training.patience, [evaluation], [stress] and --device may change" in text


def test_history_has_the_same_columns_whether_or_not_an_epoch_is_evaluated(tiny: CommandLine) -> None:
    run = tiny.folder / "run"
    tiny.ok("-o", "training.evaluate_every=2", "-o", "training.epochs=1", "fit")  # the last epoch is always evaluated
    always = (run / "history.csv").read_text().splitlines()[0]
    tiny.ok("-o", "training.evaluate_every=3", "fit")
    rows = (run / "history.csv").read_text().splitlines()
    assert rows[0] == always
    assert re.match("epoch,loss,feedback,preference,relations,(regularization,)?validation_recall@5", always)
    assert always.endswith("validation_map@50,train_seconds,seconds")
    assert [",,," in row for row in rows[1:]] == [True, True, False]


def test_a_training_stopped_before_its_first_evaluation_goes_on(
    tiny: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seldom = ("-o", "training.evaluate_every=3")
    with monkeypatch.context() as patch:
        _stop_in_epoch(patch, 3)
        tiny(*seldom, "fit")
    header = (tiny.folder / "run" / "history.csv").read_text().splitlines()[0]
    assert "validation_recall@20" in header
    assert "fit: up to date (best epoch 2 of 2)" in tiny.ok(*seldom, "-o", "training.epochs=2", "fit").err
    result = tiny.ok(*seldom, "fit")
    assert "fit: resuming after epoch 2" in result.err


def test_what_an_earlier_epoch_came_to_is_not_shown_for_a_later_one(
    tiny: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, grows = tiny.folder / "run", ("-o", "training.start=random")
    with monkeypatch.context() as patch:
        _stop_in_epoch(patch, 2)
        tiny(*grows, "fit")
    tiny.ok(*grows, "evaluate", "--per-user", "groups", "audit")
    early = {name: (run / name).read_bytes() for name in ("per_user.parquet", "groups.csv")}
    shown = tiny.ok(*grows, "fit", "report").err
    assert "the study `groups` is of other settings (the epoch changed); it is left out: run it again" in shown
    assert "the audit is of another training (the epoch changed); it is left out: run `audit` again" in shown
    tiny.ok(*grows, "evaluate", "--per-user", "groups", "audit")
    assert all((run / name).read_bytes() != before for name, before in early.items())
    users = pq.read_table(run / "per_user.parquet")["recall@20"].to_numpy()
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["best_epoch"] > 1 and np.nanmean(users) == pytest.approx(metrics["test"]["recall@20"])
    assert "left out" not in tiny.ok(*grows, "report").err
