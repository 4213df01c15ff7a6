"""From an array of feature vectors to ModalityFeatures: the right type, and which rows carry no content."""

from __future__ import annotations

from typing import Any

import numpy as np

from damrs_dgl.data.mapping import release_pages
from damrs_dgl.data.parts import Finding, ModalityFeatures
from damrs_dgl.errors import DataError

_SCAN_VALUES = 1 << 22  # values looked at in one go: 16 MiB of float32


def as_features(values: Any, *, where: str, beyond: np.ndarray | None = None) -> tuple[ModalityFeatures, list[Finding]]:
    """Check one modality's array [I, D] and find its rows without content.

    float16 and float32 arrays are used as they are (a memory map stays one); other numbers are copied to float32 with a
    Finding. A row with NaN, infinity or null, a number beyond float32's range, or all zero, counts as missing.
    `beyond` bool [I]: rows with such a number, of an array that `converted` has made. Raises DataError for a wrong
    shape or type.
    """
    array = _as_numpy(values, where)
    if array.ndim != 2 or array.shape[1] == 0:
        raise DataError(f"shape {array.shape}, expected items x values", where=where, fix="save one row per item")
    if array.dtype.kind not in "fiu":
        raise DataError(f"holds {array.dtype}, expected numbers", where=where, fix="save it as float16 or float32")
    findings: list[Finding] = []
    if array.dtype not in (np.float16, np.float32) or not array.dtype.isnative:
        findings.append(Finding(f"{array.dtype} features", len(array), where, "converted to float32"))
        array, beyond = converted(array)
    if beyond is None:
        beyond = np.zeros(len(array), dtype=bool)
    not_finite, all_zero = _scan(array)
    for kind, rows in (
        ("rows with NaN, infinity or null", not_finite & ~beyond),
        ("rows with numbers beyond float32's range", beyond),
        ("all-zero rows", all_zero),
    ):
        if rows.any():
            findings.append(Finding(kind, int(rows.sum()), where, "treated as missing"))
    return ModalityFeatures(array, not_finite | all_zero), findings


def converted(array: np.ndarray, dtype: type[np.floating] = np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Numbers [I, D] as floats of another type, and bool [I]: rows with one beyond its range, then infinity."""
    floats, beyond = np.empty(array.shape, dtype), np.zeros(len(array), dtype=bool)
    step = _block_rows(array)
    with np.errstate(over="ignore"):
        for start in range(0, len(array), step):
            block = slice(start, start + step)
            floats[block] = array[block]
            beyond[block] = (np.isinf(floats[block]) & np.isfinite(array[block])).any(axis=1)
    return floats, beyond


def _as_numpy(values: Any, where: str) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values
    if hasattr(values, "toarray"):  # scipy
        raise DataError("is a sparse matrix, expected an array", where=where, fix="give values.toarray()")
    try:
        if hasattr(values, "detach"):  # torch; numpy has no bfloat16
            values = values.detach().cpu()
            return values.float().numpy() if str(values.dtype) == "torch.bfloat16" else values.numpy()
        return np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
    except (TypeError, ValueError) as error:
        raise DataError(f"not an array of numbers ({error})", where=where) from error


def _block_rows(array: np.ndarray) -> int:
    return max(1, _SCAN_VALUES // array.shape[1])


def _scan(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two masks [I]: rows that are not finite, rows that are all zero; read in blocks."""
    not_finite = np.zeros(len(array), dtype=bool)
    all_zero = np.zeros(len(array), dtype=bool)
    step = _block_rows(array)
    for start in range(0, len(array), step):
        block = np.asarray(array[start : start + step])
        not_finite[start : start + step] = ~np.isfinite(block).all(axis=1)
        all_zero[start : start + step] = ~block.any(axis=1)
        release_pages(array)
    return not_finite, all_zero
