"""The loss of DA-MRS for one batch: its terms, each named, and weighted as in Eq. 12; their sum is minimised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding, normalize

from damrs_dgl.losses.bpr import bpr, norm_sum, sampled_softmax, squared_norm
from damrs_dgl.losses.denoised_bpr import contradiction, contradiction_by_gap, reliability
from damrs_dgl.losses.graded_sets import GradedSets, graded_item_sets
from damrs_dgl.losses.item_relations import item_relation_alignment
from damrs_dgl.models.base import Batch, pair_scores
from damrs_dgl.models.damrs.config import DAMRSConfig
from damrs_dgl.models.damrs.variants import Representations, Variant

CONTRADICTIONS: Mapping[str, Callable[..., Tensor]] = {"printed": contradiction, "gap": contradiction_by_gap}


def ranking_terms(
    config: DAMRSConfig[Any], variant: Variant, vectors: Representations, batch: Batch, share: float
) -> dict[str, Tensor]:
    """The denoised ranking loss (Eq. 8) and the regulariser.

    `share`: how much f and g count, 0 to 1 (`relation_share`): the rest of each is what plain BPR has, 1 and 0. The
    authors' form of Eq. 8 is then so much of itself, and BPR for the rest.
    """
    if batch.negative_items is None:
        raise TypeError("DA-MRS ranks observed items above sampled ones: a batch needs negative items")
    users = embedding(batch.users, vectors.users)
    ranked = batch.with_hardest_negatives(vectors.users, vectors.items)
    positive, negative = embedding(ranked.pair_items, vectors.items).chunk(2)
    positive_scores, negative_scores = pair_scores(users, positive), pair_scores(users, negative)
    f, g = torch.ones_like(positive_scores), torch.zeros_like(positive_scores)
    if config.denoised_bpr:
        # y_n is of random items: the first of each pair's.
        random_scores = negative_scores
        if ranked is not batch:
            random_scores = pair_scores(users, embedding(batch.negative_items, vectors.items)).detach()
        f, g = confidences(config, variant, vectors, batch, users, random_scores)
        f, g = torch.ones_like(f).lerp(f, share), share * g
    if config.feedback == "softmax":
        candidates = batch.extra["candidates"]
        own = candidates == batch.positive_items[:, None]
        loss = sampled_softmax(positive_scores, users @ embedding(candidates, vectors.items).T, own, f)
    elif config.denoised_bpr:
        loss = variant.feedback(positive_scores, negative_scores, f, g)
    else:
        loss = bpr(positive_scores, negative_scores)
    terms = {"feedback": loss}
    if config.regularization:
        if variant.regularize_inputs:
            items = embedding(ranked.pair_items, vectors.item_input)
            held = squared_norm(embedding(ranked.users, vectors.user_input), items)
        else:
            held = norm_sum(users, positive, negative)
        terms["regularization"] = config.regularization * held
    return terms


def relation_share(damping: float, num_interactions: int, num_items: int) -> float:
    """How much relations count: (c / d)^2 where items have d > c interactions on average, else 1; c = 0: always 1."""
    clicks = num_interactions / max(num_items, 1)
    return 1.0 if clicks <= damping or not damping else (damping / clicks) ** 2


def alignment_terms(
    config: DAMRSConfig[Any],
    variant: Variant,
    vectors: Representations,
    batch: Batch,
    sets: GradedSets | None,
    share: float,
) -> dict[str, Tensor]:
    """User preference and item relation alignment, weighted (Eq. 9 to 11).

    `share`: how much of `relation_weight` counts, 0 to 1 (`relation_share`).
    `sets`: the graded item sets of all items; None computes those of the batch's anchors.
    """
    terms = {}
    if config.preference_weight:
        terms["preference"] = config.preference_weight * variant.preference(vectors, batch)
    if config.relation_weight:
        terms["relations"] = share * config.relation_weight * _item_relations(config, variant, vectors, batch, sets)
    return terms


@torch.no_grad()
def confidences(
    config: DAMRSConfig[Any],
    variant: Variant,
    vectors: Representations,
    batch: Batch,
    users: Tensor,
    negative_scores: Tensor,
) -> tuple[Tensor, Tensor]:
    """f and g of each triple, [B] each (Eq. 6 and 7); constants within a step.

    `users` [B, d] are the batch's user vectors, `negative_scores` [B] the fused scores of its negatives.
    """
    scores = relation_scores(variant, vectors, users, batch.positive_items)
    level = torch.zeros_like(scores[0, 0])
    if config.contradiction:
        negatives = relation_scores(variant, vectors, users, batch.pair_items[len(batch.users) :])
        level = variant.pair_preference(negative_scores, negatives).mean()
    return reliability_of(config, variant, scores), contradiction_of(config, scores, level)


def reliability_of(config: DAMRSConfig[Any], variant: Variant, scores: Tensor) -> Tensor:
    """f [B] of pairs that the relations score so, [R, B] (Eq. 6); 1 where the keys leave it out."""
    if not config.reliability:
        return torch.ones_like(scores[0])
    return reliability(scores, alpha=config.alpha, beta=config.beta, unbiased_variance=variant.unbiased_variance)


def contradiction_of(config: DAMRSConfig[Any], scores: Tensor, level: Tensor) -> Tensor:
    """g [B] of pairs that the relations score so, [R, B], against y_n, a number or [B] (Eq. 7); 0 where left out."""
    if not config.contradiction:
        return torch.zeros_like(scores[0])
    return CONTRADICTIONS[config.contradiction_form](scores, level, gamma=config.gamma)


def relation_scores(variant: Variant, vectors: Representations, users: Tensor, items: Tensor) -> Tensor:
    """y^m of each user-item row for each relation. Shapes: users [B, d], items int64 [B] -> [R, B]."""
    rows = [embedding(items, relation) for relation in vectors.relation_items.values()]
    if variant.normalized_relations:
        rows = [normalize(row, dim=-1) for row in rows]
    return torch.stack([pair_scores(users, row) for row in rows])


def _item_relations(
    config: DAMRSConfig[Any], variant: Variant, vectors: Representations, batch: Batch, sets: GradedSets | None
) -> Tensor:
    relations = list(vectors.relation_items.values())
    anchors = batch.extra["anchor_items"]
    if sets is not None:
        chosen = sets.take(anchors)
    else:
        chosen = graded_item_sets([items.detach() for items in relations], anchors, k=config.relation_k)
    return item_relation_alignment(
        relations,
        anchors,
        chosen,
        None if variant.all_candidates else batch.extra["items"],
        temperature=config.temperature,
        strategy=config.relation_strategy,
        log_epsilon=variant.log_epsilon,
    )
