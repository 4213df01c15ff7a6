"""Running a search: its trials in this process or side by side in others, those that are known taken from memory."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from damrs_dgl.errors import DamrsError, TrainingError
from damrs_dgl.studies.study import Cell, Study
from damrs_dgl.studies.time_left import TimeLeft
from damrs_dgl.studies.training import one_thread
from damrs_dgl.studies.tune.search import Search, Trial
from damrs_dgl.studies.tune.trial_workers import TrialWorkers
from damrs_dgl.studies.tune.trials import (
    LastOutcome,
    Pruned,
    Report,
    StoppedTrial,
    TrialOutcome,
    TrialResult,
    TrialStore,
    TrialTrainer,
    Verdict,
)


class TuneWatch:
    """Told how a search goes; does nothing by itself."""

    def evaluated(self, trial: Trial, epoch: int, score: float) -> None:
        """A trial was judged on validation."""

    def ended(self, trial: Trial, *, remembered: bool) -> None:
        """A trial came to its end, or was known."""

    def time_left(self, seconds: float | None) -> None:
        """The rest will take so long; None where nothing is known yet."""


@dataclass
class Tuning:
    """A search over a study's recipe.

    count: trials besides the recipe as it is.  deadline: by `time.monotonic`, when no trial goes on.
    """

    study: Study
    search: Search
    store: TrialStore
    count: int
    deadline: float | None = None
    watch: TuneWatch = field(default_factory=TuneWatch)
    ran_out: bool = False  # whether trials are left because the time was up

    def run(self, jobs: int) -> None:
        """Try all trials; with one job in this process. Every trial of ours is in `search.trials` afterwards."""
        self.expected = TimeLeft(jobs)
        if jobs == 1:
            with one_thread():
                self._one_by_one()
        else:
            self._side_by_side(jobs)

    @property
    def is_over(self) -> bool:
        """Whether the time that was given is up."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def _one_by_one(self) -> None:
        train = TrialTrainer(self.study)
        while (given := self._next()) is not None:
            trial, cell = given
            outcome, seconds = train.run(cell, self._reporter(trial))
            self._end(trial, cell, outcome, seconds)

    def _side_by_side(self, jobs: int) -> None:
        with TrialWorkers(self.study, jobs) as workers:
            running: dict[int, tuple[Trial, Cell, float]] = {}
            while True:
                while len(running) < jobs and (given := self._next()) is not None:
                    trial, cell = given
                    workers.begin(trial.number, cell)
                    running[trial.number] = (trial, cell, time.perf_counter())
                if not running:
                    return
                for number, told in workers.heard():
                    trial, cell, started = running[number]
                    if isinstance(told, tuple):
                        workers.answer(number, self._reporter(trial)(*told))
                        continue
                    del running[number]
                    self._end(trial, cell, told, time.perf_counter() - started)

    def _reporter(self, trial: Trial) -> Report:
        def report(epoch: int, score: float | None) -> Verdict:
            if score is None:
                return Verdict.STOP if self.is_over else Verdict.GO_ON
            verdict = self.search.report(trial, epoch, score)
            self.watch.evaluated(trial, epoch, score)
            return Verdict.STOP if verdict is Verdict.GO_ON and self.is_over else verdict

        return report

    def _next(self) -> tuple[Trial, Cell] | None:
        """The next trial that has to be trained; those before it that are known are ended."""
        while (trial := None if self.is_over else self.search.next()) is not None:
            cell = trial.cell(self.study.recipe)
            known = self._known(trial, cell)
            if known is None:
                return trial, cell
            self.search.end(trial, known)
            self.watch.ended(trial, remembered=True)
        self.ran_out = self.ran_out or self.is_over
        return None

    def _known(self, trial: Trial, cell: Cell) -> LastOutcome | None:
        try:
            found = self.store.read(self.study.key(cell), self.study.recipe.training.monitor)
        except DamrsError as error:  # values that do not fit together
            return error
        if isinstance(found, TrialResult):
            for epoch, score in found.curve:
                self.search.report(trial, epoch, score)
        return found or self.search.pruned_before(trial)

    def _end(self, trial: Trial, cell: Cell, outcome: TrialOutcome, seconds: float) -> None:
        if isinstance(outcome, StoppedTrial):
            self.ran_out = True
            return
        if isinstance(outcome, (TrialResult, TrainingError)):
            self.store.write(self.study.key(cell), cell, outcome)
        if isinstance(outcome, (TrialResult, Pruned)):
            self.expected.add("trial", seconds)
        self.search.end(trial, outcome)
        left = self.count + 1 - sum(found.outcome is not None for found in self.search.trials)
        self.watch.time_left(self.expected.of_all(["trial"] * max(0, left)))  # first: what is told of the end shows it
        self.watch.ended(trial, remembered=False)
