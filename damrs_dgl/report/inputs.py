"""What a report is made of, as it stands in a run's folder; and reading the tables that studies leave there."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.errors import RunError
from damrs_dgl.report.item_vectors import VectorView

Row = dict[str, Any]
AUDIT_TABLES = ("interactions", "content", "links")
_WHOLE = re.compile(r"[+-]?\d+")


@dataclass
class ReportInputs:
    """Everything that the sections look at; what was not made is None or empty.

    Attributes
    ----------
    name, synthetic, system: the recipe's name, whether its numbers are made up, its [model] name.
    recipe_text: the whole recipe as TOML.  written: the recipe as it was written, from which the run is repeated.
    dataset: the data.  summary: `dataset.json`.
    graph_summary: `graphs/summary.json`.
    degrees: {relation: how many other items keep each item as a neighbour, int64 [I]}.
    histories: {system or member: rows, one an epoch, as in `history.csv`}.  monitor: the validation score that chose.
    closed_form: the systems and members that were computed and not trained.
    metrics: `metrics.json`.  tables: {study: rows of its CSV}.  pairs: {study: rows of the CSV of its pairs}.
    whole: the row of an ablation that is the whole system.
    audit: {table: Parquet table}.  audit_judge: by what it judged, in words.
    views: item vectors at several points of the system.
    pictures: a folder of pictures named by item id.  commands: what to run to make all this again, a line each.
    """

    name: str
    synthetic: bool
    system: str
    recipe_text: str
    written: str
    dataset: MultimodalDataset
    summary: Mapping[str, Any]
    graph_summary: Mapping[str, Any] | None = None
    degrees: Mapping[str, torch.Tensor] = field(default_factory=dict)
    histories: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    closed_form: frozenset[str] = frozenset()
    monitor: str = "recall@20"
    metrics: Mapping[str, Any] | None = None
    tables: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    pairs: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    whole: str = ""
    audit: Mapping[str, pa.Table] = field(default_factory=dict)
    audit_judge: str = ""
    views: Sequence[VectorView] = ()
    pictures: Path | None = None
    commands: Sequence[str] = ()

    def item_popularity(self) -> np.ndarray:
        """How many training users each item has, int64 [I]."""
        return _counts(self.dataset.train.items, self.dataset.num_items)

    def user_activity(self) -> np.ndarray:
        """How many training items each user has, int64 [U]."""
        return _counts(self.dataset.train.users, self.dataset.num_users)


def _counts(indices: torch.Tensor, size: int) -> np.ndarray:
    return torch.bincount(indices, minlength=size).numpy()


def read_table(path: Path, texts: Collection[str]) -> list[Row]:
    """The rows of a CSV file, none where there is no such file. Raises RunError where it is not a table.

    Counts are ints, other numbers floats, empty cells None; the columns `texts` stay text.
    """
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"cannot be read as a table ({error})", where=path, fix="delete it and make it anew") from error
    return [
        {str(key): _value(value, is_text=key in texts) for key, value in row.items() if key is not None} for row in rows
    ]


def _value(text: str | None, *, is_text: bool) -> Any:
    if not text:
        return None
    if is_text:
        return text
    try:
        return int(text) if _WHOLE.fullmatch(text) else float(text)
    except ValueError:
        return text


def is_number(value: object) -> TypeGuard[float]:
    """Whether a cell of a table holds a number, whole or not."""
    return isinstance(value, (int, float))


def audit_tables(folder: Path) -> dict[str, pa.Table]:
    """The audit's tables that stand in a run's folder. Raises RunError for one that cannot be read."""
    found = {}
    for name in AUDIT_TABLES:
        path = folder / "audit" / f"{name}.parquet"
        if path.is_file():
            try:
                found[name] = pq.read_table(path)
            except (pa.ArrowException, OSError) as error:
                raise RunError(f"is damaged ({error})", where=path, fix="run `damrs-dgl audit` again") from error
    return found
