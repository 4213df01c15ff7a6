"""MMRec's layout: NAME.inter, a TSV of userID, itemID and x_label, beside *_feat.npy whose rows are the item ids."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.formats.files import require_file
from damrs_dgl.data.formats.integer_ids import features_by_item, integer_dataset
from damrs_dgl.data.formats.keys import FORMAT, FolderKeys
from damrs_dgl.data.formats.text_table import TextTable
from damrs_dgl.data.modality_names import ModalityName
from damrs_dgl.errors import DataError
from damrs_dgl.settings import Name

COLUMNS = ("userID", "itemID", "x_label")


class MMRecData(FolderKeys):
    """MMRec's layout: NAME.inter with a split label per row, one .npy per modality whose row is the item's number."""

    format: Literal["mmrec"] = Field(default="mmrec", description=FORMAT)
    interactions: Name | None = Field(
        default=None, description="File of the interactions; else the folder's only .inter"
    )
    modalities: dict[ModalityName, Name] = Field(default_factory=dict, description="Modality name = feature file")

    def read(self) -> MultimodalDataset:
        return read_mmrec(self.folder(), **self.arguments())


def read_mmrec(
    path: str | Path,
    *,
    interactions: str | None = None,
    modalities: Mapping[str, str] | None = None,
    optional_modalities: bool = False,
) -> MultimodalDataset:
    """Read a folder in MMRec's layout.

    ``interactions`` names the .inter file (default: the only one); ``modalities``: {modality: .npy file}, which with
    ``optional_modalities`` may be absent. Ids are kept as they are, so items without interactions count too.
    Raises DataError for everything that does not fit.
    """
    folder, features, findings = features_by_item(path, modalities, optional_modalities)
    file = _interactions_file(folder, interactions)
    columns = _read_columns(file)
    users, items, labels = (columns[name] for name in COLUMNS)
    unknown = np.flatnonzero(labels > 2)
    if len(unknown):
        raise DataError(
            f"{len(unknown):,} values outside 0, 1, 2, the first {labels[unknown[0]]} in line {unknown[0] + 2:,}",
            where=f"{file}: x_label",
            fix="0 is train, 1 validation, 2 test",
        )
    return integer_dataset(
        file.stem, users, items, labels.astype(np.int8), features=features, findings=findings, where=file.name
    )


def _interactions_file(folder: Path, name: str | None) -> Path:
    if name is not None:
        return require_file(folder / name)
    found = sorted(folder.glob("*.inter"))
    if len(found) == 1:
        return require_file(found[0])
    if not found:
        raise DataError("no .inter file", where=folder, fix="name the file with interactions")
    names = ", ".join(file.name for file in found)
    raise DataError(f"{len(found)} .inter files ({names})", where=folder, fix="name one with interactions")


def _read_columns(file: Path) -> dict[str, np.ndarray]:
    """The three columns as int64 arrays of non-negative numbers."""
    source = TextTable(file, "\t", quotes=False)
    _check_header(source)
    if source.holds_hexadecimal:
        _explain_non_integers(source)
    try:
        table = source.read(list(COLUMNS), dict.fromkeys(COLUMNS, pa.int64()))
    except (pa.ArrowException, UnicodeDecodeError) as error:
        _explain_non_integers(source)
        raise source.unreadable(error, "TSV file") from error
    columns = {}
    for name in COLUMNS:
        column = table[name].combine_chunks()
        if column.null_count:
            _explain_non_integers(source)
        columns[name] = column.to_numpy(zero_copy_only=False)
        negative = np.flatnonzero(columns[name] < 0)
        if len(negative):
            first = negative[0]
            raise DataError(
                f"{len(negative):,} negative values, the first {columns[name][first]} in line {first + 2:,}",
                where=f"{file}: {name}",
                fix="number from 0",
            )
    return columns


def _check_header(source: TextTable) -> None:
    file, header = source.file, source.header()
    for name in COLUMNS:
        if header.count(name) > 1:
            raise DataError(f"column {name!r} is there {header.count(name)} times", where=file, fix="keep one")
        if name not in header:
            found = ", ".join(header)[:120] or "nothing"
            raise DataError(
                f"no column {name!r}; the first line has: {found}",
                where=file,
                fix=f"start with a tab-separated header {', '.join(COLUMNS)}",
            )


def _explain_non_integers(source: TextTable) -> None:
    """Read the columns as text and raise for the first that is not whole numbers; silent for a file without a table."""
    try:
        table = source.read(list(COLUMNS), dict.fromkeys(COLUMNS, pa.string()))
    except (pa.ArrowException, UnicodeDecodeError):
        return
    for name in COLUMNS:
        column = table[name].combine_chunks()
        good = pc.fill_null(pc.match_substring_regex(column, r"^-?[0-9]{1,18}$"), False)
        wrong = np.flatnonzero(~good.to_numpy(zero_copy_only=False))
        if len(wrong):
            first = int(wrong[0])
            found = repr(column[first].as_py())[:60]
            raise DataError(
                f"{len(wrong):,} values are not integers, the first {found} in line {first + 2:,}",
                where=f"{source.file}: {name}",
                fix='number from 0, or read the file with format = "tables"',
            )
