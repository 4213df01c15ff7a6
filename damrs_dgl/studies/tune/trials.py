"""A trial is a training judged on validation alone: it reports every evaluation, and may be ended early.

Its result is remembered under the key of the cell that it is (`studies.study`), so that equal trials are trained once,
whatever search asks for them. The test split is not looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.errors import DamrsError, InternalError, RunError, TrainingError
from damrs_dgl.storage.sealed import read_sealed, soundness, write_sealed
from damrs_dgl.studies.results import ResultStore
from damrs_dgl.studies.study import Cell
from damrs_dgl.studies.training import CellTrainer
from damrs_dgl.training.schedule import Progress, Schedule
from damrs_dgl.training.trainer import Trainer

_GRAPHS_KEPT = 4  # of trials that differ in [graphs]; each may be as large as the data set
Curve = tuple[tuple[int, float], ...]  # (epoch, monitored score) of each evaluation


class Verdict(Enum):
    """What a trial hears after an evaluation."""

    GO_ON = "go on"
    PRUNE = "prune"  # it is worse than others were
    STOP = "stop"  # the search's time is over; the training is kept and goes on later


@dataclass(frozen=True)
class TrialResult:
    """A finished trial: validation metrics of the best epoch.

    score: the monitored one.  curve: of each evaluation.  seconds: of training.
    """

    validation: Mapping[str, float]
    score: float
    best_epoch: int
    epochs: int
    seconds: float
    curve: Curve


@dataclass(frozen=True)
class Pruned:
    """A trial that was ended early.  score: the best that it had come to, if any."""

    score: float | None
    epochs: int
    seconds: float


class StoppedTrial:
    """A trial whose search ran out of time; its training is kept."""


LastOutcome = TrialResult | Pruned | DamrsError
TrialOutcome = LastOutcome | StoppedTrial
Report = Callable[[int, float | None], Verdict]  # (epoch, monitored score; None: of a member, which is not judged)


def to_json(outcome: LastOutcome) -> dict[str, Any]:
    """What a trial came to, as files keep it."""
    if isinstance(outcome, DamrsError):
        ours = isinstance(outcome, InternalError)
        kind = "training" if isinstance(outcome, TrainingError) else "ours" if ours else "other"
        return {"kind": kind, "what": outcome.what, "where": outcome.where, "fix": outcome.fix}
    return {"kind": "pruned" if isinstance(outcome, Pruned) else "finished", **asdict(outcome)}


def from_json(written: dict[str, Any]) -> LastOutcome:
    """The same back. Raises KeyError, TypeError or ValueError for anything else."""
    facts = {key: value for key, value in written.items() if key != "kind"}
    kind = written["kind"]
    if kind == "finished":
        return TrialResult(**{**facts, "curve": tuple((int(epoch), score) for epoch, score in facts["curve"])})
    if kind == "pruned":
        return Pruned(**facts)
    error = {"training": TrainingError, "ours": InternalError}.get(kind, DamrsError)
    return error(facts["what"], where=facts["where"], fix=facts["fix"])


class _Ended(Exception):
    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict


class TrialStore:
    """What trials came to, by the key of their cell.

    cells: the results of other studies, whose validation metrics count as well.
    """

    def __init__(self, folder: Path, cells: ResultStore | None = None) -> None:
        self.folder = folder
        self.cells = cells

    def write(self, key: str, cell: Cell, outcome: TrialResult | TrainingError) -> None:
        """Keep a finished trial, or one that fails whenever it is trained."""
        write_sealed(self._path(key), {"trial": str(cell), **to_json(outcome)})

    def read(self, key: str, monitor: str) -> TrialResult | TrainingError | None:
        """What a trial came to, None where there is nothing that can be believed; what is damaged is removed."""
        path = self._path(key)
        if path.exists():
            try:
                return _believed(read_sealed(path))
            except (RunError, KeyError, TypeError, ValueError):
                path.unlink(missing_ok=True)  # else it would be called damaged for ever: a search remembers its trials
                return None
        return self._from_cells(key, monitor)

    def states(self) -> dict[Path, str]:
        """Of every file of the folder that carries a checksum: "sound" or "damaged"."""
        return {path: soundness(path, read_sealed) for path in sorted(self.folder.glob("*.json"))}

    def _from_cells(self, key: str, monitor: str) -> TrialResult | None:
        try:
            found = self.cells.read(key) if self.cells else None
        except RunError:
            return None
        if found is None or monitor not in found.validation or not found.curve:
            return None
        score = found.validation[monitor]
        return TrialResult(found.validation, score, found.best_epoch, found.epochs, found.seconds, found.curve)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.trial.json"


def _believed(content: dict[str, Any]) -> TrialResult | TrainingError:
    outcome = from_json({key: value for key, value in content.items() if key != "trial"})
    if not isinstance(outcome, (TrialResult, TrainingError)):
        raise ValueError("it does not last")
    return outcome


class TrialTrainer(CellTrainer):
    """Trains trials, one after the other; what several of them need is made once."""

    def run(self, cell: Cell, report: Report) -> tuple[TrialOutcome, float]:
        """What a trial came to, and the seconds that it took here; one that was stopped before goes on.

        `report` is told of every evaluation, of those before the stop too, and answers whether the trial goes on.
        """
        started = time.perf_counter()
        try:
            outcome: TrialOutcome = self._run(cell, report)
        except Exception as error:  # of whatever kind: it stops no other trial
            outcome = self._failure(cell, error)
        return outcome, time.perf_counter() - started

    def _run(self, cell: Cell, report: Report) -> TrialOutcome:
        trainer = self._trainer(cell)
        listener = _Listener(report)
        trainer.listeners.append(listener)
        for member in trainer.members.values():
            member.listeners.append(listener.of_member)
        try:
            listener(trainer.progress, trainer.schedule)
            progress = trainer.fit()
        except _Ended as end:
            outcome: TrialOutcome = StoppedTrial() if end.verdict is Verdict.STOP else _pruned(listener, trainer)
        else:
            outcome = _finished(listener, progress, trainer.schedule.monitor)
        if not isinstance(outcome, StoppedTrial):
            self.study.results.remove_training(self.study.key(cell))
        return outcome

    def _graph_of(self, cell: Cell, dataset: MultimodalDataset) -> dgl.DGLGraph:
        if len(self._graphs) > _GRAPHS_KEPT:
            self._graphs.clear()
        return super()._graph_of(cell, dataset)


class _Listener:
    """Tells of evaluations that were not told of before; ends the training where the answer says so."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.curve: list[tuple[int, float]] = []

    def __call__(self, progress: Progress, schedule: Schedule) -> None:
        told = self.curve[-1][0] if self.curve else 0
        for epoch, score in progress.curve(schedule):
            if epoch <= told:
                continue
            self.curve.append((epoch, score))
            verdict = self.report(epoch, score)
            if verdict is not Verdict.GO_ON and not progress.finished(schedule):
                raise _Ended(verdict)

    def of_member(self, progress: Progress, schedule: Schedule) -> None:
        """After an epoch of a system inside: only asks whether there is time left."""
        if self.report(progress.epoch, None) is Verdict.STOP:
            raise _Ended(Verdict.STOP)


def _pruned(listener: _Listener, trainer: Trainer) -> Pruned:
    progress = trainer.progress
    return Pruned(max((score for _, score in listener.curve), default=None), progress.epoch, progress.seconds)


def _finished(listener: _Listener, progress: Progress, monitor: str) -> TrialResult:
    score = progress.best[monitor]
    return TrialResult(
        dict(progress.best), score, progress.best_epoch, progress.epoch, progress.seconds, tuple(listener.curve)
    )
