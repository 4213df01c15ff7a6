"""`fit`: train the recipe's model, resuming what an earlier call left unfinished."""

from __future__ import annotations

from damrs_dgl.console import ProgressBar
from damrs_dgl.errors import RunError
from damrs_dgl.factory import prepare_training
from damrs_dgl.interrupts import Stopped, signal_of, signals_remembered
from damrs_dgl.stages.fit_display import report_epochs
from damrs_dgl.stages.fitted import Fitted, early_best
from damrs_dgl.stages.history import History
from damrs_dgl.stages.tracking import Tracking
from damrs_dgl.stages.workspace import Workspace
from damrs_dgl.storage.locking import RunBusyError
from damrs_dgl.storage.run import change_text
from damrs_dgl.training.schedule import Progress, Schedule
from damrs_dgl.training.trainer import Trainer

_OF_THE_MODEL = ("metrics", "per_user")  # what they hold is gone with the next epoch


def fit(workspace: Workspace, tracking: Tracking, *, restart: bool = False) -> None:
    """Train to early stopping; leaves `history.csv`, the best weights and the workspace's fitted model.

    A training that was stopped, by Ctrl-C or worse, goes on after its last full epoch and ends with the same numbers as
    one that was not. What may differ from the first call: `training.epochs`, `training.patience`, everything that no
    training reads ([evaluation], [stress], block sizes), and the device. With any other change, of the data, [graphs],
    [model] or [training], it starts anew and says what changed. With `restart` it starts anew in any case. `tracking`
    follows the training.

    A finished training on a read-only disk is only shown. Raises RunBusyError while another process writes in the run.
    """
    with workspace.writing_if_possible("fit") as refusal:
        if refusal is not None and (restart or isinstance(refusal, RunBusyError)):
            raise refusal
        trainer = prepare_training(
            workspace.recipe, workspace.dataset, workspace.graph, device=workspace.device, store=workspace.checkpoints
        )
        history = History(workspace)
        trainer.listeners.append(history)
        bar = report_epochs(trainer, workspace.console)
        _take_up(workspace, trainer, restart=restart)
        tracking.follow(trainer)
        if not trainer.progress.finished(trainer.schedule):
            if refusal is not None:
                raise refusal
            _train(workspace, trainer, history, bar, restart=restart)
        else:
            _show_finished(workspace, trainer, history, writable=refusal is None)
        workspace.fitted = Fitted(trainer.model, trainer.progress)


def _take_up(workspace: Workspace, trainer: Trainer, *, restart: bool) -> None:
    """Put the trainer where an earlier call left off, and say what keeps it from going on there."""
    run, console, store = workspace.run, workspace.console, workspace.checkpoints
    if not restart:
        changed = run.changes("fit", workspace.fit_parts, store.last_path)
        try:
            trainer.resume()  # where the settings were changed and set back before an epoch was full, it is all there
        except RunError:
            if not changed:
                raise  # one of other settings is in nobody's way
        if changed and not trainer.progress.epoch:
            anew = "weighing anew; members that are as before are kept" if trainer.members else "training anew"
            console.notice(f"fit: {change_text(changed)}, {anew}")
        elif not trainer.progress.epoch and store.last_path.exists():
            console.notice(f"fit: {store.last_path} is of other settings, training anew")
    if workspace.recipe.training.start == "spectral" and not _starts_from_spectrum(trainer):
        console.notice(f'fit: {workspace.recipe.model.name} has no tables that training.start = "spectral" could fill')


def _starts_from_spectrum(trainer: Trainer) -> bool:
    return trainer.model.tables() is not None or any(map(_starts_from_spectrum, trainer.members.values()))


def _train(workspace: Workspace, trainer: Trainer, history: History, bar: ProgressBar, *, restart: bool) -> None:
    """Train to the end and say how it went; what an earlier training left goes only now, its metrics first."""
    run, console = workspace.run, workspace.console
    if trainer.progress.epoch:
        console.notice(f"fit: resuming after epoch {trainer.progress.epoch}")
    run.forget("history", *_OF_THE_MODEL)
    if restart:
        workspace.checkpoints.clear()
    run.record("fit", workspace.fit_parts)
    with bar:
        bar.skip(trainer.progress.epoch)
        _train_or_say_what_is_kept(trainer)
    history.record()
    monitor, best = trainer.schedule.monitor, trainer.progress.best
    console.notice(f"fit: {_epochs(trainer)}, validation {monitor} {best[monitor]:.4f} ({run.history})")
    doubt = early_best(trainer.progress.best_epoch, trainer.progress.epoch, trainer.schedule.epochs)
    if doubt:
        console.warning(f"fit: {doubt}")


def _show_finished(workspace: Workspace, trainer: Trainer, history: History, *, writable: bool) -> None:
    """Take up a training of which no epoch is left."""
    trainer.fit()  # puts the best weights in place
    asked, trained = trainer.schedule.epochs, trainer.progress.epoch
    more = f"; training.epochs = {asked} asks for fewer, `fit --restart` trains anew" if asked < trained else ""
    workspace.console.notice(f"fit: up to date ({_epochs(trainer)}{more})")
    if not writable:
        return
    if workspace.run.changes("fit", workspace.fit_parts) != []:
        workspace.run.record("fit", workspace.fit_parts)  # another was begun here and came to no epoch
    history.rewrite(trainer.progress)


def _epochs(trainer: Trainer) -> str:
    return f"best epoch {trainer.progress.best_epoch} of {trainer.progress.epoch}"


def _train_or_say_what_is_kept(trainer: Trainer) -> None:
    """Train to the end of the schedule; what stops it says what is kept."""
    try:
        with signals_remembered() as arrived:

            def stop_if_asked(progress: Progress, schedule: Schedule) -> None:
                if arrived:  # and it had no effect where it arrived
                    raise Stopped(number=arrived[0])

            trainer.listeners.append(stop_if_asked)
            trainer.fit()
    except KeyboardInterrupt as stop:
        epoch = trainer.progress.epoch
        kept = f"after epoch {epoch}" if epoch else "before the first epoch was full"
        message = f"fit: stopped {kept}; the same command goes on from there"
        raise Stopped(message, number=signal_of(stop)) from None
