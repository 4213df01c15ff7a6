"""Training clicks that nothing is to learn from, or little, such as those that an audit suspects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from damrs_dgl.data.columns import first_line, to_numbers
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.parts import Finding, Interactions
from damrs_dgl.errors import DataError

_FIX = "give the file that `fit` wrote for this data set"


def without_clicks(dataset: MultimodalDataset, left_out: Tensor) -> MultimodalDataset:
    """The data set with some training clicks (bool [n]) moved to those left out; the others in their order.

    Raises DataError where no training click would remain.
    """
    if bool(left_out.all()):
        raise DataError("no training click is left", where=dataset.name, fix="leave out fewer")
    train, more = dataset.train.take(~left_out), dataset.train.take(left_out)
    before = dataset.left_out
    out = Interactions(torch.cat([before.users, more.users]), torch.cat([before.items, more.items]))
    return dataset.replace(train=train, left_out=out)


def leave_out_file(dataset: MultimodalDataset, path: Path) -> MultimodalDataset:
    """The data set without the training clicks that a Parquet file names: columns user and item, original ids.

    It may name what is left out already, as `fit --drop-suspects` does, and ratings below the threshold are. Raises
    DataError where it cannot be read, lacks a column, or names what is neither that nor a training click.
    """
    trained, gone = dataset.train.keys(dataset.num_items), dataset.left_out.keys(dataset.num_items)
    keys, _ = _keys_in(dataset, path, "left_out", torch.cat([trained, gone]))
    chosen = torch.isin(trained, keys)
    note = Finding("training clicks", int(chosen.sum()), str(path), "left out: nothing learns from them")
    changed = without_clicks(dataset, chosen)
    return changed.replace(findings=(*dataset.findings, note))


def weigh_clicks(dataset: MultimodalDataset, path: Path) -> MultimodalDataset:
    """The data set with the weights that a Parquet file gives its training clicks: columns user, item and weight.

    Raises DataError as `leave_out_file` does, for a training click without a weight, and for one outside [0, 1].
    """
    known, gone = dataset.train.keys(dataset.num_items), dataset.left_out.keys(dataset.num_items)
    keys, table = _keys_in(dataset, path, "click_weights", torch.cat([known, gone]), "weight")
    where = f"data.click_weights: {path}"
    weights = torch.from_numpy(to_numbers(table["weight"], what="weight", where=where, dates=False).astype(np.float32))
    if not bool(((weights >= 0) & (weights <= 1)).all()):
        raise DataError("a weight is not between 0 and 1", where=where, fix=_FIX)
    learned = ~torch.isin(keys, gone)  # what is left out weighs nothing
    keys, weights = keys[learned], weights[learned]
    order = keys.argsort()
    place = torch.searchsorted(keys[order], known).clamp(max=len(keys) - 1)
    if len(keys) != len(known) or not torch.equal(keys[order][place], known):
        what = f"it weighs {len(keys):,} clicks and the training split has {len(known):,}, or they are others"
        raise DataError(what, where=where, fix=_FIX)
    if not bool(weights.any()):
        raise DataError("all weights are 0, so that there is nothing to learn from", where=where, fix=_FIX)
    train = Interactions(dataset.train.users, dataset.train.items, weights[order][place])
    note = Finding("training clicks", len(known), str(path), f"weighed, {float(weights.mean()):.3f} in the mean")
    return dataset.replace(train=train, findings=(*dataset.findings, note))


def _keys_in(dataset: MultimodalDataset, path: Path, key: str, known: Tensor, *more: str) -> tuple[Tensor, pa.Table]:
    """user * I + item of each row of a file, all of them among `known`, and its table with the columns `more` too."""
    where = f"data.{key}: {path}"
    try:
        table = pq.read_table(path, columns=["user", "item", *more])
        pairs = dataset.pairs_of(table)
    except FileNotFoundError:
        raise DataError("no such file", where=where, fix=_FIX) from None
    except (pa.ArrowException, OSError) as error:
        columns = " and ".join(["user", "item", *more])
        reason = f"cannot be read as a table of {columns} ({first_line(error)})"
        raise DataError(reason, where=where, fix=_FIX) from error
    keys = pairs.keys(dataset.num_items)
    foreign = (pairs.users < 0) | (pairs.items < 0) | ~torch.isin(keys, known)
    if bool(foreign.any()):
        first = int(foreign.nonzero()[0])
        shown = f"{table['user'][first].as_py()!r}, {table['item'][first].as_py()!r}"
        raise DataError(
            f"{int(foreign.sum()):,} of its {len(table):,} rows are no training click here, the first {shown}",
            where=where,
            fix=_FIX,
        )
    return keys, table
