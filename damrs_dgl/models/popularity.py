"""Ranking by popularity: the floor that every system has to clear."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from damrs_dgl.models.base import ClosedFormModel, Embeddings, ModelConfig, ModelInputs
from damrs_dgl.models.registry import register
from damrs_dgl.progress import OnProgress, silent


class PopularityConfig(ModelConfig):
    """The keys of popularity: none."""


@register
class Popularity(ClosedFormModel):
    """s_ui = d_i, the number of training interactions of the item, the same for all users. O(E), [I] numbers."""

    name = "popularity"
    reads_content = False
    is_floor = True
    Config: ClassVar[type[ModelConfig]] = PopularityConfig
    item_degrees: Tensor

    def __init__(self, inputs: ModelInputs, config: PopularityConfig) -> None:
        super().__init__()
        self.inputs = inputs
        self.config = config

    def fit_closed_form(self, progress: OnProgress = silent) -> None:
        counts = torch.bincount(self.inputs.dataset.train.items, minlength=self.inputs.num_items)
        self.register_buffer("item_degrees", counts.float().to(self.inputs.device))
        progress(1, 1, self.name)

    def embeddings(self) -> Embeddings:
        device = self.inputs.device  # what was loaded from a checkpoint is on the CPU
        users = torch.ones(self.inputs.num_users, 1, device=device)
        return Embeddings(users, self.item_degrees[:, None].to(device))
