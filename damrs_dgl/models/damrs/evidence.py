"""What a trained DA-MRS thinks of single clicks: f and g of Eq. 6 and 7, their posterior, what each relation says."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding

from damrs_dgl.losses.denoised_bpr import posterior
from damrs_dgl.models.base import ClickEvidence, pair_scores
from damrs_dgl.models.damrs.config import DAMRSConfig
from damrs_dgl.models.damrs.objective import contradiction_of, relation_scores, reliability_of
from damrs_dgl.models.damrs.variants import Representations, Variant

_BLOCK = 8192  # pairs at a time: 8 MiB of each relation's rows at d = 256


@torch.no_grad()
def click_evidence(
    config: DAMRSConfig[Any],
    variant: Variant,
    vectors: Representations,
    users: Tensor,
    items: Tensor,
    negatives: Tensor,
) -> ClickEvidence:
    """f, g, the posterior and each relation's support of clicks (users, items) [n], against `negatives` [n, S].

    The paper's y_n is one number for a batch. In a trained model it is below mu for nearly every click, so that g is 0
    and the posterior 1: it tells nothing. With y_n of each sampled item on its own, g speaks as often as an item that
    the user has not met is preferred. A model that is trained without f or g (the ablation's -f and -g) has f = 1
    or g = 0 here too; `relation_damping`, which is about training, leaves them whole. O(n S R d) time; a few numbers
    for each click, relation and sampled item are kept.
    """
    levels, mean, spread = _unmet(variant, vectors, users, negatives)
    parts = []
    for block in torch.arange(len(users), device=users.device).split(_BLOCK):
        rows = embedding(users[block], vectors.users)
        scores = relation_scores(variant, vectors, rows, items[block])
        f, g = reliability_of(config, variant, scores), contradiction_of(config, scores, levels.mean())
        own = pair_scores(rows, embedding(items[block], vectors.items))
        total, of_batch = torch.zeros_like(f), torch.zeros_like(f)
        for column in range(negatives.shape[1]):
            x = own - pair_scores(rows, embedding(negatives[block, column], vectors.items))
            total += posterior(f, contradiction_of(config, scores, levels[block, column]), x)
            of_batch += posterior(f, g, x)
        mean_of = [(part / negatives.shape[1]).clamp(0, 1) for part in (total, of_batch)]
        parts.append((f, g, *mean_of, (scores - mean) / spread))
    joined = [torch.cat(column, dim=-1) for column in zip(*parts, strict=True)]
    f, g, each, of_batch, support = joined
    return ClickEvidence(f, g, each, of_batch, tuple(vectors.relation_items), support)


def _unmet(
    variant: Variant, vectors: Representations, users: Tensor, negatives: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """y_n of each sampled item [n, S]; mean and standard deviation [R, 1] of what each relation gives them."""
    levels = vectors.users.new_empty(negatives.shape)
    total = vectors.users.new_zeros(len(vectors.relation_items), dtype=torch.float64)
    squares = torch.zeros_like(total)
    for column in range(negatives.shape[1]):
        for block in torch.arange(len(users), device=users.device).split(_BLOCK):
            rows, items = embedding(users[block], vectors.users), negatives[block, column]
            scores = relation_scores(variant, vectors, rows, items)
            levels[block, column] = variant.pair_preference(pair_scores(rows, embedding(items, vectors.items)), scores)
            total += scores.double().sum(1)
            squares += scores.double().square().sum(1)
    mean = total / max(negatives.numel(), 1)
    spread = (squares / max(negatives.numel(), 1) - mean.square()).clamp(min=0).sqrt()
    spread = torch.where(spread > 0, spread, torch.ones_like(spread))
    dtype = vectors.users.dtype
    return levels, mean[:, None].to(dtype), spread[:, None].to(dtype)
