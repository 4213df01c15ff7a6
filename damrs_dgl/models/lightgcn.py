"""LightGCN (He et al., SIGIR 2020): "Simplifying and powering graph convolution network for recommendation"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from damrs_dgl.models.base import Encoded, ModelConfig, ModelInputs
from damrs_dgl.models.bpr import BPRModel, HardestNegativeConfig
from damrs_dgl.models.core.ranges import AUTHORS, AUTHORS_TRAINING, LEARNING_RATES, Range, Space
from damrs_dgl.models.layers.propagation import UserItemConvolution
from damrs_dgl.models.registry import register


class LightGCNConfig(HardestNegativeConfig):
    """The keys of LightGCN."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "original": {"model.regularization": 1e-4},
        "authors": {"model.regularization": 0.0, **AUTHORS_TRAINING},
    }

    num_layers: int = Field(default=2, ge=0, le=10, description="Layers of user-item propagation")


@register
class LightGCN(BPRModel):
    """Propagation alone: the mean of layers 0..L over the symmetrically normalised user-item graph, no weights.

    O(L E d) a step.
    """

    name = "lightgcn"
    reads_content = False
    Config: ClassVar[type[ModelConfig]] = LightGCNConfig
    search_space: ClassVar[Space] = {
        **LEARNING_RATES,
        "model.num_layers": (1, 2, 3, 4),
        "model.negatives": (1, 2, 4),
        "model.regularization": Range(1e-6, 0.01, log=True),
    }
    grid: ClassVar[Space] = {**AUTHORS, "model.num_layers": (1, 2, 3)}
    citation = "He et al., LightGCN: simplifying and powering graph convolution network for recommendation, SIGIR 2020"

    def __init__(self, inputs: ModelInputs, config: LightGCNConfig) -> None:
        super().__init__(inputs, config)
        self.convolution = UserItemConvolution(inputs.graph, config.num_layers, inputs.device)

    def encode(self) -> Encoded:
        users, items = self.convolution(self.user_table, self.item_table)
        return Encoded(users, items, self.user_table, self.item_table)
