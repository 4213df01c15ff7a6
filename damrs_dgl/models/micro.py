"""MICRO (Zhang et al., "Latent structure mining with contrastive modality fusion", TKDE 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import embedding, normalize

from damrs_dgl.losses.contrast import symmetric_info_nce
from damrs_dgl.models.base import Batch, Encoded, ModelConfig, ModelInputs
from damrs_dgl.models.core.outputs import own_pass
from damrs_dgl.models.core.ranges import LEARNING_RATES, Range, Space
from damrs_dgl.models.layers.content import Projection
from damrs_dgl.models.layers.neighbors import Edges, merged
from damrs_dgl.models.layers.structure import LearnedStructure
from damrs_dgl.models.registry import register
from damrs_dgl.models.structure import StructureConfig, StructureModel


class MICROConfig(StructureConfig):
    """The keys of MICRO. The DA-MRS authors' code does not have it: what they ran is not known."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "original": {
            "model.regularization": 1e-5,
            "training.learning_rate": 5e-4,
            "training.learning_rate_decay": 0.96,
            "training.batch_size": 1024,
        },
    }

    preset: Literal["original"] = Field(default="original", description="Values of keys left out: its own paper's")
    contrast_weight: float = Field(default=0.03, ge=0, description="Weight of the contrast; usual 0.01 to 0.1")
    temperature: float = Field(default=0.5, gt=0, le=10, description="Temperature of the contrast")
    contrast_items: Literal["all", "batch"] = Field(
        default="all",
        description="Whom each step contrasts: all items, the square of their number, or those of the batch",
    )


class _ModalityGraphs(LearnedStructure):
    """A graph for each modality: (1 - w) norm S^m + w A^m."""

    def __init__(self, inputs: ModelInputs, config: MICROConfig) -> None:
        super().__init__(inputs, k=config.k, content_dim=config.content_dim, train_content=config.train_content)
        self.content_weight = config.content_weight

    def mix(self, content: Sequence[Edges], learned: Sequence[Edges]) -> list[Edges]:
        return [
            merged(
                [mined.normalized(self.num_items).scaled(1 - self.content_weight), given.scaled(self.content_weight)]
            )
            for given, mined in zip(content, learned, strict=True)
        ]


@dataclass(frozen=True)
class Views(Encoded):
    """A forward pass with the item vectors [I, d] of each modality's graph and their fusion."""

    modality_items: tuple[Tensor, ...]
    fused_items: Tensor


@register
class MICRO(StructureModel):
    """LATTICE with a graph for each modality and an attention that fuses their vectors; a contrast holds them together.

    h^m = (G^m)^n I with G^m = (1 - w) norm kNN(F^m W_m + b_m) + w A^m; b_i = softmax over m of q . tanh(W h^m_i + c);
    h = sum_m b^m h^m; users and items as LATTICE's, items += h / |h|. BPR, squares of what ranks, and
    `contrast_weight` sum_m nce2(h^m, h; temperature), whose candidates are h and the other anchors.

    The learned graphs are moved by an epoch's first step only. O(L E d + 2 M k |I| d) a step and M |I|^2 d for the
    contrast of all items, in blocks; O(M |I|^2 content_dim) an epoch; memory O(M |I| (D_m + k + d)).
    """

    name = "micro"
    Config: ClassVar[type[ModelConfig]] = MICROConfig
    search_space: ClassVar[Space] = {
        **LEARNING_RATES,
        "model.regularization": Range(1e-6, 1e-3, log=True),
        "model.contrast_weight": Range(1e-3, 0.3, log=True),
        "model.temperature": Range(0.1, 1.0),
        "model.k": (5, 10, 20),
    }
    config: MICROConfig
    citation = (
        "Zhang et al., Latent structure mining with contrastive modality fusion for multimedia recommendation, "
        "TKDE 2022"
    )

    def __init__(self, inputs: ModelInputs, config: MICROConfig) -> None:
        super().__init__(inputs, config)
        self.structure = _ModalityGraphs(inputs, config)
        self.attention = Projection(inputs, config.dim, config.dim)
        self.query = inputs.table(config.dim, 1)

    def encode(self) -> Views:
        users, items = self.propagate()
        views = [self.convolve(product) for product in self.structure.products()]
        logits = torch.cat([self.attention(view).tanh() @ self.query for view in views], dim=1)
        fused = torch.stack([view * share for view, share in zip(views, logits.softmax(1).split(1, 1), strict=True)])
        fused = fused.sum(0)
        items = items + normalize(fused, dim=1)
        return Views(users, items, self.user_table, self.item_table, tuple(views), fused)

    def auxiliary_losses(self, batch: Batch, encoded: Encoded) -> dict[str, Tensor]:
        if not self.config.contrast_weight:
            return {}
        own = own_pass(encoded, Views)
        views, fused = own.modality_items, own.fused_items
        if self.config.contrast_items == "batch":
            items = batch.distinct_items
            views, fused = tuple(embedding(items, view) for view in views), embedding(items, fused)
        terms = [symmetric_info_nce(view, fused, temperature=self.config.temperature) for view in views]
        return {"contrast": self.config.contrast_weight * torch.stack(terms).sum()}
