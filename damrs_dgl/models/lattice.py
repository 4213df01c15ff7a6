"""LATTICE (Zhang et al., "Mining latent structures for multimedia recommendation", MM 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import nn
from torch.nn.functional import normalize

from damrs_dgl.models.base import Encoded, ModelConfig, ModelInputs
from damrs_dgl.models.core.ranges import AUTHORS, LEARNING_RATES, Range, Space
from damrs_dgl.models.layers.neighbors import Edges, merged
from damrs_dgl.models.layers.structure import LearnedStructure
from damrs_dgl.models.registry import register
from damrs_dgl.models.structure import StructureConfig, StructureModel


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
