"""The training objective of a model: its loss terms, each named, and their weighted sum (paper, Eq. 12).

What the two variants do differently (the equations as printed; the authors' code) is a `Variant`: a handful of small
named functions and values, chosen once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding, normalize

from damrs_dgl.losses.bpr import bpr, norm_sum, squared_norm
from damrs_dgl.losses.denoised_bpr import (
    contradiction,
    contradiction_by_gap,
    denoised_bpr,
    mean_negative_preference,
    mean_relation_negative_preference,
    reliability,
    weighted_bpr,
)
from damrs_dgl.losses.graded_sets import GradedSets, graded_item_sets
from damrs_dgl.losses.item_relations import item_relation_alignment
from damrs_dgl.losses.user_preference import (
    bernoulli_preference_alignment,
    preference_alignment,
    sampled_preference_alignment,
)
from damrs_dgl.models.damrs import mean_over_relations
from damrs_dgl.models.representations import RankingModel, Representations
from damrs_dgl.training.sampling import Batch

AUTHORS_LOG_EPSILON = 1e-9  # inside the logarithms of the authors' item-relation loss


@dataclass(frozen=True)
class Variant:
    """What differs between the equations as printed and the authors' code, apart from default values.

    normalized_relations: whether y^m_ui uses L2-normalised h^m.
    negative_preference: y_n from (fused negative scores [B], relation scores of the negatives [R, B]).
    contradiction: g of Eq. 7.   unbiased_variance: in f of Eq. 6.   feedback: the loss that f and g enter, Eq. 8.
    preference: L_AU from the representations and a batch.   all_candidates: whether the dissimilar items of L_AI are
    all items rather than the batch's.   log_epsilon: added inside the logarithms of L_AI.
    regularize_inputs: hold the batch's vectors before propagation small (`squared_norm`) rather than the fused ones
    (`norm_sum`).
    """

    normalized_relations: bool
    negative_preference: Callable[[Tensor, Tensor], Tensor]
    contradiction: Callable[..., Tensor]
    unbiased_variance: bool
    feedback: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    preference: Callable[[Representations, Batch], Tensor]
    all_candidates: bool
    log_epsilon: float
    regularize_inputs: bool


def _preference_over_all_items(vectors: Representations, batch: Batch) -> Tensor:
    """Eq. 9-10: softmax over all items, or its estimate where the batch brings a sample of them."""
    users = embedding(batch.anchor_users, vectors.users)
    if batch.softmax_items is None:
        content = mean_over_relations(list(vectors.relation_items.values()))
        return preference_alignment(users, content, vectors.id_items)
    chosen = torch.cat([batch.items, batch.softmax_items])
    num_others = len(vectors.id_items) - len(batch.items)
    log_weights = users.new_zeros(len(chosen))
    log_weights[len(batch.items) :] = math.log(num_others / len(batch.softmax_items))
    content = mean_over_relations([embedding(chosen, items) for items in vectors.relation_items.values()])
    return sampled_preference_alignment(users, content, embedding(chosen, vectors.id_items), log_weights)


def _preference_over_batch_items(vectors: Representations, batch: Batch) -> Tensor:
    """The authors' form: a Bernoulli divergence per pair, over the batch's distinct items, item rows normalised."""
    content = mean_over_relations([embedding(batch.items, items) for items in vectors.relation_items.values()])
    id_items = embedding(batch.items, vectors.id_items)
    users = embedding(batch.anchor_users, vectors.users)
    return bernoulli_preference_alignment(users, normalize(content, dim=-1), normalize(id_items, dim=-1))


PAPER = Variant(
    normalized_relations=False,
    negative_preference=lambda fused, relations: mean_negative_preference(fused),
    contradiction=contradiction,
    unbiased_variance=False,
    feedback=denoised_bpr,
    preference=_preference_over_all_items,
    all_candidates=False,
    log_epsilon=0.0,
    regularize_inputs=True,
)
AUTHORS = Variant(
    normalized_relations=True,
    negative_preference=lambda fused, relations: mean_relation_negative_preference(relations),
    contradiction=contradiction_by_gap,
    unbiased_variance=True,
    feedback=weighted_bpr,
    preference=_preference_over_batch_items,
    all_candidates=True,
    log_epsilon=AUTHORS_LOG_EPSILON,
    regularize_inputs=False,
)
VARIANTS = {"paper": PAPER, "authors": AUTHORS}


def pair_scores(users: Tensor, items: Tensor) -> Tensor:
    """Row-wise dot products. Shapes: [B, d], [B, d] -> [B]."""
    return (users * items).sum(-1)


def _pair_items(batch: Batch) -> Tensor:
    """The positive and then the negative items, [2B]: one gather, and one scatter of gradients, for both."""
    return torch.cat([batch.positive_items, batch.negative_items])


class Objective:
    """The loss of one batch, term by term.

    Parameters
    ----------
    model: see `RankingModel`.
    variant: see `Variant`.
    denoise: D-BPR (Eq. 8) instead of BPR; its f and g can be fixed apart by `use_reliability`, `use_contradiction`.
    alpha, beta, gamma: the exponents of Eq. 6 and 7.
    preference_weight: lambda1 of Eq. 12, 0 leaves L_AU out.  relation_weight: lambda2, 0 leaves L_AI out.
    relation_strategy, relation_k, temperature: which item relations, how many items per grade, tau of Eq. 11.
    regularization: lambda_Theta of Eq. 5.
    refresh_every: epochs between two computations of the graded item sets, None to compute them at each step.
    """

    def __init__(
        self,
        model: RankingModel,
        variant: Variant,
        *,
        denoise: bool = False,
        use_reliability: bool = True,
        use_contradiction: bool = True,
        alpha: float = 1.5,
        beta: float = 1.5,
        gamma: float = 1.0,
        preference_weight: float = 0.0,
        relation_weight: float = 0.0,
        relation_strategy: str = "AI",
        relation_k: int = 10,
        temperature: float = 0.2,
        regularization: float = 0.0,
        refresh_every: int | None = 1,
    ) -> None:
        self.model = model
        self.variant = variant
        self.denoise = denoise
        self.use_reliability = use_reliability
        self.use_contradiction = use_contradiction
        self.alpha, self.beta, self.gamma = alpha, beta, gamma
        self.preference_weight = preference_weight
        self.relation_weight = relation_weight
        self.relation_strategy = relation_strategy
        self.relation_k = relation_k
        self.temperature = temperature
        self.regularization = regularization
        self.refresh_every = refresh_every
        self.graded_sets: GradedSets | None = None

    def start_epoch(self, epoch: int) -> None:
        """Compute the graded item sets of all items anew, if this epoch (from 0) is due for it."""
        if self.due(epoch):
            with torch.no_grad():
                relations = list(self.model().relation_items.values())
            self.graded_sets = graded_item_sets(relations, None, k=self.relation_k)

    def due(self, epoch: int) -> bool:
        """Whether this epoch (from 0) begins with new graded item sets, so that it needs none of the epoch before."""
        return bool(self.relation_weight and self.refresh_every) and epoch % (self.refresh_every or 1) == 0

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """The loss terms of a batch, already multiplied by their weights; their sum is the loss to minimise."""
        vectors = self.model()
        users = embedding(batch.users, vectors.users)
        positive, negative = embedding(_pair_items(batch), vectors.items).chunk(2)
        terms = {"feedback": self._feedback(vectors, batch, users, positive, negative)}
        if self.preference_weight:
            terms["preference"] = self.preference_weight * self.variant.preference(vectors, batch)
        if self.relation_weight:
            terms["relations"] = self.relation_weight * self._item_relations(vectors, batch)
        if self.regularization:
            terms["regularization"] = self.regularization * self._regularizer(
                vectors, batch, [users, positive, negative]
            )
        return terms

    def _feedback(
        self, vectors: Representations, batch: Batch, users: Tensor, positive: Tensor, negative: Tensor
    ) -> Tensor:
        """BPR or D-BPR of the batch's triples."""
        positive_scores, negative_scores = pair_scores(users, positive), pair_scores(users, negative)
        if not self.denoise:
            return bpr(positive_scores, negative_scores)
        with torch.no_grad():
            f, g = self._confidences(vectors, batch, users, negative_scores)
        return self.variant.feedback(positive_scores, negative_scores, f, g)

    def _confidences(
        self, vectors: Representations, batch: Batch, users: Tensor, negative_scores: Tensor
    ) -> tuple[Tensor, Tensor]:
        """f and g of each triple, [B] each (Eq. 6 and 7); constants within a step."""
        scores = self._relation_scores(vectors, users, batch.positive_items)
        f, g = torch.ones_like(scores[0]), torch.zeros_like(scores[0])
        if self.use_reliability:
            f = reliability(scores, alpha=self.alpha, beta=self.beta, unbiased_variance=self.variant.unbiased_variance)
        if self.use_contradiction:
            negatives = self._relation_scores(vectors, users, batch.negative_items)
            level = self.variant.negative_preference(negative_scores, negatives)
            g = self.variant.contradiction(scores, level, gamma=self.gamma)
        return f, g

    def _relation_scores(self, vectors: Representations, users: Tensor, items: Tensor) -> Tensor:
        """y^m of each user-item row for each relation. Shapes: users [B, d], items [B] -> [R, B]."""
        rows = [embedding(items, relation) for relation in vectors.relation_items.values()]
        if self.variant.normalized_relations:
            rows = [normalize(row, dim=-1) for row in rows]
        return torch.stack([pair_scores(users, row) for row in rows])

    def _item_relations(self, vectors: Representations, batch: Batch) -> Tensor:
        relations = list(vectors.relation_items.values())
        if self.graded_sets is not None:
            sets = self.graded_sets.take(batch.anchor_items)
        else:
            sets = graded_item_sets([items.detach() for items in relations], batch.anchor_items, k=self.relation_k)
        return item_relation_alignment(
            relations,
            batch.anchor_items,
            sets,
            None if self.variant.all_candidates else batch.items,
            temperature=self.temperature,
            strategy=self.relation_strategy,
            log_epsilon=self.variant.log_epsilon,
        )

    def _regularizer(self, vectors: Representations, batch: Batch, fused_rows: Sequence[Tensor]) -> Tensor:
        if not self.variant.regularize_inputs:
            return norm_sum(*fused_rows)
        items = embedding(_pair_items(batch), vectors.item_input)
        return squared_norm(embedding(batch.users, vectors.user_input), items)
