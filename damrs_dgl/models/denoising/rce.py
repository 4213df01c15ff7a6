"""R-CE (Wang et al., "Denoising implicit feedback for recommendation", WSDM 2021): hard pairs weigh less."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor

from damrs_dgl.losses.denoised_cross_entropy import reweighted_cross_entropy
from damrs_dgl.models.base import Backbone, Batch, ModelConfig
from damrs_dgl.models.core.ranges import Range, Space
from damrs_dgl.models.denoising.wrapper import CrossEntropyConfig, CrossEntropyWrapper
from damrs_dgl.models.registry import register


class RCEConfig(CrossEntropyConfig[Backbone]):
    """The keys of R-CE."""

    beta: float = Field(default=0.2, ge=0, le=10, description="How strongly a pair of low confidence is weighed down")


@register
class RCE(CrossEntropyWrapper):
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
    config: RCEConfig[Any]

    def cross_entropy_loss(self, scores: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        return reweighted_cross_entropy(scores, labels, beta=self.config.beta)
