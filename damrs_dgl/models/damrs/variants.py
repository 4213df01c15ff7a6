"""What the equations as printed and the authors' code do differently, apart from values: small named functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import embedding, normalize

from damrs_dgl.losses.denoised_bpr import denoised_bpr, weighted_bpr
from damrs_dgl.losses.user_preference import (
    bernoulli_preference_alignment,
    preference_alignment,
    sampled_preference_alignment,
)
from damrs_dgl.models.base import Batch, Encoded

AUTHORS_LOG_EPSILON: Final = 1e-9  # inside the logarithms of the authors' item-relation loss


@dataclass(frozen=True)
class Representations(Encoded):
    """One forward pass of DA-MRS: users [U, d], items [I, d] (t of Eq. 3), and the vectors before propagation.

    relation_items: h^m [I, d] of each item-item relation m.  backbone: the backbone's own forward pass.
    """

    relation_items: Mapping[str, Tensor]
    backbone: Encoded

    @property
    def id_items(self) -> Tensor:
        """The backbone's h^id, [I, d]."""
        return self.backbone.items


@dataclass(frozen=True)
class Variant:
    """What differs, apart from default values.

    fuse: t from (h^id, mean over relations of h^m), Eq. 3.
    normalized_relations: whether y^m_ui uses L2-normalised h^m.
    pair_preference: the preference for each negative [B], whose mean is y_n of Eq. 7, from (fused scores of the
    negatives [B], their relation scores [R, B]).
    unbiased_variance: in f of Eq. 6.   feedback: the loss that f and g enter, Eq. 8.
    preference: L_AU from the representations and a batch.   softmax_preference: it is a softmax over all items.
    all_candidates: whether the dissimilar items of L_AI are all items rather than the batch's.
    log_epsilon: added inside the logarithms of L_AI.
    regularize_inputs: hold the batch's vectors before propagation small (`squared_norm`) rather than the fused ones
    (`norm_sum`).
    """

    fuse: Callable[[Tensor, Tensor], Tensor]
    normalized_relations: bool
    pair_preference: Callable[[Tensor, Tensor], Tensor]
    unbiased_variance: bool
    feedback: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    preference: Callable[[Representations, Batch], Tensor]
    softmax_preference: bool
    all_candidates: bool
    log_epsilon: float
    regularize_inputs: bool


def fuse_mean(id_items: Tensor, relation_mean: Tensor) -> Tensor:
    """t = mean(h^id, mean_m h^m), Eq. 3 as printed. Shapes: [I, d], [I, d] -> [I, d]."""
    return (id_items + relation_mean) / 2


def fuse_sum(id_items: Tensor, relation_mean: Tensor) -> Tensor:
    """t = h^id + mean_m h^m, as in the authors' code. Shapes: [I, d], [I, d] -> [I, d]."""
    return id_items + relation_mean


def mean_over_relations(relation_items: Sequence[Tensor]) -> Tensor:
    """mean_m h^m over all item-item relations. Shapes: R times [I, d] -> [I, d]."""
    total = relation_items[0]
    for items in relation_items[1:]:
        total = total + items
    return total / len(relation_items)


def _preference_over_all_items(vectors: Representations, batch: Batch) -> Tensor:
    """Eq. 9-10: softmax over all items, or its estimate where the batch brings a sample of them."""
    users = embedding(batch.extra["anchor_users"], vectors.users)
    if "softmax_items" not in batch.extra:
        content = mean_over_relations(list(vectors.relation_items.values()))
        return preference_alignment(users, content, vectors.id_items)
    batch_items, sample = batch.extra["items"], batch.extra["softmax_items"]
    chosen = torch.cat([batch_items, sample])
    num_others = len(vectors.id_items) - len(batch_items)
    log_weights = users.new_zeros(len(chosen))
    log_weights[len(batch_items) :] = math.log(num_others / len(sample))
    content = mean_over_relations([embedding(chosen, items) for items in vectors.relation_items.values()])
    return sampled_preference_alignment(users, content, embedding(chosen, vectors.id_items), log_weights)


def _preference_over_batch_items(vectors: Representations, batch: Batch) -> Tensor:
    """The authors' form: a Bernoulli divergence per pair, over the batch's distinct items, item rows normalised."""
    items = batch.extra["items"]
    content = mean_over_relations([embedding(items, table) for table in vectors.relation_items.values()])
    id_items = embedding(items, vectors.id_items)
    users = embedding(batch.extra["anchor_users"], vectors.users)
    return bernoulli_preference_alignment(users, normalize(content, dim=-1), normalize(id_items, dim=-1))


PAPER: Final = Variant(
    fuse=fuse_mean,
    normalized_relations=False,
    pair_preference=lambda fused, relations: torch.sigmoid(fused),
    unbiased_variance=False,
    feedback=denoised_bpr,
    preference=_preference_over_all_items,
    softmax_preference=True,
    all_candidates=False,
    log_epsilon=0.0,
    regularize_inputs=True,
)
AUTHORS: Final = Variant(
    fuse=fuse_sum,
    normalized_relations=True,
    pair_preference=lambda fused, relations: torch.sigmoid(relations).mean(0),
    unbiased_variance=True,
    feedback=weighted_bpr,
    preference=_preference_over_batch_items,
    softmax_preference=False,
    all_candidates=True,
    log_epsilon=AUTHORS_LOG_EPSILON,
    regularize_inputs=False,
)
VARIANTS: Final = {
    "paper": PAPER,
    "authors": AUTHORS,
    "recommended": replace(AUTHORS, all_candidates=False, regularize_inputs=True),
}
