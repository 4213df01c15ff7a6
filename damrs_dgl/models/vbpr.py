"""VBPR (He, McAuley, "VBPR: visual Bayesian personalized ranking from implicit feedback", AAAI 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from damrs_dgl.models.base import Batch, Encoded, ModelConfig, ModelInputs
from damrs_dgl.models.bpr import BPRConfig, BPRModel
from damrs_dgl.models.core.ranges import AUTHORS, AUTHORS_TRAINING, LEARNING_RATES, Range, Space
from damrs_dgl.models.layers.content import Projection, raw_content, unit_content
from damrs_dgl.models.layers.rows import rows_of
from damrs_dgl.models.registry import register


class VBPRConfig(BPRConfig):
    """The keys of VBPR."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "original": {"model.regularization": 0.1},
        "authors": {
            "model.regularization": 1.0,
            "model.norm": "unsquared",
            "model.content_scale": "raw",
            **AUTHORS_TRAINING,
        },
    }

    content_scale: Literal["unit", "raw"] = Field(
        default="unit", description="Content rows of length 1 per modality, or as they are"
    )


@register
class VBPR(BPRModel):
    """An item is its ID vector beside a learned projection of its content; users have twice that width.

    The content of all modalities stands side by side, [I, D], and is not trained. The biases of the original are left
    out, as in the code that made DA-MRS's tables. O(|I| D d) a step.
    """

    name = "vbpr"
    Config: ClassVar[type[ModelConfig]] = VBPRConfig
    search_space: ClassVar[Space] = {
        **LEARNING_RATES,
        "model.regularization": Range(1e-4, 2.0, log=True),
        "model.content_scale": ("unit", "raw"),
    }
    grid: ClassVar[Space] = {**AUTHORS, "model.regularization": (2.0, 1.0, 0.1, 0.01, 0.0)}
    needs_content = True
    citation = "He, McAuley, VBPR: visual Bayesian personalized ranking from implicit feedback, AAAI 2016"
    features: Tensor

    def __init__(self, inputs: ModelInputs, config: VBPRConfig) -> None:
        super().__init__(inputs, config, user_dim=2 * config.dim)
        scale = unit_content if config.content_scale == "unit" else raw_content
        features = scale([inputs.content(modality) for modality in inputs.modalities])
        self.register_buffer("features", features, persistent=False)
        self.projection = Projection(inputs, features.shape[1], config.dim)

    def encode(self) -> Encoded:
        item_input = torch.cat([self.item_table, self.projection(self.features)], dim=1)
        return Encoded(self.user_table, item_input, self.user_table, item_input)

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        """Only the batch's items are projected, each once."""
        items, places = batch.pair_items.unique(return_inverse=True)
        content = self.projection.of_rows(self.features, items)
        item_input = torch.cat([rows_of(self.item_table, items), content], dim=1)
        positive, negative = places.chunk(2)
        among = replace(batch, positive_items=positive, negative_items=negative)
        return self.losses(among, Encoded(self.user_table, item_input, self.user_table, item_input))

    def tables(self) -> None:
        """None: half of a user's vector meets content, which no spectrum of interactions knows."""
