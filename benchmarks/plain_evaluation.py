"""Full-ranking evaluation in the plain way: one dense score matrix, then a loop over users."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Pairs = tuple[Tensor, Tensor]
"""Users and items, int64 [n] each."""


Rank = Callable[[Tensor, int], Tensor]
"""The k best items [k] of one user's scores [I], best first."""


def by_sorting(scores: Tensor, k: int) -> Tensor:
    """Equal scores by lower index, as the protocol asks: a stable sort."""
    return torch.argsort(scores, descending=True, stable=True)[:k]


def by_top_k(scores: Tensor, k: int) -> Tensor:
    """Less work, but equal scores come in an order that torch does not promise."""
    return torch.topk(scores, k).indices


def evaluate_plainly(
    user_emb: Tensor,
    item_emb: Tensor,
    *,
    relevant: Pairs,
    seen: Pairs,
    ks: Sequence[int] = (5, 10, 20, 50),
    rank: Rank = by_sorting,
) -> dict[str, float]:
    """Recall, precision, NDCG and MAP at each k, averaged over users with relevant and with seen items.

    The same as damrs_dgl's `evaluate_ranking(...).metrics`; no pair may be both relevant and seen.
    """
    scores = user_emb @ item_emb.T
    wanted, known = items_by_user(relevant), items_by_user(seen)
    users = [user for user in wanted if user in known]
    sums = {f"{name}@{k}": 0.0 for name in ("recall", "precision", "ndcg", "map") for k in ks}
    for user in users:
        row = scores[user]
        row[known[user]] = -torch.inf
        ranked = rank(row, min(max(ks), len(row))).tolist()
        relevant_items = set(wanted[user])
        hits = [item in relevant_items for item in ranked]
        for k in ks:
            for name, value in metrics_of(hits[:k], len(relevant_items), k).items():
                sums[f"{name}@{k}"] += value
    return {name: total / len(users) for name, total in sums.items()}


def metrics_of(hits: Sequence[bool], num_relevant: int, k: int) -> dict[str, float]:
    """One user's metrics at k from whether the item at each rank is relevant."""
    found, gain, precisions = 0, 0.0, 0.0
    for rank, hit in enumerate(hits, start=1):
        if hit:
            found += 1
            gain += 1 / math.log2(rank + 1)
            precisions += found / rank
    reachable = min(num_relevant, k)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, reachable + 1))
    return {
        "recall": found / num_relevant,
        "precision": found / k,
        "ndcg": gain / ideal,
        "map": precisions / reachable,
    }


def items_by_user(pairs: Pairs) -> dict[int, list[int]]:
    """{user: items}, in order of the user."""
    items: dict[int, list[int]] = {}
    for user, item in sorted(zip(*(ids.tolist() for ids in pairs), strict=True)):
        items.setdefault(user, []).append(item)
    return items
