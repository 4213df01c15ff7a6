"""DeCA (Wang et al., "Learning robust recommenders through cross-model agreement", WWW 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import embedding

from damrs_dgl.losses.denoised_cross_entropy import (
    bernoulli_divergence,
    cross_entropy,
    dislike_likelihood,
    like_likelihood,
)
from damrs_dgl.models.base import Backbone, Batch, ModelConfig, ModelInputs, pair_scores
from damrs_dgl.models.core.optimizers import Adam
from damrs_dgl.models.core.ranges import Range, Space
from damrs_dgl.models.denoising.wrapper import DenoisingConfig, DenoisingWrapper
from damrs_dgl.models.registry import register

HELPER_RATE = 1e-3  # learning rate of the helpers' own Adams, as in the original
_HELPER_SPREAD = 0.01


class DeCAConfig(DenoisingConfig[Backbone]):
    """The keys of DeCA."""

    agreement: Literal["learned", "pretrained"] = Field(
        default="learned",
        description="What the system is to agree with: a helper that learns beside it (DeCA), or itself as it was "
        "after pretrain_epochs (DeCA(p))",
    )
    pretrain_epochs: int = Field(default=10, ge=1, description="Epochs of plain cross-entropy first; pretrained only")
    helper_dim: int = Field(default=32, ge=1, le=4096, description="Width of the helpers, which are factorisations")
    positive_penalty: float = Field(default=1000.0, ge=0, description="C1: cost of liking a pair that was not observed")
    negative_penalty: float = Field(default=10.0, ge=0, description="C2: cost of disliking a pair that was observed")
    balance: float = Field(
        default=0.5, ge=0, le=1, description="alpha: share of KL(q || p), the rest is KL(p || q); usual 0, 0.5, 1"
    )
    weight_decay: float = Field(
        default=0.0, ge=0, description="lambda: weight of the system's squared parameters over 2 |U|"
    )

    def first_judged_epoch(self) -> int:
        return self.pretrain_epochs + 1 if self.agreement == "pretrained" else 1


class Factorisation(nn.Module):
    """A helper: user and item tables whose dot product is a raw score."""

    def __init__(self, inputs: ModelInputs, dim: int) -> None:
        super().__init__()
        self.user_table = self._table(inputs, inputs.num_users, dim)
        self.item_table = self._table(inputs, inputs.num_items, dim)

    @staticmethod
    def _table(inputs: ModelInputs, rows: int, dim: int) -> nn.Parameter:
        drawn = torch.randn(rows, dim, generator=inputs.generator) * _HELPER_SPREAD
        return nn.Parameter(drawn.to(inputs.device))

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Raw scores of pairs: int64 [n], [n] -> [n]."""
        return pair_scores(embedding(users, self.user_table), embedding(items, self.item_table))


@register
class DeCA(DenoisingWrapper):
    """Models agree on clean pairs and disagree on noise: cross-model agreement round any system that scores pairs.

    p = sigmoid(score) of the system; q: a helper's, with which p is to agree (KL in both directions); phi1, phi2:
    helpers that say how likely a pair is observed though disliked, and though liked. Steps denoise observed pairs
    (DP, phi1 learns) and others (DN, phi2 learns) in turn, DP first; p and q learn in each.
    loss = mean over observed, plus mean over sampled pairs, of KL + likelihood; a step costs the backbone's and that
    of two factorisations of width `helper_dim`.
    """

    name = "deca"
    reads_content = False  # what it wraps may
    Config: ClassVar[type[ModelConfig]] = DeCAConfig
    search_space: ClassVar[Space] = {
        "model.positive_penalty": Range(1.0, 1e4, log=True),
        "model.negative_penalty": Range(1.0, 1e4, log=True),
        "model.balance": Range(0.0, 1.0),
        "model.regularization": Range(1e-6, 0.1, log=True),
    }
    grid: ClassVar[Space] = {
        "model.positive_penalty": (1.0, 10.0, 100.0, 1000.0),
        "model.negative_penalty": (1.0, 10.0, 100.0, 1000.0),
    }
    citation = "Wang et al., Learning robust recommenders through cross-model agreement, WWW 2022"
    config: DeCAConfig[Any]
    steps: Tensor
    agreed_users: Tensor
    agreed_items: Tensor
    pretrained: Tensor

    def __init__(self, inputs: ModelInputs, config: DeCAConfig[Any]) -> None:
        super().__init__(inputs, config)
        self._num_users = inputs.num_users
        self.dislike = Factorisation(inputs, config.helper_dim)
        self.like = Factorisation(inputs, config.helper_dim)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        if config.agreement == "learned":
            self.agreement = Factorisation(inputs, config.helper_dim)
        else:
            users, items = self.backbone.embeddings()
            self.register_buffer("agreed_users", torch.zeros_like(users.detach()))
            self.register_buffer("agreed_items", torch.zeros_like(items.detach()))
            self.register_buffer("pretrained", torch.zeros((), dtype=torch.bool))

    def on_epoch_start(self, epoch: int, generator: torch.Generator) -> None:
        super().on_epoch_start(epoch, generator)
        if self.config.agreement == "pretrained" and epoch == self.config.pretrain_epochs + 1:
            with torch.no_grad():
                users, items = self.backbone.embeddings()
                self.agreed_users.copy_(users)
                self.agreed_items.copy_(items)
            self.pretrained.fill_(True)

    def configure_optimizers(self, learning_rate: float) -> dict[str, Adam]:
        helpers = {"dislike": self.dislike, "like": self.like}
        if self.config.agreement == "learned":
            helpers["agreement"] = self.agreement
        optimizers = {name: Adam(helper.parameters(), lr=HELPER_RATE) for name, helper in helpers.items()}
        return {"model": Adam(self.backbone.parameters(), lr=learning_rate), **optimizers}

    def optimize(self, batch: Batch, optimizers: Mapping[str, Adam]) -> dict[str, Tensor]:
        terms = super().optimize(batch, optimizers)
        if not self._pretraining():  # whose steps are of neither kind
            self.steps += 1
        return terms

    def label_loss(self, scores: Tensor, labels: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The divergence from the model that is agreed with, and the likelihood of the labels under noise.

        scores, labels [2B]: of the observed pairs, then of the sampled ones. During pretraining, plain cross-entropy.
        After it, steps alternate: observed pairs may be false positives, then sampled pairs may be false negatives.
        """
        users, items = batch.users.repeat(2), batch.pair_items
        if self._pretraining():
            plain = {"agreement": scores.new_zeros(()), "likelihood": _two_means(cross_entropy(scores, labels))}
            return plain | self._weight_decay()
        agreed = self._agreed(users, items)
        away = self.config.balance * bernoulli_divergence(agreed, scores)
        divergence = away + (1 - self.config.balance) * bernoulli_divergence(scores, agreed)
        if int(self.steps) % 2 == 0:
            likelihood = dislike_likelihood(
                scores, labels, self.dislike(users, items), penalty=self.config.positive_penalty
            )
        else:
            likelihood = like_likelihood(scores, labels, self.like(users, items), penalty=self.config.negative_penalty)
        return {"agreement": _two_means(divergence), "likelihood": _two_means(likelihood)} | self._weight_decay()

    def _pretraining(self) -> bool:
        return self.config.agreement == "pretrained" and not bool(self.pretrained)

    def _weight_decay(self) -> dict[str, Tensor]:
        if not self.config.weight_decay:
            return {}
        squares = torch.stack([table.square().sum() for table in self.backbone.parameters()]).sum()
        return {"weight_decay": self.config.weight_decay / (2 * self._num_users) * squares}

    def _agreed(self, users: Tensor, items: Tensor) -> Tensor:
        if self.config.agreement == "learned":
            return self.agreement(users, items)
        return pair_scores(self.agreed_users[users], self.agreed_items[items])


def _two_means(values: Tensor) -> Tensor:
    """Mean over the observed pairs plus mean over the sampled ones, values [2B]."""
    observed, sampled = values.chunk(2)
    return observed.mean() + sampled.mean()
