"""Trials side by side: processes that train one trial at a time, tell of each evaluation and wait for the answer."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from types import TracebackType

from damrs_dgl.errors import DamrsError, as_ours
from damrs_dgl.studies.study import Cell, Study
from damrs_dgl.studies.tune.trials import TrialOutcome, TrialTrainer, Verdict
from damrs_dgl.studies.worker_process import WorkerProcess, end_workers, received

Told = tuple[int, float | None] | TrialOutcome  # what a `Report` is told, or what the trial came to


class _TrialWorker(WorkerProcess):
    """A worker, and the number of the trial that it is at."""

    trial: int | None = None


class TrialWorkers:
    """Up to `jobs` processes, started as they are needed; to be used in a ``with`` statement, which ends them."""

    def __init__(self, study: Study, jobs: int) -> None:
        self.study = study
        self.jobs = jobs
        self._workers: list[_TrialWorker] = []

    def __enter__(self) -> TrialWorkers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        end_workers(self._workers)

    def begin(self, number: int, cell: Cell) -> None:
        """Hand a trial to an idle worker, a new one where all are busy."""
        worker = next((worker for worker in self._workers if worker.trial is None), None)
        if worker is None:
            worker = _TrialWorker(self.study, _work)
            self._workers.append(worker)
        worker.trial = number
        worker.send(cell)

    def answer(self, number: int, verdict: Verdict) -> None:
        """Say whether a trial that told of an evaluation goes on."""
        next(worker for worker in self._workers if worker.trial == number).send(verdict.value)

    def heard(self) -> list[tuple[int, Told]]:
        """Wait for the next trials that tell something: an evaluation, which waits for `answer`, or their end."""
        lines = {worker.line: worker for worker in self._workers if worker.trial is not None}
        found: list[tuple[int, Told]] = []
        for line in wait(list(lines)):
            worker = lines[line]  # type: ignore[index]
            assert worker.trial is not None
            found.append((worker.trial, self._received(worker)))
        return found

    def _received(self, worker: _TrialWorker) -> Told:
        try:
            kind, told = worker.line.recv()
        except (EOFError, OSError):
            return self._death(worker)
        if kind == "end":
            worker.trial = None
        return told

    def _death(self, worker: _TrialWorker) -> DamrsError:
        self._workers.remove(worker)
        return worker.death()


def _work(line: Connection, open_study: Callable[[], Study]) -> None:
    """Trains each trial that it is sent, and tells what it came to."""
    train: TrialTrainer | None = None

    def report(epoch: int, score: float | None) -> Verdict:
        line.send(("evaluation", (epoch, score)))
        return Verdict(line.recv())

    for cell in received(line):
        try:
            train = train or TrialTrainer(open_study())
            outcome, _ = train.run(cell, report)
        except Exception as error:  # of the data set; a trial's own are outcomes
            outcome = as_ours(error)
        line.send(("end", outcome))
