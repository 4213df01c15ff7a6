"""One hash over all that a data set consists of, read in blocks so that memory-mapped features stay on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor

from damrs_dgl.data.mapping import release_pages

_BLOCK_VALUES = 2**22  # read at a time


def hash_of(
    ids: tuple[pa.Array, ...],
    pairs: Mapping[str, tuple[Tensor, Tensor]],
    contents: Mapping[str, tuple[np.ndarray, np.ndarray]],
) -> str:
    """Hex digest (BLAKE2b, 256 bits) of id columns, of pairs by split, and of (values, missing) by modality."""
    digest = hashlib.blake2b(digest_size=32)
    for column in ids:
        _add_ids(digest, column)
    for split, columns in pairs.items():
        digest.update(f"{split} {len(columns[0])};".encode())
        for numbers in columns:
            digest.update(numbers.contiguous().numpy().data)
    for modality, (values, missing) in contents.items():
        digest.update(f"{modality} {values.dtype} {values.shape};".encode())
        digest.update(np.packbits(missing).data)
        step = max(1, _BLOCK_VALUES // max(values.shape[1], 1))
        for start in range(0, len(values), step):
            rows = np.ascontiguousarray(values[start : start + step])
            digest.update(rows.view(np.uint8).data)
            release_pages(values)
    return digest.hexdigest()


def _add_ids(digest: Any, ids: pa.Array) -> None:
    """An id column, of integers or text, without building a Python object per id."""
    digest.update(f"{ids.type} {len(ids)};".encode())
    if pa.types.is_integer(ids.type):
        digest.update(np.ascontiguousarray(ids.to_numpy(zero_copy_only=False)).data)
        return
    text = ids.cast(pa.large_string())
    _, offsets_buffer, characters = text.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int64)[text.offset : text.offset + len(text) + 1]
    digest.update(np.diff(offsets).data)
    if characters is not None:
        digest.update(memoryview(characters)[int(offsets[0]) : int(offsets[-1])])
