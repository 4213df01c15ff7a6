"""LATTICE (Zhang et al., "Mining latent structures for multimedia recommendation", MM 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from damrs_dgl.losses.bpr import norm_sum, squared_norm
from damrs_dgl.models.base import Batch, Encoded, ModelConfig, ModelInputs
from damrs_dgl.models.layers.neighbors import Edges, merged
from damrs_dgl.models.layers.propagation import BipartiteConvolution
from damrs_dgl.models.layers.structure import GraphProduct, LearnedStructure
from damrs_dgl.models.mf import BPRConfig, BPRModel
from damrs_dgl.models.ranges import AUTHORS, LEARNING_RATES, Range, Space
from damrs_dgl.models.registry import register


class StructureConfig(BPRConfig):
    """The keys of a system that adds vectors convolved over learned item-item graphs to those of the items."""

    norm: Literal["squared", "unsquared"] = Field(
        default="squared", description="Regulariser of what ranks: squares, or MMRec's unsquared norms"
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
        inputs.require_content(self.name)
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

    def _regularizer(self, batch: Batch, encoded: Encoded, users: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return (norm_sum if self.config.norm == "unsquared" else squared_norm)(users, positive, negative)


class LATTICEConfig(StructureConfig):
    """The keys of LATTICE."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "original": {
            "model.regularization": 1e-5,
            "training.learning_rate": 5e-4,
            "training.learning_rate_decay": 0.96,
            "training.batch_size": 1024,
        },
        "authors": {
            "model.regularization": 0.0,
            "model.normalize_learned": False,
            "training.learning_rate": 5e-4,
            "training.learning_rate_decay": 0.96,
            "training.batch_size": 256,
        },
    }

    normalize_learned: bool = Field(
        default=True,
        description="Normalise the learned graph; else its rows sum up to k and it outweighs the content's",
    )


class _ModalityMixture(LearnedStructure):
    """One graph: (1 - w) norm(sum_m a_m S^m) + w sum_m a_m A^m with learned shares a = softmax over the modalities."""

    def __init__(self, inputs: ModelInputs, config: LATTICEConfig) -> None:
        super().__init__(inputs, k=config.k, content_dim=config.content_dim, train_content=config.train_content)
        self.modality_logits = nn.Parameter(torch.zeros(len(inputs.modalities), device=inputs.device))
        self.content_weight, self.normalize_learned = config.content_weight, config.normalize_learned

    def mix(self, content: Sequence[Edges], learned: Sequence[Edges]) -> list[Edges]:
        shares = self.modality_logits.softmax(0)
        mined = merged([edges.scaled(share) for edges, share in zip(learned, shares, strict=True)])
        if self.normalize_learned:
            mined = mined.normalized(self.num_items)
        given = [edges.scaled(share * self.content_weight) for edges, share in zip(content, shares, strict=True)]
        return [merged([mined.scaled(1 - self.content_weight), *given])]


@register
class LATTICE(StructureModel):
    """An item-item graph mined from content, learned with the ranking; its convolution is added to the items.

    h = G^n I with G = (1 - w) r^-1/2 S r^-1/2 + w sum_m a_m A^m, S = sum_m a_m kNN(F^m W_m + b_m), r its row sums,
    A^m the normalised kNN(F^m), a = softmax of M learned numbers, w = `content_weight`. Users and items: the mean of
    layers 0..L of z_v = (x_v + sum_u x_u) / (d_v + 1) over the neighbours u; items += h / |h|. BPR and squares of what
    ranks.

    F^m, W_m, b_m and a are moved by an epoch's first step only: later ones take the graph as it was mined.
    O(L E d + 2 M k |I| d) a step, O(M |I|^2 content_dim) an epoch; memory O(M |I| (D_m + k)).
    """

    name = "lattice"
    Config: ClassVar[type[ModelConfig]] = LATTICEConfig
    search_space: ClassVar[Space] = {
        **LEARNING_RATES,
        "model.regularization": Range(1e-6, 1e-3, log=True),
        "model.k": (5, 10, 20),
        "model.content_weight": Range(0.5, 1.0),
    }
    grid: ClassVar[Space] = {
        **AUTHORS,
        "training.learning_rate": (1e-4, 5e-4, 1e-3, 5e-3),
        "training.batch_size": (256,),
    }
    citation = "Zhang et al., Mining latent structures for multimedia recommendation, MM 2021"

    def __init__(self, inputs: ModelInputs, config: LATTICEConfig) -> None:
        super().__init__(inputs, config)
        self.structure = _ModalityMixture(inputs, config)

    def encode(self) -> Encoded:
        users, items = self.propagate()
        (product,) = self.structure.products()
        return Encoded(users, items + normalize(self.convolve(product), dim=1), self.user_table, self.item_table)
