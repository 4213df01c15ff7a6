"""Cells trained in this process or side by side in others; the numbers are the same.

A worker is a process that is given one cell at a time. It ignores Ctrl-C, which is for the process that started it, and
ends with that process, however it ends. One that dies (the system kills what takes too much memory) costs the cell that
it was at; another takes its place.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil
import torch

from damrs_dgl.errors import DamrsError, DataError, InternalError, unexpected
from damrs_dgl.factory import load_dataset
from damrs_dgl.recipe import recipe_from
from damrs_dgl.studies.study import Cell, Outcome, Study
from damrs_dgl.studies.time_left import TimeLeft
from damrs_dgl.studies.training import CellTrainer, one_thread
from damrs_dgl.threads import usable_cores

_GRACE_SECONDS = 5.0  # that a worker has to end when it is told to
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

    known: (system, seconds) of cells that were finished before.  time_left: told of the seconds that remain.
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
            finished(cell, outcome)
            time_left(expected.of_all([later.system for later in cells[position + 1 :]]))


@dataclass
class _Worker:
    """A process, the line to it, the cell that it is at since when, and what its last data set was made by."""

    process: BaseProcess
    line: Connection
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
        self.workers: list[_Worker] = []

    def run(self) -> None:
        try:
            while self.waiting or any(worker.cell for worker in self.workers):
                self._hand_out()
                self._collect()
        finally:
            self._end_workers()

    def _hand_out(self) -> None:
        """A cell for every idle worker, and new workers for what is left."""
        while self.waiting and len(self.workers) < self.jobs:
            self.workers.append(self._new_worker())
        for worker in self.workers:
            if worker.cell is None and self.waiting:
                cell = self._next_for(worker)
                self.waiting.remove(cell)
                worker.cell, worker.data, worker.started = cell, cell.data, time.perf_counter()
                try:
                    worker.line.send(cell)
                except OSError:  # it died in between, which `_collect` finds
                    continue

    def _next_for(self, worker: _Worker) -> Cell:
        """A cell on the data set that the worker has, else on one that no other is at, else the next."""
        others = [other.data for other in self.workers if other is not worker]
        same = (cell for cell in self.waiting if cell.data == worker.data)
        apart = (cell for cell in self.waiting if cell.data not in others)
        return next(same, None) or next(apart, self.waiting[0])

    def _collect(self) -> None:
        """Wait for the next worker that has something to say, or has died."""
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
            self.finished(cell, outcome)
        now = time.perf_counter()
        running = [(worker.cell.system, now - worker.started) for worker in self.workers if worker.cell]
        self.time_left(self.expected.of_all([cell.system for cell in self.waiting], running))

    def _outcome(self, cell: Cell, answer: tuple[Any, ...] | None) -> Outcome:
        if answer is not None:
            return _understood(*answer)
        try:
            result = self.study.results.read(self.study.key(cell))
        except DamrsError as error:
            return error
        return result or InternalError("a worker finished the cell and left no result", where=str(self.study.folder))

    def _death(self, worker: _Worker, cell: Cell) -> Outcome:
        """What the cell of a worker that is gone came to; the worker is taken off the list."""
        worker.process.join(_GRACE_SECONDS)
        self.workers.remove(worker)
        try:
            kept = self.study.results.read(self.study.key(cell))
        except DamrsError:
            kept = None
        if kept is not None:  # it died between keeping the result and telling of it
            return kept
        return death_of(worker.process)

    def _new_worker(self) -> _Worker:
        return _Worker(*start_worker(self.study, _work))

    def _end_workers(self) -> None:
        for worker in self.workers:
            worker.line.close()
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join(_GRACE_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def _work(line: Connection, recipe: str, fingerprint: str, folder: str, device: str) -> None:
    """The life of a worker: answers each cell with None, when its result is kept, or with what it failed by."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    warnings.simplefilter("ignore")  # the process that started this one has said them
    train: CellTrainer | None = None
    with one_thread():
        while True:
            try:
                cell = line.recv()
            except (EOFError, OSError):
                return
            try:
                train = train or CellTrainer(opened_study(recipe, fingerprint, folder, device))
                outcome = train(cell)
            except Exception as error:  # of the data set; a cell's own are outcomes
                outcome = error if isinstance(error, DamrsError) else unexpected(error)
            line.send(_told(outcome) if isinstance(outcome, DamrsError) else None)


def start_worker(study: Study, work: Callable[..., None]) -> tuple[BaseProcess, Connection]:
    """A process that runs `work(line, recipe, fingerprint, folder, device)` on the study, and the line to it."""
    context = get_context("spawn")
    mine, theirs = context.Pipe()
    recipe = json.dumps(study.recipe.model_dump(mode="json", exclude_unset=True))
    settings = (recipe, study.dataset.fingerprint(), str(study.folder), str(study.device))
    process = context.Process(target=work, args=(theirs, *settings), daemon=True)
    with ctrl_c_ignored():
        process.start()
    theirs.close()
    return process, mine


def death_of(process: BaseProcess) -> DamrsError:
    """What to say of a worker that ended before its work did."""
    if process.exitcode == -signal.SIGKILL:
        return DamrsError("its process was killed, as the system does when memory runs out", fix="lower --jobs")
    return InternalError(f"its process ended by itself (exit code {process.exitcode})", fix="try --jobs 1")


def opened_study(recipe: str, fingerprint: str, folder: str, device: str) -> Study:
    """The study of the process that started this one. Raises DataError where its files have changed since."""
    loaded = recipe_from(json.loads(recipe))
    study = Study(loaded, load_dataset(loaded), Path(folder), torch.device(device))
    if study.dataset.fingerprint() != fingerprint:
        raise DataError("the files changed while they were read", where=study.dataset.name, fix="run it again")
    return study


def _told(error: DamrsError) -> tuple[int, str, str | None, str | None]:
    return error.exit_code, error.what, error.where, error.fix


def _understood(exit_code: int, what: str, where: str | None, fix: str | None) -> DamrsError:
    """A worker's error as one of two kinds: the user's to mend, or ours."""
    kind = DamrsError if exit_code == DamrsError.exit_code else InternalError
    return kind(what, where=where, fix=fix)


@contextmanager
def ctrl_c_ignored() -> Iterator[None]:
    """A process that is started meanwhile ignores Ctrl-C from its first moment."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
