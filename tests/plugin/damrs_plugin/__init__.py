"""CosineMF: matrix factorisation by cosine, a system of another package (CONTRIBUTING.md explains it line by line)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cross_entropy, embedding, normalize

from damrs_dgl.models.base import Batch, Embeddings, ModelInputs, RankingModel, TableConfig
from damrs_dgl.models.registry import register


class CosineMFConfig(TableConfig):
    """The keys of CosineMF."""

    temperature: float = Field(default=0.2, gt=0, description="Temperature of the cosines; usual 0.05 to 0.5")


@register
class CosineMF(RankingModel):
    """Each clicked item is told from the batch's other items: mean of -ln softmax(cos(u, i) / temperature).

    O(B^2 d) a step.
    """

    name = "cosine_mf"
    Config = CosineMFConfig
    num_negatives = 0

    def __init__(self, inputs: ModelInputs, config: CosineMFConfig) -> None:
        super().__init__()
        self.config = config
        self.user_table = inputs.table(inputs.num_users, config.dim)
        self.item_table = inputs.table(inputs.num_items, config.dim)

    def embeddings(self) -> Embeddings:
        return Embeddings(normalize(self.user_table, dim=1), normalize(self.item_table, dim=1))

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        users, items = self.embeddings()
        cosines = embedding(batch.users, users) @ embedding(batch.positive_items, items).T
        own = torch.arange(len(cosines), device=cosines.device)
        return {"feedback": cross_entropy(cosines / self.config.temperature, own)}
