"""The alignment losses again as their equations say, with whole matrices: what the chunked ones are held against."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from damrs_dgl.losses.graded_sets import GradedSets
from damrs_dgl.losses.item_relations import STRATEGIES


@torch.no_grad()
def graded_item_sets_plain(
    relation_embs: Sequence[Tensor], anchors: Tensor | None = None, *, k: int = 10
) -> GradedSets:
    """The same as `graded_item_sets` with whole matrices; for at least 2k items."""
    tables = [F.normalize(emb, dim=1) for emb in relation_embs]
    shares = torch.stack([torch.softmax((t if anchors is None else t[anchors]) @ t.T, dim=1) for t in tables])
    similar = (shares + shares.sum(dim=0)).topk(k, dim=2).indices
    return GradedSets(similar, shares.scatter(2, similar, -1.0).topk(k, dim=2).indices)


def item_relation_alignment_plain(
    relation_embs: Sequence[Tensor],
    anchors: Tensor,
    sets: GradedSets,
    candidates: Tensor | None,
    *,
    temperature: float = 0.2,
    strategy: str = "AI",
    log_epsilon: float = 0.0,
) -> Tensor:
    """The same as `item_relation_alignment` with whole [A, I] matrices; exp must not overflow."""
    losses = []
    for emb, similar, less_similar in zip(relation_embs, sets.similar, sets.less_similar, strict=True):
        table = F.normalize(emb, dim=1)
        phi = torch.exp(table[anchors] @ table.T / temperature)
        in_r, in_t = _membership(similar, len(emb)), _membership(less_similar, len(emb))
        in_n = (
            torch.ones_like(in_r) if candidates is None else _membership(candidates.expand(len(anchors), -1), len(emb))
        )
        grades = torch.stack([(phi * grade).sum(dim=1) for grade in (in_r, in_t, in_n & ~in_r & ~in_t)])
        for positives, pool in STRATEGIES[strategy]:
            positive = grades[positives].sum(dim=0)
            some = positive > 0
            ratio = positive[some] / grades[pool].sum(dim=0)[some]
            losses.append(-torch.log(ratio + log_epsilon).sum())
    return torch.stack(losses).sum() / (len(anchors) * len(relation_embs))


def _membership(items: Tensor, num_items: int) -> Tensor:
    """Bool [A, I]: which items are among ``items`` [A, k]; -1 marks nothing."""
    marks = torch.zeros((len(items), num_items + 1), dtype=torch.bool, device=items.device)
    return marks.scatter(1, torch.where(items < 0, num_items, items), True)[:, :num_items]


def preference_alignment_plain(user_emb: Tensor, content_emb: Tensor, id_emb: Tensor) -> Tensor:
    """The same as `preference_alignment` as the two divergences, with whole matrices."""
    log_p = torch.log_softmax(user_emb @ content_emb.T, dim=1)
    log_q = torch.log_softmax(user_emb @ id_emb.T, dim=1)
    forward = (log_p.exp() * (log_p - log_q)).sum(dim=1)
    backward = (log_q.exp() * (log_q - log_p)).sum(dim=1)
    return (forward + backward).mean()


def bernoulli_preference_alignment_plain(user_emb: Tensor, content_emb: Tensor, id_emb: Tensor) -> Tensor:
    """The same as `bernoulli_preference_alignment` with whole matrices."""
    a, b = user_emb @ content_emb.T, user_emb @ id_emb.T
    return ((torch.sigmoid(a) - torch.sigmoid(b)) * (a - b)).mean()
