"""The loss terms: pure functions of tensors, each with its equation, shapes and units in its docstring."""

from damrs_dgl.losses.bpr import bpr, norm_sum, sampled_softmax, squared_norm
from damrs_dgl.losses.contrast import info_nce, softmax_contrast, symmetric_info_nce
from damrs_dgl.losses.denoised_bpr import (
    contradiction,
    contradiction_by_gap,
    denoised_bpr,
    posterior,
    reliability,
    weighted_bpr,
)
from damrs_dgl.losses.denoised_cross_entropy import (
    bernoulli_divergence,
    cross_entropy,
    dislike_likelihood,
    like_likelihood,
    reweighted_cross_entropy,
    truncated_cross_entropy,
)
from damrs_dgl.losses.graded_sets import GradedSets, graded_item_sets
from damrs_dgl.losses.item_relations import item_relation_alignment
from damrs_dgl.losses.user_preference import (
    bernoulli_preference_alignment,
    preference_alignment,
    sampled_preference_alignment,
)

__all__ = [
    "GradedSets",
    "bernoulli_divergence",
    "bernoulli_preference_alignment",
    "bpr",
    "contradiction",
    "contradiction_by_gap",
    "cross_entropy",
    "denoised_bpr",
    "dislike_likelihood",
    "graded_item_sets",
    "info_nce",
    "item_relation_alignment",
    "like_likelihood",
    "norm_sum",
    "posterior",
    "preference_alignment",
    "reliability",
    "reweighted_cross_entropy",
    "sampled_preference_alignment",
    "sampled_softmax",
    "softmax_contrast",
    "squared_norm",
    "symmetric_info_nce",
    "truncated_cross_entropy",
    "weighted_bpr",
]
