"""A user's own ids, asked for and kept: internal numbers and back, and as bytes of a file of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from damrs_dgl.data.columns import find_ids, to_arrow
from damrs_dgl.errors import DataError


def ids_to_tensor(ids: pa.Array) -> torch.Tensor:
    """Ids of any type as the bytes of an Arrow stream."""
    sink = pa.BufferOutputStream()
    table = pa.table({"id": ids})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return torch.frombuffer(bytearray(sink.getvalue()), dtype=torch.uint8)


def ids_from_tensor(tensor: torch.Tensor) -> pa.Array:
    """Ids as `ids_to_tensor` wrote them. Raises pyarrow's errors where the bytes are no such stream."""
    with pa.ipc.open_stream(pa.py_buffer(tensor.numpy().tobytes())) as reader:
        return reader.read_all().column(0).combine_chunks()


def as_list(ids: Any) -> tuple[bool, Sequence[Any]]:
    """Whether one id was given, and the ids as a sequence. DataError for what has no order."""
    if isinstance(ids, (set, frozenset, dict)):
        raise DataError(f"ids in a {type(ids).__name__}, which has no order", where="recommender", fix="give a list")
    single = isinstance(ids, (str, bytes)) or np.ndim(ids) == 0
    return single, [ids.item() if isinstance(ids, (np.ndarray, torch.Tensor)) else ids] if single else ids


def indices_of(asked: Sequence[Any], ids: pa.Array, what: str) -> np.ndarray:
    """The internal number of each asked id, int64, `ids` in the order of theirs; DataError names the first unknown."""
    wanted = to_arrow(asked, what=f"{what} ids")
    indices = find_ids(wanted, ids)
    unknown = np.flatnonzero(indices < 0)
    if len(unknown):
        raise DataError(
            f"{len(unknown)} unknown {what} ids, the first is {wanted[int(unknown[0])].as_py()!r}",
            where="recommender",
            fix=f"ask for {what}s of the data set",
        )
    return indices
