"""`history.csv`: an epoch a row, the loss and each of its terms, validation scores, seconds."""

from __future__ import annotations

from damrs_dgl.evaluation.labels import validation_column
from damrs_dgl.evaluation.metrics import METRICS
from damrs_dgl.stages.workspace import Workspace
from damrs_dgl.storage.files import write_csv
from damrs_dgl.training.schedule import Progress, Schedule


class History:
    """The history of a run's training; as a listener of the trainer it is written after each epoch.

    The columns are the same after every epoch; the scores are empty where it was not evaluated.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._run = workspace.run
        self._parts = workspace.fit_parts
        self._validation = [
            validation_column(f"{metric}@{k}") for metric in METRICS for k in workspace.recipe.evaluation.ks
        ]

    def __call__(self, progress: Progress, schedule: Schedule) -> None:
        self._write(progress)

    def record(self) -> None:
        """Note that the training is done, and the file's checksum."""
        self._run.record("history", self._parts, self._run.history)

    def rewrite(self, progress: Progress) -> None:
        """Write a finished training's with the columns that the recipe asks for now: no training reads [evaluation].

        It is noted as done, if it had other columns or its training was killed before that.
        """
        self._write(progress)
        if self._run.recorded_parts("history") is None or self._run.damaged("history"):
            self.record()

    def _write(self, progress: Progress) -> None:
        validation = self._validation
        terms = [name for name in progress.history[0] if name not in validation and not name.endswith("seconds")]
        rows = [{**row, "epoch": int(row["epoch"])} for row in progress.history]
        write_csv(self._run.history, rows, [*terms, *validation, "train_seconds", "seconds"])
