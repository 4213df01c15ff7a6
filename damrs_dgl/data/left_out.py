"""Training clicks that nothing is to learn from, such as those that an audit suspects."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from damrs_dgl.data.columns import first_line
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.parts import Finding, Interactions
from damrs_dgl.errors import DataError

_FIX = "give the file that `fit --drop-suspects` wrote for this data set"


def without_clicks(dataset: MultimodalDataset, left_out: Tensor) -> MultimodalDataset:
    """The data set with some training clicks (bool [n]) moved to those left out; the others in their order.

    Raises DataError where no training click would remain.
    """
    if bool(left_out.all()):
        raise DataError("no training click is left", where=dataset.name, fix="leave out fewer")
    parts = (Interactions(dataset.train.users[chosen], dataset.train.items[chosen]) for chosen in (~left_out, left_out))
    train, more = parts
    before = dataset.left_out
    out = Interactions(torch.cat([before.users, more.users]), torch.cat([before.items, more.items]))
    return dataset.replace(train=train, left_out=out)


def leave_out_file(dataset: MultimodalDataset, path: Path) -> MultimodalDataset:
    """The data set without the training clicks that a Parquet file names: columns user and item, original ids.

    Raises DataError where it cannot be read, lacks a column, or names what is no training click of the data set.
    """
    try:
        table = pq.read_table(path, columns=["user", "item"])
    except FileNotFoundError:
        raise DataError("no such file", where=f"data.left_out: {path}", fix=_FIX) from None
    except (pa.ArrowException, OSError) as error:
        reason = f"cannot be read as a table of user and item ({first_line(error)})"
        raise DataError(reason, where=f"data.left_out: {path}", fix=_FIX) from error
    users = torch.from_numpy(dataset.user_indices(table["user"]))
    items = torch.from_numpy(dataset.item_indices(table["item"]))
    keys = users * dataset.num_items + items
    known = dataset.train.users * dataset.num_items + dataset.train.items
    foreign = (users < 0) | (items < 0) | ~torch.isin(keys, known)
    if bool(foreign.any()):
        first = int(foreign.nonzero()[0])
        shown = f"{table['user'][first].as_py()!r}, {table['item'][first].as_py()!r}"
        raise DataError(
            f"{int(foreign.sum()):,} of its {len(table):,} rows are no training click here, the first {shown}",
            where=f"data.left_out: {path}",
            fix=_FIX,
        )
    chosen = torch.isin(known, keys)
    note = Finding("training clicks", int(chosen.sum()), str(path), "left out: nothing learns from them")
    changed = without_clicks(dataset, chosen)
    return changed.replace(findings=(*dataset.findings, note))
