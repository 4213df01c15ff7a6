"""A system in a package of its own: matrix factorisation with a bias for each item."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from damrs_dgl.models.base import Batch, Embeddings, ModelConfig, ModelInputs, RankingModel, TableConfig, pair_scores


class BiasedMFConfig(TableConfig):
    """The keys of biased MF."""

    decay: float = Field(default=1e-3, ge=0, description="Weight of the squared norms")


class BiasedMF(RankingModel):
    """s_ui = u . i + b_i, trained by BPR."""

    name = "biased_mf"
    Config: ClassVar[type[ModelConfig]] = BiasedMFConfig

    def __init__(self, inputs: ModelInputs, config: BiasedMFConfig) -> None:
        super().__init__()
        self.config = config
        self.users, self.items = inputs.table(inputs.num_users, config.dim), inputs.table(inputs.num_items, config.dim)
        self.bias = inputs.zeros(inputs.num_items, 1)

    def embeddings(self) -> Embeddings:
        ones = self.users.new_ones(len(self.users), 1)
        return Embeddings(torch.cat([self.users, ones], 1), torch.cat([self.items, self.bias], 1))

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        users, items = self.embeddings()
        u, (positive, negative) = users[batch.users], items[batch.pair_items].chunk(2)
        held = self.config.decay * sum(rows.square().sum() for rows in (u, positive, negative)) / len(u)
        return {"feedback": softplus(pair_scores(u, negative - positive)).mean(), "regularization": held}
