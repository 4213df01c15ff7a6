"""What LATTICE and MICRO have in common: item-item graphs mined from content, over a plain user-item propagation."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from damrs_dgl.losses.bpr import norm_sum, squared_norm
from damrs_dgl.models.base import Batch, Encoded, ModelInputs
from damrs_dgl.models.bpr import BPRConfig, BPRModel
from damrs_dgl.models.layers.propagation import BipartiteConvolution
from damrs_dgl.models.layers.structure import GraphProduct, LearnedStructure


class StructureConfig(BPRConfig):
    """The keys of a system that adds vectors convolved over learned item-item graphs to those of the items."""

    norm: Literal["squared", "unsquared"] = Field(
        default="squared", description="Regulariser of what ranks: squares, or MMRec's unsquared norms"
    )
    regularization: float = Field(
        default=1e-4, ge=0, description="Weight of the regulariser of what ranks; usual 0 to 1"
    )
    num_layers: int = Field(default=2, ge=0, le=10, description="Layers of user-item propagation")
    structure_layers: int = Field(default=1, ge=1, le=10, description="Layers of item-item propagation")
    k: int = Field(default=10, ge=1, le=1000, description="Neighbours per item in each graph, itself among them")
    content_dim: int = Field(default=64, ge=1, le=4096, description="Width of the projected content that is compared")
    content_weight: float = Field(
        default=0.9, ge=0, le=1, description="Share of the graphs of the content itself; the rest is the learned ones'"
    )
    train_content: bool = Field(default=True, description="Train the content vectors themselves too, not only W and b")


class StructureModel(BPRModel):
    """Vectors convolved over item-item graphs, at length 1, on top of a user-item propagation without weights."""

    config: StructureConfig
    needs_content = True
    structure: LearnedStructure

    def __init__(self, inputs: ModelInputs, config: StructureConfig) -> None:
        super().__init__(inputs, config)
        self.convolution = BipartiteConvolution(inputs.graph, inputs.device, normalization="mean_with_self")

    def on_epoch_start(self, epoch: int, generator: torch.Generator) -> None:
        self.structure.begin_epoch()

    def propagate(self) -> tuple[Tensor, Tensor]:
        """The mean of layers 0..num_layers of users [U, d] and items [I, d] over the interactions."""
        users: Tensor = self.user_table
        items: Tensor = self.item_table
        user_sum, item_sum = users, items
        for _ in range(self.config.num_layers):
            users, items = self.convolution(users, items)
            user_sum, item_sum = user_sum + users, item_sum + items
        return user_sum / (self.config.num_layers + 1), item_sum / (self.config.num_layers + 1)

    def convolve(self, product: GraphProduct) -> Tensor:
        """The item table after `structure_layers` products with an item-item graph, [I, d]."""
        items: Tensor = self.item_table
        for _ in range(self.config.structure_layers):
            items = product(items)
        return items

    def regularizer(self, batch: Batch, encoded: Encoded, users: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return (norm_sum if self.config.norm == "unsquared" else squared_norm)(users, positive, negative)
