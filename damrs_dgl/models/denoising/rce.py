"""R-CE (Wang et al., "Denoising implicit feedback for recommendation", WSDM 2021): hard pairs weigh less."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from damrs_dgl.losses.denoised_cross_entropy import reweighted_cross_entropy
from damrs_dgl.models.base import Backbone, Batch, ModelConfig
from damrs_dgl.models.core.ranges import Range, Space
from damrs_dgl.models.denoising.wrapper import CrossEntropyConfig, DenoisingWrapper
from damrs_dgl.models.registry import register


class RCEConfig(CrossEntropyConfig[Backbone]):
    """The keys of R-CE."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "original": {},
        "authors": {"model.squashed_scores": True, "model.regularization": 0.1},
    }

    preset: Literal["original", "authors"] = Field(
        default="original",
        description="Values of keys left out: the system's own paper, or DA-MRS's authors' code, which takes the "
        "sigmoid twice",
    )
    beta: float = Field(default=0.2, ge=0, le=10, description="How strongly a pair of low confidence is weighed down")


@register
class RCE(DenoisingWrapper):
    """Reweighted cross-entropy round any system that scores pairs.

    Each pair's loss is weighed by the probability that the model gives its label, to the power beta; the weight carries
    no gradient. The cost is the backbone's.
    """

    name = "rce"
    reads_content = False  # what it wraps may
    Config: ClassVar[type[ModelConfig]] = RCEConfig
    search_space: ClassVar[Space] = {
        "model.beta": Range(0.05, 2.0, log=True),
        "model.regularization": Range(1e-6, 0.1, log=True),
    }
    grid: ClassVar[Space] = {"model.beta": (0.05, 0.1, 0.15, 0.2, 0.25, 1.0)}
    citation = "Wang et al., Denoising implicit feedback for recommendation, WSDM 2021"
    config: RCEConfig[Any]

    def label_loss(self, scores: Tensor, labels: Tensor, batch: Batch) -> dict[str, Tensor]:
        if self.config.squashed_scores:
            scores = torch.sigmoid(scores)
        return {"feedback": reweighted_cross_entropy(scores, labels, beta=self.config.beta)}
