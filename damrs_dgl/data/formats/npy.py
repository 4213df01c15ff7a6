"""Feature files of NumPy: one array, mapped into memory, checked before anything believes its header."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format

from damrs_dgl.data.columns import first_line
from damrs_dgl.data.content import as_features
from damrs_dgl.data.formats.files import require_file
from damrs_dgl.data.parts import Finding, ModalityFeatures
from damrs_dgl.errors import DataError

_FIX = "save it again with numpy.save"
_MAGIC = b"\x93NUMPY"
_VERSIONS = ((1, 0), (2, 0), (3, 0))


def open_npy(path: str | Path) -> tuple[ModalityFeatures, list[Finding]]:
    """A .npy file [items, values]; float16 and float32 stay on disk and are mapped.

    Raises DataError for no such file, for a pickle or text (neither is ever loaded), a damaged header, a wrong shape,
    and more or fewer bytes than the header promises.
    """
    file = require_file(path)
    shape, fortran, dtype, offset = _header(file)
    if len(shape) != 2 or 0 in shape:  # an empty file of values cannot be mapped
        raise DataError(f"shape {shape}, expected items x values", where=file, fix="save one row per item")
    promised = offset + shape[0] * shape[1] * dtype.itemsize
    found = file.stat().st_size
    if found != promised:
        what = "is truncated" if found < promised else "goes on behind its array"
        raise DataError(f"{what} ({found:,} bytes, its header promises {promised:,})", where=file, fix=_FIX)
    try:
        values = np.memmap(file, dtype, "r", offset, shape, order="F" if fortran else "C")
    except (ValueError, OSError, OverflowError) as error:
        raise DataError(f"cannot be mapped ({first_line(error)[:200]})", where=file, fix=_FIX) from error
    return as_features(values, where=file.name)


def _header(file: Path) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, whether columns come first, type of the values, and where they begin."""
    with file.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old Pythons' headers, and of odd Python inside of one
        start = stream.read(len(_MAGIC))
        if not start:
            raise DataError("is empty", where=file, fix=_FIX)
        if start.startswith(b"PK"):
            raise DataError("is an archive of arrays (.npz)", where=file, fix="save one array with numpy.save")
        if start != _MAGIC:
            raise DataError("is not a .npy file (text, a pickle or another format)", where=file, fix=_FIX)
        stream.seek(0)
        try:
            version = npy_format.read_magic(stream)
            if version not in _VERSIONS:
                raise ValueError(f"no version {version[0]}.{version[1]} of the format is known")
            read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
            shape, fortran, dtype = read(stream)  # of 3.0 the header differs in names of fields alone
        except Exception as error:  # numpy evaluates the header as Python, which may end in any error at all
            why = first_line(error)[:120]
            raise DataError(f"has a damaged header ({why})", where=file, fix=_FIX) from error
        offset = stream.tell()
    if dtype.hasobject:
        raise DataError("holds Python objects (a pickle), which are never loaded", where=file, fix=_FIX)
    if any(type(size) is not int or not 0 <= size < 2**62 for size in shape):
        raise DataError(f"has a damaged header (shape {str(shape)[:80]})", where=file, fix=_FIX)
    if dtype.kind not in "fiu":
        raise DataError(f"holds {dtype}, expected numbers", where=file, fix="save it as float16 or float32")
    return shape, bool(fortran), dtype, offset
