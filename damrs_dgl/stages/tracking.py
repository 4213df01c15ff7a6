"""`fit --track`: trackers that follow the training of a run, and never stop one."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

from damrs_dgl.data.columns import first_line
from damrs_dgl.errors import DamrsError
from damrs_dgl.provenance import dotted
from damrs_dgl.stages.workspace import Workspace
from damrs_dgl.storage.run import artefact_key
from damrs_dgl.training.schedule import Progress, Schedule
from damrs_dgl.training.trackers import TRACKERS, Row, TrackedTraining, Tracker, require_tracker
from damrs_dgl.training.trainer import Trainer


class Tracking:
    """The trackers of one `fit`, in a ``with`` statement; none where none is asked for.

    A tracker that cannot be opened is refused before an epoch is trained (DamrsError); one that fails later, as a
    server that is gone, is left with a warning.
    """

    def __init__(self, workspace: Workspace, names: Sequence[str]) -> None:
        self._workspace = workspace
        self._names = list(dict.fromkeys(names))
        self._open: dict[str, Tracker] = {}
        for name in self._names:
            require_tracker(name)

    def __enter__(self) -> Tracking:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._tell("close", finished=kind is None)

    def follow(self, trainer: Trainer) -> None:
        """Write the epochs so far, and each one that comes after what is done then."""
        if not self._names:
            return
        workspace, history = self._workspace, trainer.progress.history
        sections = workspace.recipe.model_dump(mode="json", exclude={"name", "description"})
        settings = {key: str(value) for name, keys in sections.items() for key, value in dotted(name, keys).items()}
        key = artefact_key("fit", workspace.fit_parts)
        training = TrackedTraining(workspace.recipe.name, key, workspace.run.path, settings)
        for name in self._names:
            self._open[name] = _opened(name, training, history)
        trainer.listeners.append(self._on_epoch)

    def _on_epoch(self, progress: Progress, schedule: Schedule) -> None:
        self._tell("epoch", progress.history[-1])

    def finish(self, metrics: dict[str, Any]) -> None:
        """Write the test metrics of the best epoch."""
        test = {f"test/{name}": value for name, value in metrics["test"].items()}
        self._tell("metrics", test, metrics["best_epoch"])

    def _tell(self, method: str, *arguments: Any, **options: Any) -> None:
        for name in list(self._open):
            self._tell_one(name, method, *arguments, **options)

    def _tell_one(self, name: str, method: str, *arguments: Any, **options: Any) -> None:
        try:
            getattr(self._open[name], method)(*arguments, **options)
        except Exception as failed:  # whatever another's package does
            del self._open[name]
            reason = f"{type(failed).__name__}: {first_line(failed)}"
            self._workspace.console.warning(f"--track {name}: {reason}; the training goes on without it")


def _opened(name: str, training: TrackedTraining, history: Sequence[Row]) -> Tracker:
    try:
        return TRACKERS[name](training, history)
    except Exception as failed:  # whatever another's package does
        raise DamrsError(
            f"{name} cannot be written to ({type(failed).__name__}: {first_line(failed)})",
            where=f"--track {name}",
            fix="mend its settings, or leave --track out",
        ) from failed
