"""What the denoising frameworks share: a backbone that scores pairs, observed (1) and sampled (0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import embedding

from damrs_dgl.losses.bpr import norm_sum
from damrs_dgl.models.base import Backbone, Batch, Embeddings, Encoded, ModelConfig, WrapperConfig, pair_scores
from damrs_dgl.models.core.configs import PresetConfig
from damrs_dgl.models.core.ranges import AUTHORS_TRAINING
from damrs_dgl.models.wrapper import WrapperModel
from damrs_dgl.scoring import Scorer


class DenoisingConfig(WrapperConfig[Backbone]):
    """The keys of a denoising framework."""

    regularization: float = Field(
        default=0.0, ge=0, description="Weight of MMRec's unsquared norms of the batch's vectors"
    )


class CrossEntropyConfig(DenoisingConfig[Backbone], PresetConfig):
    """The keys of a framework whose loss is a cross-entropy of the scores, one for each pair.

    DA-MRS's authors' code takes the sigmoid twice.
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "original": {},
        "authors": {"model.squashed_scores": True, "model.regularization": 0.1, **AUTHORS_TRAINING},
    }

    squashed_scores: bool = Field(default=False, description="Take the sigmoid of the scores before the loss's own")


class DenoisingWrapper(WrapperModel):
    """Trains a backbone on the labels of pairs, and ranks as it does; the backbone's auxiliary losses are kept."""

    Config: ClassVar[type[ModelConfig]] = DenoisingConfig
    can_be_wrapped: ClassVar[bool] = False  # a wrapper brings a ranking loss of its own, and this one is nothing else
    config: DenoisingConfig[Any]

    def embeddings(self) -> Embeddings:
        return self.backbone.embeddings()

    def encode(self) -> Encoded:
        return self.backbone.encode()

    def scorer(self) -> Scorer:
        return self.backbone.scorer()

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


class CrossEntropyWrapper(DenoisingWrapper):
    """T-CE and R-CE: a cross-entropy that doubts pairs of large loss. A subclass gives `cross_entropy_loss`."""

    Config: ClassVar[type[ModelConfig]] = CrossEntropyConfig
    citation = "Wang et al., Denoising implicit feedback for recommendation, WSDM 2021"
    config: CrossEntropyConfig[Any]

    def label_loss(self, scores: Tensor, labels: Tensor, batch: Batch) -> dict[str, Tensor]:
        if self.config.squashed_scores:
            scores = torch.sigmoid(scores)
        return {"feedback": self.cross_entropy_loss(scores, labels, batch)}

    def cross_entropy_loss(self, scores: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """The loss, a scalar, of scores (squashed once where the keys say so) and labels, [2B] each."""
        raise TypeError(f"{type(self).__name__} has no loss")
