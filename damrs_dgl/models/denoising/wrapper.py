"""What the denoising frameworks share: a backbone that scores pairs, observed (1) and sampled (0)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import embedding

from damrs_dgl.losses.bpr import norm_sum
from damrs_dgl.models.base import (
    Backbone,
    Batch,
    ClickEvidence,
    Embeddings,
    Encoded,
    ModelConfig,
    ModelInputs,
    RankingModel,
    WrapperConfig,
    pair_scores,
)
from damrs_dgl.models.registry import find_model
from damrs_dgl.scoring import Scorer


class DenoisingConfig(WrapperConfig[Backbone]):
    """The keys of a denoising framework."""

    regularization: float = Field(
        default=0.0, ge=0, description="Weight of MMRec's unsquared norms of the batch's vectors"
    )


class CrossEntropyConfig(DenoisingConfig[Backbone]):
    """The keys of a framework whose loss is a cross-entropy of the scores, one for each pair."""

    squashed_scores: bool = Field(default=False, description="Take the sigmoid of the scores before the loss's own")


class DenoisingWrapper(RankingModel):
    """Trains a backbone on the labels of pairs, and ranks as it does; the backbone's auxiliary losses are kept."""

    Config: ClassVar[type[ModelConfig]] = DenoisingConfig
    can_be_wrapped: ClassVar[bool] = False  # a wrapper brings a ranking loss of its own, and this one is nothing else

    def __init__(self, inputs: ModelInputs, config: DenoisingConfig[Any]) -> None:
        super().__init__()
        self.config = config
        self.backbone = find_model(config.backbone.name)(inputs, config.backbone)

    def embeddings(self) -> Embeddings:
        return self.backbone.embeddings()

    def encode(self) -> Encoded:
        return self.backbone.encode()

    def scorer(self) -> Scorer:
        return self.backbone.scorer()

    def tables(self) -> tuple[nn.Parameter, nn.Parameter] | None:
        return self.backbone.tables()

    def on_epoch_start(self, epoch: int, generator: torch.Generator) -> None:
        self.backbone.on_epoch_start(epoch, generator)

    def sample_extra(
        self, users: Tensor, positive_items: Tensor, negative_items: Tensor | None, generator: torch.Generator
    ) -> dict[str, Tensor]:
        return self.backbone.sample_extra(users, positive_items, negative_items, generator)

    def click_evidence(self, users: Tensor, items: Tensor, negatives: Tensor) -> ClickEvidence | None:
        found: ClickEvidence | None = self.backbone.click_evidence(users, items, negatives)
        return found

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        encoded = self.backbone.encode_batch(batch)
        users = embedding(batch.users, encoded.users)
        items = embedding(batch.pair_items, encoded.items)
        scores = pair_scores(users.repeat(2, 1), items)
        labels = torch.ones_like(scores)
        labels[len(users) :] = 0
        terms = self.label_loss(scores, labels, batch) | self.backbone.auxiliary_losses(batch, encoded)
        if self.config.regularization:
            terms["regularization"] = self.config.regularization * norm_sum(users, *items.chunk(2))
        return terms

    def label_loss(self, scores: Tensor, labels: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The terms of raw scores and labels, [2B] each: the batch's observed and then its sampled pairs."""
        raise TypeError(f"{type(self).__name__} has no loss")
