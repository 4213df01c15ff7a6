"""DA-MRS around any system that gives embeddings: item-item convolutions, fused with it (Section 3.2.3, Eq. 3)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from damrs_dgl.graphs.schema import item_relations
from damrs_dgl.losses.graded_sets import GradedSets, graded_item_sets
from damrs_dgl.models.base import Batch, ClickEvidence, Embeddings, Encoded, ModelConfig, ModelInputs
from damrs_dgl.models.core.outputs import own_pass
from damrs_dgl.models.core.ranges import LEARNING_RATES, Range, Space
from damrs_dgl.models.damrs.ablation import ABLATIONS
from damrs_dgl.models.damrs.config import DAMRSConfig
from damrs_dgl.models.damrs.evidence import click_evidence
from damrs_dgl.models.damrs.objective import alignment_terms, ranking_terms, relation_share
from damrs_dgl.models.damrs.variants import VARIANTS, Representations, mean_over_relations
from damrs_dgl.models.layers.propagation import make_relation
from damrs_dgl.models.registry import register
from damrs_dgl.models.wrapper import WrapperModel


@register
class DAMRS(WrapperModel):
    """A backbone whose items are joined with what their neighbours in each item-item relation say of them.

    The backbone gives users, h^id and the item vectors that the relations convolve (`Encoded.item_input`); its
    auxiliary losses are kept, its ranking loss and regulariser are replaced by DA-MRS's. O(backbone + R k |I| d) a
    step, and O((A_u + A_i R) |I| d) for the alignment of A anchors; a softmax over C candidates adds O(B C d) and holds
    a matrix [B, C].
    """

    name = "damrs"
    Config: ClassVar[type[ModelConfig]] = DAMRSConfig
    search_space: ClassVar[Space] = {
        **LEARNING_RATES,
        "model.preference_weight": Range(0.01, 10.0, log=True),
        "model.relation_weight": Range(1e-4, 1.0, log=True),
        "model.temperature": Range(0.05, 1.0, log=True),
        "model.relation_k": (5, 10, 20),
        "model.negatives": (1, 2, 4),
    }
    grid: ClassVar[Space] = {
        "model.variant": ("authors",),
        "training.batch_size": (4096,),
        "training.learning_rate": (1e-4, 1e-3, 1e-2),
        "model.preference_weight": (10.0, 1.0, 0.1, 0.01),
        "model.relation_weight": (1.0, 0.1, 0.01, 1e-3, 1e-4),
    }
    needs_item_relations = True
    ablations = ABLATIONS
    citation = (
        "Xv et al., Improving multi-modal recommender systems by denoising and aligning multi-modal content and user "
        "feedback, KDD 2024"
    )
    config: DAMRSConfig[Any]
    similar_sets: Tensor
    less_similar_sets: Tensor

    def __init__(self, inputs: ModelInputs, config: DAMRSConfig[Any]) -> None:
        super().__init__(inputs, config)
        names = item_relations(inputs.graph)
        self.variant = VARIANTS[config.variant]
        self.num_negatives = 1 if config.feedback == "softmax" else config.negatives
        self.relation_names = tuple(names)
        self.relations = nn.ModuleList(make_relation(inputs.graph, name, inputs.device) for name in names)
        self.num_items = inputs.num_items
        self.relation_share = relation_share(config.relation_damping, len(inputs.dataset.train), self.num_items)
        self.graded_sets: GradedSets | None = None
        if config.relation_weight and (config.refresh_epochs or 0) > 1:  # the sets outlive an epoch: buffers
            empty = torch.full((len(names), inputs.num_items, config.relation_k), -1, device=inputs.device)
            self.register_buffer("similar_sets", empty)
            self.register_buffer("less_similar_sets", empty.clone())
            self.graded_sets = GradedSets(self.similar_sets, self.less_similar_sets)

    def represent(self, encoded: Encoded | None = None) -> Representations:
        """One forward pass over all users and items, with every part that the losses look at.

        `encoded`: the backbone's part of it, by default made here.
        """
        encoded = encoded or self.backbone.encode()
        relation_items = {}
        for name, relation in zip(self.relation_names, self.relations, strict=True):
            hidden = encoded.item_input
            for _ in range(self.config.item_layers):
                hidden = relation(hidden)
            relation_items[name] = hidden
        neighbours = mean_over_relations(list(relation_items.values()))
        if self.relation_share < 1:
            neighbours = self.relation_share * neighbours
        items = self.variant.fuse(encoded.items, neighbours)
        return Representations(
            encoded.users, items, encoded.user_input, encoded.item_input, relation_items, backbone=encoded
        )

    def embeddings(self) -> Embeddings:
        vectors = self.represent()
        return Embeddings(vectors.users, vectors.items)

    def encode(self) -> Encoded:
        return self.represent()

    def encode_batch(self, batch: Batch) -> Representations:
        return self.represent(self.backbone.encode_batch(batch))

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        vectors = self.encode_batch(batch)
        terms = ranking_terms(self.config, self.variant, vectors, batch, self.relation_share)
        return terms | self.auxiliary_losses(batch, vectors)

    def auxiliary_losses(self, batch: Batch, encoded: Encoded) -> dict[str, Tensor]:
        """The alignments, and what the backbone keeps of its own."""
        encoded = own_pass(encoded, Representations)
        terms = alignment_terms(self.config, self.variant, encoded, batch, self.graded_sets, self.relation_share)
        return terms | self.backbone.auxiliary_losses(batch, encoded.backbone)

    def on_epoch_start(self, epoch: int, generator: torch.Generator) -> None:
        super().on_epoch_start(epoch, generator)
        every = self.config.refresh_epochs
        if self.config.relation_weight and every and (epoch - 1) % every == 0:
            with torch.no_grad():
                relations = list(self.represent().relation_items.values())
            found = graded_item_sets(relations, None, k=self.config.relation_k)
            if self.graded_sets is None or every == 1:
                self.graded_sets = found
            else:
                self.similar_sets.copy_(found.similar)
                self.less_similar_sets.copy_(found.less_similar)

    def sample_extra(
        self, users: Tensor, positive_items: Tensor, negative_items: Tensor | None, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """`items` [C]: the batch's distinct items; `anchor_users`, `anchor_items`: those that alignment looks at.

        `candidates` [C]: those that every click is ranked above, where the ranking loss is a softmax.
        `softmax_items` [S]: a uniform sample of the items outside the batch, which with `items` stands for the
        catalogue in the softmax of L_AU, in large catalogues only.
        """
        extra = super().sample_extra(users, positive_items, negative_items, generator)
        pairs = positive_items if negative_items is None else torch.cat([positive_items, negative_items])
        items = pairs.unique()
        extra["items"] = items
        extra["anchor_users"] = _sample(users.unique(), self.config.anchors, generator)
        extra["anchor_items"] = _sample(items, self.config.anchors, generator)
        if self.config.feedback == "softmax":
            extra["candidates"] = _sample(items, self.config.candidates, generator)
        size = self._softmax_sample
        if size is not None and len(items) + size < self.num_items:
            extra["softmax_items"] = _others(items, size, self.num_items, generator)
        return extra

    def click_evidence(self, users: Tensor, items: Tensor, negatives: Tensor) -> ClickEvidence:
        return click_evidence(self.config, self.variant, self.represent(), users, items, negatives)

    @property
    def _softmax_sample(self) -> int | None:
        """How many items outside a batch AU's softmax takes; None: all, as in small catalogues, or there is none."""
        config = self.config
        estimated = self.num_items > config.sampled_softmax_above and config.preference_weight > 0
        return config.softmax_sample if estimated and self.variant.softmax_preference else None


def _sample(distinct: Tensor, size: int | Literal["all"], generator: torch.Generator) -> Tensor:
    """So many of the distinct ids, or all where there are no more."""
    if size == "all" or len(distinct) <= size:
        return distinct
    return distinct[torch.randperm(len(distinct), generator=generator)[:size]]


def _others(items: Tensor, size: int, num_items: int, generator: torch.Generator) -> Tensor:
    """`size` uniform items that are not in `items`, distinct, ascending."""
    drawn = torch.randperm(num_items, generator=generator)[: size + len(items)]
    return drawn[torch.isin(drawn, items, invert=True)][:size].sort().values
