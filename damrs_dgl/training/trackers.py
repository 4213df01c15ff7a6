"""Following a training in TensorBoard or MLflow: one small protocol and a writer for each, imported when asked for."""

from __future__ import annotations

import importlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from damrs_dgl.errors import DamrsError

Row = Mapping[str, float]  # of the history: epoch, loss and its terms, validation_..., seconds
_MLFLOW_BATCH: Final = 100  # parameters that it takes at a time


@dataclass(frozen=True)
class TrackedTraining:
    """What a tracker is told of a training.

    name: of the recipe.  key: another one for every change that the numbers depend on.  folder: of the run.
    settings: every key of the recipe, in words.
    """

    name: str
    key: str
    folder: Path
    settings: Mapping[str, str]


class Tracker(Protocol):
    """Where the numbers of a training go. Made with the epochs so far, of which it writes what it lacks."""

    def epoch(self, row: Row) -> None:
        """An epoch is done and safely stored."""

    def metrics(self, values: Mapping[str, float], epoch: int) -> None:
        """The metrics of the best epoch, {"test/recall@20": number, ...}."""

    def close(self, *, finished: bool) -> None:
        """Nothing more comes; not `finished` where the training was stopped."""


def scalars(row: Row) -> Iterator[tuple[str, float]]:
    """The numbers of an epoch by name, in folders: validation/recall@20, train/loss, time/seconds."""
    for name, value in row.items():
        if name == "epoch":
            continue
        if name.startswith("validation_"):
            yield f"validation/{name.removeprefix('validation_')}", value
        else:
            yield (f"time/{name}" if name.endswith("seconds") else f"train/{name}"), value


class TensorBoardTracker:
    """Writes `tensorboard/` in the run folder, to be read by `tensorboard --logdir`.

    The curves are written anew from the history at each start, so that a training that was resumed has one of each.
    """

    def __init__(self, training: TrackedTraining, history: Sequence[Row]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = training.folder / "tensorboard"
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        self._writer: Any = SummaryWriter(str(folder))
        lines = "\n".join(f"    {key} = {value}" for key, value in training.settings.items())
        self._writer.add_text("recipe", lines)
        for row in history:
            self.epoch(row)

    def epoch(self, row: Row) -> None:
        for name, value in scalars(row):
            self._writer.add_scalar(name, value, int(row["epoch"]))
        self._writer.flush()

    def metrics(self, values: Mapping[str, float], epoch: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)

    def close(self, *, finished: bool) -> None:
        self._writer.close()


class MLflowTracker:
    """Writes a run of the experiment that is called as the recipe.

    It goes where MLFLOW_TRACKING_URI says, else into `mlflow.db` in the run folder. A training that is resumed goes on
    in its own run. MLflow takes no @ in a name: recall@20 is recall_at_20 there.
    """

    def __init__(self, training: TrackedTraining, history: Sequence[Row]) -> None:
        from mlflow.tracking import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        own = training.folder.resolve() / "mlflow.db"
        own.parent.mkdir(parents=True, exist_ok=True)
        self._client: Any = MlflowClient(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{own}")
        known = self._client.get_experiment_by_name(training.name)
        experiment = known.experiment_id if known else self._client.create_experiment(training.name)
        self._run, logged = self._run_of(experiment, training, int(history[-1]["epoch"]) if history else 0)
        for row in history:
            if row["epoch"] > logged:
                self.epoch(row)

    def _run_of(self, experiment: str, training: TrackedTraining, trained: int) -> tuple[str, int]:
        """(id of this training's run, its last epoch there); a new run where the training was begun anew."""
        folder = str(training.folder.resolve())
        tags = {"damrs_dgl.training": training.key, "damrs_dgl.run": folder}
        for run in self._client.search_runs([experiment], f"tags.`damrs_dgl.training` = '{training.key}'"):
            if run.data.tags.get("damrs_dgl.run") == folder:
                steps = [point.step for point in self._client.get_metric_history(run.info.run_id, "train/loss")]
                last = max(steps, default=0)
                if last <= trained:
                    self._client.update_run(run.info.run_id, status="RUNNING")
                    return run.info.run_id, last
                break  # the latest has epochs that this training does not: it was begun anew
        from mlflow.entities import Param

        created = self._client.create_run(experiment, run_name=training.folder.name, tags=tags).info.run_id
        settings = [Param(key, value) for key, value in training.settings.items()]
        for start in range(0, len(settings), _MLFLOW_BATCH):
            self._client.log_batch(created, params=settings[start : start + _MLFLOW_BATCH])
        return created, 0

    def epoch(self, row: Row) -> None:
        self.metrics(dict(scalars(row)), int(row["epoch"]))

    def metrics(self, values: Mapping[str, float], epoch: int) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        found = [Metric(name.replace("@", "_at_"), value, now, epoch) for name, value in values.items()]
        self._client.log_batch(self._run, metrics=found)

    def close(self, *, finished: bool) -> None:
        self._client.set_terminated(self._run, status="FINISHED" if finished else "KILLED")


TRACKERS: Final[Mapping[str, Callable[[TrackedTraining, Sequence[Row]], Tracker]]] = {
    "tensorboard": TensorBoardTracker,
    "mlflow": MLflowTracker,
}


def require_tracker(name: str) -> None:
    """DamrsError where there is no such tracker, or a package that it needs is not there or cannot be used."""
    if name not in TRACKERS:
        raise DamrsError(f"there is no tracker {name!r}", where="--track", fix=f"choose one of {', '.join(TRACKERS)}")
    needed = {"tensorboard": ["torch.utils.tensorboard"], "mlflow": ["mlflow.tracking"]}[name]
    if name == "mlflow" and not os.environ.get("MLFLOW_TRACKING_URI"):
        needed += ["sqlalchemy", "alembic"]  # for mlflow.db
    try:
        for module in needed:
            importlib.import_module(module)
    except ImportError as error:
        raise DamrsError(
            f"{name} cannot be imported ({error})",
            where=f"--track {name}",
            fix=f"pip install 'damrs-dgl[tracking-{name}]'",
        ) from error
