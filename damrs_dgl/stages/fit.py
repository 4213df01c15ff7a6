"""`fit`: train the recipe's model, resuming what an earlier call left unfinished."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from damrs_dgl.console import ProgressBar
from damrs_dgl.evaluation.metrics import METRICS
from damrs_dgl.factory import prepare_training
from damrs_dgl.files import write_csv
from damrs_dgl.recipe import Recipe
from damrs_dgl.run import change_text
from damrs_dgl.stages.evaluate import current_metrics
from damrs_dgl.stages.fit_display import closed_form_report, epoch_fields, report_members
from damrs_dgl.stages.fitted import Fitted
from damrs_dgl.stages.tracking import Tracking
from damrs_dgl.stages.workspace import Workspace
from damrs_dgl.training.trainer import Progress, Schedule, Trainer


def fit(workspace: Workspace, *, restart: bool = False, track: Sequence[str] = ()) -> dict[str, Any]:
    """Train to early stopping and write `history.csv`, the best weights and `metrics.json`; returns the metrics.

    A training that was stopped, by Ctrl-C or worse, goes on after its last full epoch and ends with the same numbers as
    one that was not. What may differ from the first call: `training.epochs`, `training.patience`, everything that no
    training reads ([evaluation], [stress], block sizes), and the device. With any other change, of the data, [graphs],
    [model] or [training], it starts anew and says what changed. With `restart` it starts anew in any case. `track`:
    "tensorboard", "mlflow" or both, which then follow the training.
    """
    with Tracking(workspace, track) as tracking:
        metrics = _fit(workspace, restart, tracking)
        tracking.finish(metrics)
    return metrics


def _fit(workspace: Workspace, restart: bool, tracking: Tracking) -> dict[str, Any]:
    run, console = workspace.run, workspace.console
    store = workspace.checkpoints
    if restart:
        run.forget("metrics")
        store.clear()
    elif changed := run.changes("fit", workspace.fit_parts, store.last_path):
        console.notice(f"fit: {change_text(changed)}, training anew")
    trainer = prepare_training(
        workspace.recipe, workspace.dataset, workspace.graph, device=workspace.device, store=store
    )
    bar = console.progress("fit", trainer.schedule.epochs, lines_of="epoch")
    trainer.on_epoch = _EpochReport(workspace, bar)
    trainer.on_closed_form = closed_form_report(bar)
    report_members(trainer, console)
    trainer.resume()
    tracking.follow(trainer)
    if trainer.progress.finished(trainer.schedule):
        trainer.fit()  # no epoch is left to train: it puts the best weights in place
        _say_finished(workspace, trainer)
        write_history(run.history, trainer.progress, validation_columns(workspace.recipe))
    else:
        if trainer.progress.epoch:
            console.notice(f"fit: resuming after epoch {trainer.progress.epoch}")
        run.forget("metrics")
        run.record("fit", workspace.fit_parts)
        with bar:
            bar.skip(trainer.progress.epoch)
            _train(trainer)
        monitor, best = trainer.schedule.monitor, trainer.progress.best
        console.notice(f"fit: {_epochs(trainer)}, validation {monitor} {best[monitor]:.4f} ({run.history})")
    workspace.fitted = Fitted(trainer.model, trainer.progress)
    return current_metrics(workspace)


def _say_finished(workspace: Workspace, trainer: Trainer) -> None:
    asked, trained = trainer.schedule.epochs, trainer.progress.epoch
    more = f"; training.epochs = {asked} asks for fewer, `fit --restart` trains anew" if asked < trained else ""
    workspace.console.notice(f"fit: up to date ({_epochs(trainer)}{more})")


def _epochs(trainer: Trainer) -> str:
    return f"best epoch {trainer.progress.best_epoch} of {trainer.progress.epoch}"


def _train(trainer: Trainer) -> None:
    """Train to the end of the schedule; what stops it says what is kept."""
    try:
        with _interrupts_remembered(trainer):
            trainer.fit()
    except KeyboardInterrupt:
        epoch = trainer.progress.epoch
        kept = f"after epoch {epoch}" if epoch else "before the first epoch was full"
        raise KeyboardInterrupt(f"fit: stopped {kept}; the same command goes on from there") from None


@contextmanager
def _interrupts_remembered(trainer: Trainer) -> Iterator[None]:
    """Let no Ctrl-C be lost: Python drops an exception that is raised while an object is being destroyed.

    The first chance is where the signal arrives, as always; one that had no effect there stops the training after the
    epoch. Only the main thread may handle signals, and who started the process without Ctrl-C (`nohup ... &`) wants it
    so: then nothing changes.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupts: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    report = trainer.on_epoch

    def on_epoch(progress: Progress, schedule: Schedule) -> None:
        if report:
            report(progress, schedule)
        if interrupts:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, remember)
    trainer.on_epoch = on_epoch
    try:
        yield
    finally:
        trainer.on_epoch = report
        signal.signal(signal.SIGINT, before or signal.default_int_handler)


class _EpochReport:
    """After each stored epoch: `history.csv` and the progress bar."""

    def __init__(self, workspace: Workspace, bar: ProgressBar) -> None:
        self.path = workspace.run.history
        self.validation = validation_columns(workspace.recipe)
        self.bar = bar

    def __call__(self, progress: Progress, schedule: Schedule) -> None:
        write_history(self.path, progress, self.validation)
        self.bar.advance(1, **epoch_fields(progress, schedule))


def write_history(path: Path, progress: Progress, validation: Sequence[str]) -> None:
    """`history.csv`, an epoch a row: the loss and each of its terms, validation scores, seconds.

    The columns are the same after every epoch; the scores are empty where it was not evaluated.
    """
    terms = [name for name in progress.history[0] if name not in validation and not name.endswith("seconds")]
    rows = [{**row, "epoch": int(row["epoch"])} for row in progress.history]
    write_csv(path, rows, [*terms, *validation, "train_seconds", "seconds"])


def validation_columns(recipe: Recipe[Any]) -> list[str]:
    """Names of the validation scores in `history.csv`."""
    return [f"validation_{metric}@{k}" for metric in METRICS for k in recipe.evaluation.ks]
