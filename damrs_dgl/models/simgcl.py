"""SimGCL (Yu et al., "Are graph augmentations necessary? Simple graph contrastive learning", SIGIR 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import embedding, normalize

from damrs_dgl.losses.bpr import norm_sum
from damrs_dgl.losses.contrast import info_nce
from damrs_dgl.models.base import Batch, Embeddings, Encoded, ModelInputs
from damrs_dgl.models.bpr import BPRConfig, BPRModel
from damrs_dgl.models.core.ranges import AUTHORS, AUTHORS_TRAINING, LEARNING_RATES, Range, Space
from damrs_dgl.models.layers.propagation import UserItemConvolution
from damrs_dgl.models.layers.views import mean_of_layers
from damrs_dgl.models.registry import register


class SimGCLConfig(BPRConfig):
    """The keys of SimGCL.

    The authors chose `contrast_weight` and `noise` 0.01, 0.1 on Baby; 0.01, 0.05 on Sports; 0.001, 0.05 on Clothing;
    0.001, 0.01 on TikTok.
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "original": {"model.regularization": 1e-4, "model.norm": "unsquared"},
        "authors": {
            "model.regularization": 0.0,
            "model.readout": "all",
            "model.contrasted_items": "pairs",
            "model.contrast_weight": 0.01,
            "training.learning_rate_decay": 0.96,
            **AUTHORS_TRAINING,
        },
    }

    num_layers: int = Field(default=2, ge=1, le=10, description="Layers of user-item propagation")
    noise: float = Field(default=0.1, ge=0, le=10, description="Length of the noise that each layer of a view adds")
    readout: Literal["propagated", "all"] = Field(
        default="propagated", description="What is averaged: layers 1 to L, or layer 0 too"
    )
    contrasted_items: Literal["positives", "pairs"] = Field(
        default="positives", description="The batch's items that are told apart: positives, or negatives too"
    )
    contrast_weight: float = Field(
        default=0.5, ge=0, description="Weight of the contrast of the views; usual 0.001 to 1"
    )
    temperature: float = Field(default=0.2, gt=0, description="Temperature of the cosines of the contrast")


@register
class SimGCL(BPRModel):
    """LightGCN, and two noisy passes over the same graph in which each node should look like itself.

    Each layer of a noisy pass adds noise * sign(x) * r / ||r||, r uniform in [0, 1) and drawn anew. L = BPR +
    contrast_weight * (NCE(users) + NCE(items)), over the batch's distinct nodes, + regularization * (||u_B|| + ||i_B||)
    / B (`norm = "unsquared"`, of what ranks; without the negatives) or ||layer 0||^2 / 2B ("squared").

    The noise and its sign are constants, so a noisy pass is the clean one plus a constant and has its gradient: the
    clean pass alone goes through autograd. O(3 L E d + B^2 d) forward, O(L E d) backward.
    """

    name = "simgcl"
    reads_content = False
    Config: ClassVar[type[SimGCLConfig]] = SimGCLConfig
    search_space: ClassVar[Space] = {
        **LEARNING_RATES,
        "model.contrast_weight": Range(1e-3, 1.0, log=True),
        "model.temperature": Range(0.1, 1.0),
        "model.noise": Range(0.01, 0.3),
        "model.num_layers": (1, 2, 3),
    }
    grid: ClassVar[Space] = {
        **AUTHORS,
        "model.contrast_weight": (1.0, 0.1, 0.01, 1e-3),
        "model.noise": (0.1, 0.05, 0.01),
    }
    citation = (
        "Yu et al., Are graph augmentations necessary? Simple graph contrastive learning for recommendation, SIGIR 2022"
    )
    config: SimGCLConfig

    def __init__(self, inputs: ModelInputs, config: SimGCLConfig) -> None:
        super().__init__(inputs, config)
        self.convolution = UserItemConvolution(inputs.graph, config.num_layers, inputs.device)
        self._with_input = config.readout == "all"

    def _step(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        return self.convolution.to_users(items), self.convolution.to_items(users)

    def encode(self) -> Encoded:
        steps = [self._step] * self.config.num_layers
        users, items = mean_of_layers(steps, self.user_table, self.item_table, with_input=self._with_input)
        return Encoded(users, items, self.user_table, self.item_table)

    def auxiliary_losses(self, batch: Batch, encoded: Encoded) -> dict[str, Tensor]:
        if not self.config.contrast_weight:
            return {}
        items = batch.distinct_positive_items if self.config.contrasted_items == "positives" else batch.distinct_items
        views = self.noisy_passes(batch.generator)
        return {
            "user_contrast": self._contrast(encoded.users, [view.users for view in views], batch.distinct_users),
            "item_contrast": self._contrast(encoded.items, [view.items for view in views], items),
        }

    @torch.no_grad()
    def noisy_passes(self, generator: torch.Generator) -> tuple[Embeddings, Embeddings]:
        """The readouts of two noisy passes, without a gradient."""
        first = self._step(self.user_table, self.item_table)  # before any noise: the same in both
        return self._noisy_pass(*first, generator), self._noisy_pass(*first, generator)

    def _noisy_pass(self, users: Tensor, items: Tensor, generator: torch.Generator) -> Embeddings:
        """The readout of one noisy pass, from layer 1 as it is without noise."""
        count = self.config.num_layers + self._with_input
        user_sum, item_sum = (
            table.clone() if self._with_input else torch.zeros_like(table)
            for table in (self.user_table, self.item_table)
        )
        for layer in range(self.config.num_layers):
            if layer > 0:
                users, items = self._step(users, items)
            users, items = self._perturbed(users, generator), self._perturbed(items, generator)
            user_sum += users
            item_sum += items
        return Embeddings(user_sum.div_(count), item_sum.div_(count))

    def _perturbed(self, x: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return torch.addcmul(x, normalize(noise, dim=1), x.sign(), value=self.config.noise)

    def _contrast(self, clean: Tensor, views: list[Tensor], nodes: Tensor) -> Tensor:
        """Weighted NCE among some distinct nodes, whose rows take the views' values and the clean pass's gradient."""
        rows = embedding(nodes, clean)
        anchors, candidates = (rows + (view[nodes] - rows.detach()) for view in views)
        return self.config.contrast_weight * info_nce(anchors, candidates, temperature=self.config.temperature)

    def regularizer(self, batch: Batch, encoded: Encoded, users: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        if self.config.norm == "unsquared":
            return norm_sum(users, positive)
        return super().regularizer(batch, encoded, users, positive, negative)
