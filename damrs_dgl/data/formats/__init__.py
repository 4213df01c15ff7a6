"""Readers, one per on-disk format, each from a folder to a MultimodalDataset; FORMATS finds them by name.

A new format is one file here, its line in FORMATS, and its section in recipe/data_section.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.formats.mmrec import read_mmrec
from damrs_dgl.data.formats.mmssl import read_mmssl
from damrs_dgl.data.formats.tables import read_tables

Reader = Callable[..., MultimodalDataset]

FORMATS: Mapping[str, Reader] = MappingProxyType({"mmrec": read_mmrec, "mmssl": read_mmssl, "tables": read_tables})
"""``data.format`` of a recipe -> its reader, called with the folder and the section's other keys by name."""

__all__ = ["FORMATS", "Reader", "read_mmrec", "read_mmssl", "read_tables"]
