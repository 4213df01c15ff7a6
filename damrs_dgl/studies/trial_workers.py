"""Trials side by side: processes that train one trial at a time, tell of each evaluation and wait for the answer."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any

from damrs_dgl.errors import DamrsError, InternalError, TrainingError, unexpected
from damrs_dgl.studies.study import Cell, Study
from damrs_dgl.studies.training import one_thread
from damrs_dgl.studies.trials import Outcome, TrialTrainer, Verdict
from damrs_dgl.studies.workers import death_of, end_with_parent, opened_study, start_worker

_GRACE_SECONDS = 5.0  # that a worker has to end when it is told to
Told = tuple[int, float] | Outcome  # (epoch, score) of an evaluation, or what the trial came to


@dataclass
class _Worker:
    """A process, the line to it, and the number of the trial that it is at."""

    process: BaseProcess
    line: Connection
    trial: int | None = None


class TrialWorkers:
    """Up to `jobs` processes, started as they are needed; to be used in a ``with`` statement, which ends them."""

    def __init__(self, study: Study, jobs: int) -> None:
        self.study = study
        self.jobs = jobs
        self._workers: list[_Worker] = []

    def __enter__(self) -> TrialWorkers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for worker in self._workers:
            worker.line.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_GRACE_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def begin(self, number: int, cell: Cell) -> None:
        """Hand a trial to an idle worker, a new one where all are busy."""
        worker = next((worker for worker in self._workers if worker.trial is None), None)
        if worker is None:
            worker = self._started()
            self._workers.append(worker)
        worker.trial = number
        self._send(worker, cell)

    def answer(self, number: int, verdict: Verdict) -> None:
        """Say whether a trial that told of an evaluation goes on."""
        self._send(next(worker for worker in self._workers if worker.trial == number), verdict.value)

    def heard(self) -> list[tuple[int, Told]]:
        """Wait for the next trials that tell something: an evaluation, which waits for `answer`, or their end."""
        lines = {worker.line: worker for worker in self._workers if worker.trial is not None}
        found: list[tuple[int, Told]] = []
        for line in wait(list(lines)):
            worker = lines[line]  # type: ignore[index]
            assert worker.trial is not None
            found.append((worker.trial, self._received(worker)))
        return found

    def _received(self, worker: _Worker) -> Told:
        try:
            kind, told = worker.line.recv()
        except (EOFError, OSError):
            return self._death(worker)
        if kind == "evaluation":
            return told
        worker.trial = None
        return _understood(*told) if kind == "error" else told

    def _death(self, worker: _Worker) -> DamrsError:
        worker.process.join(_GRACE_SECONDS)
        self._workers.remove(worker)
        return death_of(worker.process)

    @staticmethod
    def _send(worker: _Worker, value: object) -> None:
        try:
            worker.line.send(value)
        except OSError:  # it died in between, which `heard` finds
            return

    def _started(self) -> _Worker:
        return _Worker(*start_worker(self.study, _work))


def _work(line: Connection, recipe: str, fingerprint: str, folder: str, device: str) -> None:
    """The life of a worker: trains each trial that it is sent, and tells what it came to."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    warnings.simplefilter("ignore")  # the process that started this one has said them
    train: TrialTrainer | None = None

    def report(epoch: int, score: float) -> Verdict:
        line.send(("evaluation", (epoch, score)))
        return Verdict(line.recv())

    with one_thread():
        while True:
            try:
                cell = line.recv()
            except (EOFError, OSError):
                return
            try:
                train = train or TrialTrainer(opened_study(recipe, fingerprint, folder, device))
                outcome, _ = train.run(cell, report)
            except Exception as error:  # of the data set; a trial's own are outcomes
                outcome = error if isinstance(error, DamrsError) else unexpected(error)
            line.send(("error", _told(outcome)) if isinstance(outcome, DamrsError) else ("end", outcome))


def _told(error: DamrsError) -> tuple[Any, ...]:
    return isinstance(error, TrainingError), error.exit_code, error.what, error.where, error.fix


def _understood(training: bool, exit_code: int, what: str, where: str | None, fix: str | None) -> DamrsError:
    """A worker's error as one of three kinds: of the training itself, the user's to mend, or ours."""
    mend = TrainingError if training else DamrsError
    kind = mend if exit_code == DamrsError.exit_code else InternalError
    return kind(what, where=where, fix=fix)
