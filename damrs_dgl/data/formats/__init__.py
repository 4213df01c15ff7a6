"""How data sets are stored: a file per format, with its keys in [data] and its reader; FORMATS finds them by name.

A new format is one file here, its class in `DataFormat` and its name in the description `keys.FORMAT`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from damrs_dgl.data.formats.keys import DataKeys
from damrs_dgl.data.formats.mmrec import MMRecData, read_mmrec
from damrs_dgl.data.formats.mmssl import MMSSLData, read_mmssl
from damrs_dgl.data.formats.synthetic import SyntheticData
from damrs_dgl.data.formats.tables import TablesData, read_tables

DataFormat = MMRecData | MMSSLData | TablesData | SyntheticData
FORMATS: Mapping[str, type[DataKeys]] = MappingProxyType(
    {kind.model_fields["format"].default: kind for kind in get_args(DataFormat)}
)
"""``data.format`` of a recipe -> its keys, whose ``read`` gives the data set."""

__all__ = [
    "FORMATS",
    "DataFormat",
    "DataKeys",
    "MMRecData",
    "MMSSLData",
    "SyntheticData",
    "TablesData",
    "read_mmrec",
    "read_mmssl",
    "read_tables",
]
