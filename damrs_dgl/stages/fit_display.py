"""What `fit` shows on its way: the epochs of the model and of the systems inside it, and the steps of a closed form."""

from __future__ import annotations

from damrs_dgl.console import Console, ProgressBar
from damrs_dgl.training.schedule import Progress, Schedule
from damrs_dgl.training.trainer import Trainer


def epoch_fields(progress: Progress, schedule: Schedule) -> dict[str, str]:
    """What stands behind a bar after an epoch: the loss, the last validation score, the best and its epoch."""
    last, monitor = progress.history[-1], schedule.monitor
    shown = {"loss": f"{last['loss']:.4f}"}
    score = last.get(schedule.monitored)
    if score is not None:
        shown["validation"] = f"{score:.4f}"
    if progress.best:
        shown["best"] = f"{monitor} {progress.best[monitor]:.4f} (epoch {progress.best_epoch})"
    return shown


def report_epochs(trainer: Trainer, console: Console) -> ProgressBar:
    """The bar of a training, to be used in a ``with`` statement.

    Each system inside the model shows a bar of its own while it is fitted, which says which one it is.
    """
    bar = console.progress("fit", trainer.schedule.epochs, lines_of="epoch")
    trainer.listeners.append(lambda progress, schedule: bar.advance(1, **epoch_fields(progress, schedule)))
    trainer.on_closed_form = bar.step
    members = trainer.members
    for number, (name, member) in enumerate(members.items(), start=1):
        report = _MemberReport(console, f"fit {name} ({number} of {len(members)})", member)
        member.listeners.append(report)
        member.on_closed_form = report.on_step
    return bar


class _MemberReport:
    """A member's bar: opened at its first sign of life, closed at its last epoch.

    Where the training is stopped on the way, the bar around it closes this one too.
    """

    def __init__(self, console: Console, label: str, trainer: Trainer) -> None:
        self._console, self._label, self._trainer = console, label, trainer
        self._bar: ProgressBar | None = None

    def __call__(self, progress: Progress, schedule: Schedule) -> None:
        bar = self._opened(before=progress.epoch - 1)
        bar.advance(1, **epoch_fields(progress, schedule))
        if progress.finished(schedule):
            bar.__exit__(None, None, None)
            self._bar = None

    def on_step(self, done: int, total: int, label: str) -> None:
        """A step of a member with a closed form."""
        self._opened(before=0).step(done, total, label)

    def _opened(self, *, before: int) -> ProgressBar:
        """The bar; `before`: epochs that an earlier call has trained."""
        if self._bar is None:
            self._bar = self._console.progress(self._label, self._trainer.schedule.epochs, lines_of="epoch")
            self._bar.__enter__()
            self._bar.skip(before)
        return self._bar
