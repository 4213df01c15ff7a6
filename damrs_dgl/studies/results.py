"""What a finished cell leaves on disk: its numbers as JSON, every user's own as Parquet, both with a checksum."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from damrs_dgl.errors import RunError
from damrs_dgl.storage.checksums import file_digest
from damrs_dgl.storage.files import whole_file, write_text
from damrs_dgl.storage.sealed import read_sealed, write_sealed
from damrs_dgl.studies.judging import Judgement
from damrs_dgl.training.checkpoint import CheckpointStore

PER_USER_K = 20  # the length of list that users' own numbers are kept for


@dataclass(frozen=True)
class CellResult:
    """The numbers of a finished cell.

    validation, test: metrics of the best epoch.  beyond_accuracy: what its test lists are like beside that, None where
    a metric has no number.  curve: (epoch, monitored score) of each validation that counts.
    seconds: of training.  wall_seconds: of the cell from data to metrics.
    per_user_path: the Parquet file of every user's own test metrics.
    clean_candidates: where clicks were added or removed, test metrics as if the user's known items were those of the
    clean data; empty elsewhere.
    """

    validation: Mapping[str, float]
    test: Mapping[str, float]
    beyond_accuracy: Mapping[str, float | None]
    best_epoch: int
    epochs: int
    seconds: float
    wall_seconds: float
    per_user_path: Path
    clean_candidates: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[tuple[int, float], ...] = ()

    def per_user(self) -> dict[str, np.ndarray]:
        """Columns by name: `user` (index in the data set, ascending) and the metrics at 20, float64."""
        table = pq.read_table(self.per_user_path)
        return {name: table[name].to_numpy() for name in table.column_names}


class ResultStore:
    """The results in one folder, each under the key of all that it depends on."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def path(self, key: str) -> Path:
        """The JSON file of a result; the Parquet file stands beside it."""
        return self.folder / f"{key}.json"

    def training(self, key: str) -> CheckpointStore:
        """Where the training of an unfinished cell keeps its last full epoch."""
        return CheckpointStore(self.folder / key, key)

    def remove_training(self, key: str) -> None:
        """Remove what the training of a cell has kept."""
        shutil.rmtree(self.folder / key, ignore_errors=True)

    def write(self, key: str, facts: Mapping[str, Any], test: Judgement) -> CellResult:
        """Keep a finished cell; `facts` are the numbers of `CellResult` and whatever else a reader should know."""
        users = self._per_user_path(key)
        columns = {name: values for name, values in test.per_user.items() if name.endswith(f"@{PER_USER_K}")}
        with whole_file(users) as temporary:
            table = {"user": test.lists.users.cpu(), **{name: values.cpu() for name, values in columns.items()}}
            pq.write_table(pa.table({name: values.numpy() for name, values in table.items()}), temporary)
        digest = file_digest(users).hex()
        content = {**facts, "test": test.test, "beyond_accuracy": test.beyond_accuracy, "per_user": digest}
        write_sealed(self.path(key), content)
        self._trace_path(key).unlink(missing_ok=True)
        self.remove_training(key)
        return _result(content, users)

    def read(self, key: str) -> CellResult | None:
        """A finished cell, None where there is none. Raises RunError where one of its files is damaged or missing."""
        path, users = self.path(key), self._per_user_path(key)
        if not path.exists():
            return None
        content = read_sealed(path)
        try:
            intact = file_digest(users).hex() == content["per_user"]
        except OSError:
            intact = False
        if not intact:
            raise RunError("is damaged or missing", where=users, fix="it is made anew")
        return _result(content, users)

    def states(self) -> dict[Path, str]:
        """Of both files of every finished cell: "sound", "damaged" or "not there"; a cell that is gone is not known."""
        found: dict[Path, str] = {}
        for path in sorted(self.folder.glob("*.json")):
            users = self._per_user_path(path.stem)
            try:
                self.read(path.stem)
                found |= {path: "sound", users: "sound"}
            except RunError as error:
                if error.where == str(path):  # which alone says what the other one should be
                    found[path] = "damaged"
                else:
                    found |= {path: "sound", users: "damaged" if users.exists() else "not there"}
        return found

    def write_trace(self, key: str, trace: str) -> Path:
        """Keep the stack trace of a cell that failed by our fault."""
        write_text(self._trace_path(key), trace)
        return self._trace_path(key)

    def _per_user_path(self, key: str) -> Path:
        return self.folder / f"{key}.parquet"

    def _trace_path(self, key: str) -> Path:
        return self.folder / f"{key}.trace.txt"


def _result(content: Mapping[str, Any], users: Path) -> CellResult:
    numbers = ("validation", "test", "beyond_accuracy", "best_epoch", "epochs", "seconds", "wall_seconds")
    found = {name: content[name] for name in numbers}
    curve = tuple((int(epoch), float(score)) for epoch, score in content.get("curve", ()))
    return CellResult(**found, per_user_path=users, clean_candidates=content.get("clean_candidates", {}), curve=curve)
