"""Known noise to hold an audit against: a file that says of clicks whether they are noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.formats.columnar import read_columns
from damrs_dgl.data.formats.files import require_file
from damrs_dgl.errors import DataError


def known_noise(path: Path, dataset: MultimodalDataset) -> np.ndarray:
    """Which training clicks a table calls noise, bool [n] in the order of `dataset.train`.

    The table (CSV, TSV or Parquet) has the columns user and item, original ids, and is_noise, 0 or 1. What it leaves
    out is no noise, and what is no training click is passed over. Raises DataError where it cannot be read so, and
    where all training clicks are noise, or none is.
    """
    table = read_columns(require_file(path), ids=["user", "item"], others=["is_noise"])
    values = np.array([_number(value) for value in table["is_noise"].to_pylist()])
    marked = values == 1
    wrong = np.flatnonzero(~marked & (values != 0))
    if len(wrong):
        shown = table["is_noise"][int(wrong[0])].as_py()
        what = f"is_noise is neither 0 nor 1 in {len(wrong):,} rows, the first {shown!r}"
        raise DataError(what, where=path, fix="write 1 for noise and 0 for the rest")
    pairs = dataset.pairs_of(table)
    known = ((pairs.users >= 0) & (pairs.items >= 0)).numpy()
    noisy = pairs.keys(dataset.num_items).numpy()[known & marked]
    found = np.isin(dataset.train.keys(dataset.num_items).numpy(), noisy)
    if found.all() or not found.any():
        what = f"{int(found.sum()):,} of {len(found):,} training clicks are noise by it: there is nothing to tell apart"
        raise DataError(what, where=path, fix="check its ids against the data set's")
    return found


def _number(value: object) -> float:
    """The number that a cell holds, NaN where it holds none."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return float("nan")
