"""How long a training goes on, and what it has come to."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean

from damrs_dgl.evaluation.labels import validation_column

Metrics = dict[str, float]

_DECAY_EPOCHS = 50


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train: at most `epochs`, until `patience` validations bring no better `monitor`.

    waits_for_climb: patience that is used up does not end a training whose validation climbs back from a dip.
    first_judged: validations of earlier epochs, which prepare the model, are noted and choose nothing.
    learning_rate_decay: every optimiser's rate is multiplied by it over 50 epochs, a little each epoch.
    """

    epochs: int
    patience: int
    evaluate_every: int = 1
    monitor: str = "recall@20"
    learning_rate: float = 1e-3
    learning_rate_decay: float = 1.0
    first_judged: int = 1
    waits_for_climb: bool = False

    @property
    def monitored(self) -> str:
        """The history's column of the monitored score."""
        return validation_column(self.monitor)

    def judges(self, epoch: int) -> bool:
        """Whether an epoch's validation says something of the model; the last one's does, so that there is a best."""
        return epoch >= min(self.first_judged, self.epochs)

    def in_turn(self, epoch: int) -> bool:
        """Whether an epoch's validation comes in the course of the training."""
        return epoch % self.evaluate_every == 0

    def validates(self, epoch: int) -> bool:
        """Whether an epoch ends with a validation: those in turn do, and the last one."""
        return self.in_turn(epoch) or epoch == self.epochs

    def rate_factor(self, epoch: int) -> float:
        """What the learning rates are multiplied by in an epoch (from 1)."""
        return float(self.learning_rate_decay ** ((epoch - 1) / _DECAY_EPOCHS))


@dataclass
class Progress:
    """What a training has come to. Epochs count from 1; `history` has one row per epoch."""

    epoch: int = 0
    best_epoch: int = 0
    best: Metrics = field(default_factory=dict)
    stale: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Of all epochs, validation among them."""
        return round(sum(row["seconds"] for row in self.history), 3)

    def curve(self, schedule: Schedule) -> list[tuple[int, float]]:
        """(epoch, monitored score) of each validation that says something of the model."""
        rows = enumerate(self.history, start=1)
        column = schedule.monitored
        return [(epoch, row[column]) for epoch, row in rows if column in row and schedule.judges(epoch)]

    def note(self, epoch: int, metrics: Metrics, schedule: Schedule) -> bool:
        """Take in an epoch's validation; whether it is the best so far.

        Only validations in turn use up patience, not the extra one after the last epoch: a training prolonged later
        then ends as if it had been planned so long.
        """
        if not schedule.judges(epoch):
            return False
        if not self.best or metrics[schedule.monitor] > self.best[schedule.monitor]:
            self.best, self.best_epoch, self.stale = metrics, epoch, 0
            return True
        self.stale += schedule.in_turn(epoch)
        return False

    def finished(self, schedule: Schedule) -> bool:
        """Whether the schedule asks for no further epoch."""
        if self.epoch >= schedule.epochs:
            return True
        return self.stale >= schedule.patience and not (schedule.waits_for_climb and self._climbs(schedule))

    def _climbs(self, schedule: Schedule) -> bool:
        """Whether the score would pass the best within `patience` evaluations, at the pace of as many last ones.

        That pace is the mean of their later half against that of their earlier one, an evaluation alone is noise.
        """
        half = schedule.patience // 2
        scores = [score for epoch, score in self.curve(schedule) if schedule.in_turn(epoch)]
        if not half or len(scores) < 2 * half:
            return False
        earlier, later = fmean(scores[-2 * half : -half]), fmean(scores[-half:])
        ahead = schedule.patience + half / 2  # from the middle of the later half
        return later + ahead * (later - earlier) / half > self.best[schedule.monitor]

    def is_whole(self, schedule: Schedule) -> bool:
        """Whether a training from scratch under this schedule ends exactly here.

        One that was resumed with more epochs or another patience may have gone on where such a training would not.
        """
        return bool(self.history) and self._ends(schedule) is True

    def is_on_the_way(self, schedule: Schedule) -> bool:
        """Whether a training from scratch under this schedule comes through here, or ends here."""
        return self._ends(schedule) is not None

    def _ends(self, schedule: Schedule) -> bool | None:
        """Whether a training from scratch ends with this history; None where it would have another."""
        replayed, column, ended = Progress(), schedule.monitored, False
        for epoch, row in enumerate(self.history, start=1):
            validated = column in row
            if ended or validated != schedule.validates(epoch):
                return None
            replayed.epoch = epoch
            replayed.history.append(row)
            if validated:
                replayed.note(epoch, {schedule.monitor: row[column]}, schedule)
            ended = replayed.finished(schedule)
        return ended
