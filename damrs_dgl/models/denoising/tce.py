"""T-CE (Wang et al., "Denoising implicit feedback for recommendation", WSDM 2021): observed pairs of large loss go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from damrs_dgl.losses.denoised_cross_entropy import truncated_cross_entropy
from damrs_dgl.models.base import Backbone, Batch, ModelConfig, ModelInputs
from damrs_dgl.models.core.ranges import Range, Space
from damrs_dgl.models.denoising.wrapper import CrossEntropyConfig, CrossEntropyWrapper
from damrs_dgl.models.registry import register


class TCEConfig(CrossEntropyConfig[Backbone]):
    """The keys of T-CE."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        **CrossEntropyConfig.PRESETS,
        "authors": {**CrossEntropyConfig.PRESETS["authors"], "model.drop_rate": 0.0},  # their code never raises it
    }

    drop_rate: float = Field(
        default=0.2, ge=0, lt=0.5, description="Share of all pairs dropped in the end, so twice that of observed ones"
    )
    ramp_epochs: float = Field(default=10.0, gt=0, description="Epochs until the drop rate is reached, evenly")


@register
class TCE(CrossEntropyWrapper):
    """Truncated cross-entropy round any system that scores pairs.

    The share eps(t) = min(eps_max t / T, eps_max) of a step's 2B pairs, those observed ones with the largest loss, is
    left out. T is counted in epochs: the original's 30,000 steps of 1,024 pairs mean nothing at another size.
    The cost is the backbone's.
    """

    name = "tce"
    reads_content = False  # what it wraps may
    Config: ClassVar[type[ModelConfig]] = TCEConfig
    search_space: ClassVar[Space] = {
        "model.drop_rate": Range(0.0, 0.4),
        "model.ramp_epochs": Range(1.0, 50.0, log=True),
        "model.regularization": Range(1e-6, 0.1, log=True),
    }
    grid: ClassVar[Space] = {"model.drop_rate": (0.05, 0.1, 0.2, 0.3)}
    config: TCEConfig[Any]
    pairs_seen: Tensor

    def __init__(self, inputs: ModelInputs, config: TCEConfig[Any]) -> None:
        super().__init__(inputs, config)
        self._ramp_pairs = config.ramp_epochs * max(len(inputs.dataset.train), 1)
        self.register_buffer("pairs_seen", torch.zeros((), dtype=torch.int64))  # on the CPU: read at each step

    def cross_entropy_loss(self, scores: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        share = min(int(self.pairs_seen) / self._ramp_pairs, 1.0)
        self.pairs_seen += len(batch.users)
        return truncated_cross_entropy(scores, labels, drop_rate=share * self.config.drop_rate)
