"""What a system that is wrapped round another shares with every other such: it holds that backbone, and hands on to it.

The keys of one are a `WrapperConfig` (`core/configs.py`). Beside `base.py`, for it looks the backbone up by its name.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from damrs_dgl.models.base import ClickEvidence, ModelConfig, ModelInputs, RankingModel, WrapperConfig
from damrs_dgl.models.registry import find_model


class WrapperModel(RankingModel):
    """A system round another, its `backbone`, which is trained as a part of it.

    Handed on: the tables of a spectral start, the start of an epoch, the material of a batch, what is thought of
    clicks; a subclass that adds to one calls `super()`. A wrapper's own are its loss (`training_step`, in which it
    calls the backbone's `encode_batch` and keeps its `auxiliary_losses`) and what it ranks by (`embeddings`).
    """

    Config: ClassVar[type[ModelConfig]] = WrapperConfig
    backbone: RankingModel

    def __init__(self, inputs: ModelInputs, config: WrapperConfig[Any]) -> None:
        super().__init__()
        self.config = config
        self.backbone = find_model(config.backbone.name)(inputs, config.backbone)

    def tables(self) -> tuple[nn.Parameter, nn.Parameter] | None:
        return self.backbone.tables()

    def on_epoch_start(self, epoch: int, generator: torch.Generator) -> None:
        self.backbone.on_epoch_start(epoch, generator)

    def sample_extra(
        self, users: Tensor, positive_items: Tensor, negative_items: Tensor | None, generator: torch.Generator
    ) -> dict[str, Tensor]:
        return self.backbone.sample_extra(users, positive_items, negative_items, generator)

    def click_evidence(self, users: Tensor, items: Tensor, negatives: Tensor) -> ClickEvidence | None:
        return self.backbone.click_evidence(users, items, negatives)
