"""The loss terms: pure functions of tensors, each with its equation, shapes and units in its docstring."""

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

__all__ = [
    "GradedSets",
    "bernoulli_preference_alignment",
    "bpr",
    "contradiction",
    "contradiction_by_gap",
    "denoised_bpr",
    "graded_item_sets",
    "item_relation_alignment",
    "mean_negative_preference",
    "mean_relation_negative_preference",
    "norm_sum",
    "preference_alignment",
    "reliability",
    "sampled_preference_alignment",
    "squared_norm",
    "weighted_bpr",
]
