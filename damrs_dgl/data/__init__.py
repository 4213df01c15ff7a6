"""Data sets: reading them, splitting them, spoiling them on purpose, and making one up."""

from __future__ import annotations

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.formats import FORMATS, read_mmrec, read_mmssl, read_tables
from damrs_dgl.data.noise import add_feedback, corrupt, remove_feedback, swap_content
from damrs_dgl.data.parts import SPLITS, Finding, Interactions, ModalityFeatures
from damrs_dgl.data.synthetic import SyntheticShop, synthetic_shop

__all__ = [
    "FORMATS",
    "SPLITS",
    "Finding",
    "Interactions",
    "ModalityFeatures",
    "MultimodalDataset",
    "SyntheticShop",
    "add_feedback",
    "corrupt",
    "read_mmrec",
    "read_mmssl",
    "read_tables",
    "remove_feedback",
    "swap_content",
    "synthetic_shop",
]
