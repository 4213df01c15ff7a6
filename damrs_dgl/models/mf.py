"""MF-BPR (Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", UAI 2009)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from damrs_dgl.models.base import ModelConfig
from damrs_dgl.models.bpr import BPRModel, HardestNegativeConfig
from damrs_dgl.models.core.ranges import AUTHORS, AUTHORS_TRAINING, LEARNING_RATES, Range, Space
from damrs_dgl.models.registry import register


class MFConfig(HardestNegativeConfig):
    """The keys of MF."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "original": {"model.regularization": 0.1},
        "authors": {
            "model.dim": 128,
            "model.norm": "unsquared",
            "model.regularization": 0.1,
            **AUTHORS_TRAINING,
        },
    }


@register
class MF(BPRModel):
    """Matrix factorisation: the user and item tables themselves are the vectors that rank.

    O(B d) a step. Squared norms (`original`) or MMRec's unsquared ones at twice the width (`authors`).
    """

    name = "mf"
    reads_content = False
    Config: ClassVar[type[ModelConfig]] = MFConfig
    search_space: ClassVar[Space] = {
        **LEARNING_RATES,
        "model.regularization": Range(1e-5, 2.0, log=True),
        "model.dim": (64, 128, 256),
        "model.negatives": (1, 2, 4),
    }
    grid: ClassVar[Space] = {**AUTHORS, "model.regularization": (2.0, 1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)}
    citation = "Rendle et al., BPR: Bayesian personalized ranking from implicit feedback, UAI 2009"
