"""Cells trained in this process or side by side in others; the numbers are the same.

A worker is a process that is given one cell at a time. One that dies (the system kills what takes too much memory)
costs the cell that it was at; another takes its place.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection, wait

import psutil
import torch

from damrs_dgl.errors import DamrsError, InternalError, as_ours
from damrs_dgl.studies.study import Cell, Outcome, Study
from damrs_dgl.studies.time_left import TimeLeft
from damrs_dgl.studies.training import CellTrainer, one_thread
from damrs_dgl.studies.worker_process import WorkerProcess, end_workers, received
from damrs_dgl.threads import usable_cores

_LEAST_MEMORY = 2**30  # bytes that a worker is thought to need; more where this process holds more

Finished = Callable[[Cell, Outcome], None]


def usable_jobs(device: torch.device) -> int:
    """Trainings side by side: one per core and as memory allows, no more than OMP_NUM_THREADS; one on a GPU."""
    if device.type != "cpu":
        return 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    cores = min(usable_cores(), int(asked)) if asked.isdigit() and int(asked) else usable_cores()
    need = max(_LEAST_MEMORY, 2 * psutil.Process().memory_info().rss)
    return max(1, min(cores, psutil.virtual_memory().available // need))


def train_cells(
    study: Study,
    cells: Sequence[Cell],
    jobs: int,
    *,
    known: Iterable[tuple[str, float]],
    finished: Finished,
    time_left: Callable[[float | None], None],
) -> None:
    """Train cells, `jobs` at a time; `finished` is told of each.

    known: (system, seconds) of cells that were finished before.  time_left: told of the seconds that remain, before
    `finished` is, which may show them.
    """
    expected = TimeLeft(jobs, known)
    time_left(expected.of_all([cell.system for cell in cells]))
    if jobs > 1:
        _SideBySide(study, cells, jobs, expected, finished, time_left).run()
        return
    train = CellTrainer(study)
    with one_thread():
        for position, cell in enumerate(cells):
            started = time.perf_counter()
            outcome = train(cell)
            if not isinstance(outcome, DamrsError):
                expected.add(cell.system, time.perf_counter() - started)
            time_left(expected.of_all([later.system for later in cells[position + 1 :]]))
            finished(cell, outcome)


class _CellWorker(WorkerProcess):
    """A worker, the cell that it is at since when, and what its last data set was made by."""

    cell: Cell | None = None
    started: float = 0.0
    data: tuple[str, float, int] | str | None = "nothing yet"


class _SideBySide:
    """Hands out cells to workers and collects what they came to."""

    def __init__(
        self,
        study: Study,
        cells: Sequence[Cell],
        jobs: int,
        expected: TimeLeft,
        finished: Finished,
        time_left: Callable[[float | None], None],
    ) -> None:
        self.study = study
        self.waiting = list(cells)
        self.jobs = jobs
        self.expected = expected
        self.finished = finished
        self.time_left = time_left
        self.workers: list[_CellWorker] = []

    def run(self) -> None:
        try:
            while self.waiting or any(worker.cell for worker in self.workers):
                self._hand_out()
                self._collect()
        finally:
            end_workers(self.workers)

    def _hand_out(self) -> None:
        """A cell for every idle worker, and new workers for what is left."""
        while self.waiting and len(self.workers) < self.jobs:
            self.workers.append(_CellWorker(self.study, _work))
        for worker in self.workers:
            if worker.cell is None and self.waiting:
                cell = self._next_for(worker)
                self.waiting.remove(cell)
                worker.cell, worker.data, worker.started = cell, cell.data, time.perf_counter()
                worker.send(cell)

    def _next_for(self, worker: _CellWorker) -> Cell:
        """A cell on the data set that the worker has, else on one that no other is at, else the next."""
        others = [other.data for other in self.workers if other is not worker]
        same = (cell for cell in self.waiting if cell.data == worker.data)
        apart = (cell for cell in self.waiting if cell.data not in others)
        return next(same, None) or next(apart, self.waiting[0])

    def _collect(self) -> None:
        """Wait for the next worker that has something to say, or has died."""
        ended: list[tuple[Cell, Outcome]] = []
        lines = {worker.line: worker for worker in self.workers if worker.cell}
        for line in wait(list(lines)):
            worker = lines[line]  # type: ignore[index]
            cell, seconds = worker.cell, time.perf_counter() - worker.started
            assert cell is not None
            worker.cell = None
            try:
                outcome = self._outcome(cell, worker.line.recv())
            except (EOFError, OSError):
                outcome = self._death(worker, cell)
            if not isinstance(outcome, DamrsError):
                self.expected.add(cell.system, seconds)
            ended.append((cell, outcome))
        now = time.perf_counter()
        running = [(worker.cell.system, now - worker.started) for worker in self.workers if worker.cell]
        self.time_left(self.expected.of_all([cell.system for cell in self.waiting], running))
        for cell, outcome in ended:
            self.finished(cell, outcome)

    def _outcome(self, cell: Cell, failure: DamrsError | None) -> Outcome:
        if failure is not None:
            return failure
        try:
            result = self.study.results.read(self.study.key(cell))
        except DamrsError as error:
            return error
        return result or InternalError("a worker finished the cell and left no result", where=str(self.study.folder))

    def _death(self, worker: _CellWorker, cell: Cell) -> Outcome:
        """What the cell of a worker that is gone came to; the worker is taken off the list."""
        self.workers.remove(worker)
        error = worker.death()
        try:
            kept = self.study.results.read(self.study.key(cell))
        except DamrsError:
            kept = None
        if kept is not None:  # it died between keeping the result and telling of it
            return kept
        return error


def _work(line: Connection, open_study: Callable[[], Study]) -> None:
    """Answers each cell with None, when its result is kept, or with what it failed by."""
    train: CellTrainer | None = None
    for cell in received(line):
        try:
            train = train or CellTrainer(open_study())
            outcome = train(cell)
        except Exception as error:  # of the data set; a cell's own are outcomes
            outcome = as_ours(error)
        line.send(outcome if isinstance(outcome, DamrsError) else None)
