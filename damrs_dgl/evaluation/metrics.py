"""Recall, precision, NDCG and MAP at K, all from one matrix of hits.

With h_r in {0, 1} whether the item at rank r (from 1) is relevant and n the number of the user's relevant items:

* recall@K = sum_{r<=K} h_r / n;  precision@K = sum_{r<=K} h_r / K
* ndcg@K = sum_{r<=K} h_r / log2(r + 1)  over  sum_{r<=min(n, K)} 1 / log2(r + 1)
* map@K = sum_{r<=K} h_r * precision@r / min(n, K)

Memory is [users, max K], whatever the number of items, and never more than [users, items]: behind the last item no list
has a hit. Sums and means are float64.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from damrs_dgl.errors import DataError
from damrs_dgl.evaluation.lists import RankedLists
from damrs_dgl.evaluation.ranking import rank_scorer
from damrs_dgl.scoring import DotProduct, Scorer
from damrs_dgl.user_items import UserItems

METRICS = ("recall", "precision", "ndcg", "map")

# Users whose metrics are worked out at a time. Fixed, so that a mean does not depend on the block of the ranking.
_USERS_PER_MEAN = 65_536


@dataclass(frozen=True)
class RankingResult:
    """What an evaluation found.

    ``metrics``: {"recall@20": mean, ...}; ``num_users``: how many users the means are over; ``per_user``: on request,
    the same keys, each float64 [num_users], in the order of ``users`` (int64, ascending) that are in it.
    """

    metrics: dict[str, float]
    num_users: int
    per_user: dict[str, Tensor] | None = None
    users: Tensor | None = None


def hit_matrix(ranked_items: Tensor, users: Tensor, relevant: UserItems) -> Tensor:
    """Whether the item at each rank is relevant: bool [n, K].

    ``ranked_items`` is int64 [n, K], -1 for no item, of ``users`` int64 [n], who are rows of ``relevant``.
    """
    rows, items = relevant.pairs_of(users)
    if len(items) == 0:
        return torch.zeros_like(ranked_items, dtype=torch.bool)
    keys = (rows * relevant.span + items).to(ranked_items.device)  # ascending, as pairs_of sorts
    first = torch.arange(len(ranked_items), device=ranked_items.device)[:, None] * relevant.span
    asked = ranked_items + first
    found = keys[torch.searchsorted(keys, asked).clamp_(max=len(keys) - 1)] == asked
    return found & (ranked_items >= 0) & (ranked_items < relevant.span)


def per_user_metrics(
    hits: Tensor, num_relevant: Tensor, ks: Sequence[int], *, num_items: int | None = None
) -> dict[str, Tensor]:
    """Every metric of every user: {"recall@5": float64 [n], ...}.

    ``hits`` is bool [n, K] with K >= max(ks), or K >= ``num_items`` where that is given; ``num_relevant`` int64 [n],
    each at least 1; else ``DataError``.
    """
    ks = _check_ks(ks)
    needed = ks[-1] if num_items is None else min(ks[-1], num_items)
    if hits.dim() != 2 or hits.shape[1] < needed or num_relevant.shape != hits.shape[:1]:
        raise DataError(
            f"hits must be [n, {needed} or more] and num_relevant [n], "
            f"got {list(hits.shape)} and {list(num_relevant.shape)}"
        )
    if len(num_relevant) and int(num_relevant.min()) < 1:
        raise DataError("a user without a relevant item has no metrics", fix="leave such users out")
    width = min(ks[-1], hits.shape[1])
    ranks = torch.arange(1, width + 1, dtype=torch.float64, device=hits.device)
    gains = hits[:, :width].double()
    found = gains.cumsum(1)
    discounts = 1.0 / torch.log2(ranks + 1.0)
    discounted = (gains * discounts).cumsum(1)
    ideal = discounts.cumsum(0)
    precisions = (gains * found / ranks).cumsum(1)
    relevant = num_relevant.to(hits.device)
    result = {}
    for k in ks:
        last, reachable = min(k, width) - 1, relevant.clamp(max=k)
        result[f"recall@{k}"] = found[:, last] / relevant
        result[f"precision@{k}"] = found[:, last] / k
        result[f"ndcg@{k}"] = discounted[:, last] / ideal[reachable - 1]
        result[f"map@{k}"] = precisions[:, last] / reachable
    return {f"{metric}@{k}": result[f"{metric}@{k}"] for metric in METRICS for k in ks}


def ranking_metrics(
    hits: Tensor, num_relevant: Tensor, ks: Sequence[int], *, num_items: int | None = None
) -> dict[str, float]:
    """The means of ``per_user_metrics`` over users: {"recall@5": float, ...}. ``DataError`` where there is no user."""
    if len(hits) == 0:
        raise DataError("no user to average over")
    sums: dict[str, float] = {}
    for start in range(0, len(hits), _USERS_PER_MEAN):
        rows = slice(start, start + _USERS_PER_MEAN)
        for key, values in per_user_metrics(hits[rows], num_relevant[rows], ks, num_items=num_items).items():
            sums[key] = sums.get(key, 0.0) + float(values.sum())
    return {key: value / len(hits) for key, value in sums.items()}


def evaluate_ranking(
    user_emb: Any,
    item_emb: Any,
    *,
    relevant: tuple[Any, Any] | UserItems,
    seen: tuple[Any, Any] | UserItems | None = None,
    trained_users: Any = None,
    ks: Sequence[int] = (5, 10, 20, 50),
    block_size: int = 256,
    per_user: bool = False,
) -> RankingResult:
    """Rank all items for every user and average the metrics: for our models and for anybody else's vectors.

    Parameters
    ----------
    user_emb: [U, d], item_emb: [I, d], tensors or numpy arrays; the score of a pair is their inner product.
    relevant: (users, items), the pairs to be found (test). An item that is also seen cannot be found.
    seen: (users, items), the pairs left out of the ranking (training; with the protocol `unseen` also validation).
        Who evaluates often can make either of the two once with ``UserItems.from_pairs`` and give that.
    trained_users: bool [U], who has a training interaction; without it those who occur in ``seen`` (all, without seen).
    ks: the lengths of the lists; one longer than the catalogue works.
    block_size: users ranked at a time.
    per_user: also return every user's own numbers (for tests of significance).

    Averages are over users with relevant items and a training interaction; ``DataError`` where there is none.

    Example
    -------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> user_emb, item_emb = rng.normal(size=(3, 8)), rng.normal(size=(40, 8))   # from any library
    >>> train, test = ([0, 1, 2], [5, 6, 7]), ([0, 1], [9, 12])                  # (users, items) as indices
    >>> result = evaluate_ranking(user_emb, item_emb, relevant=test, seen=train, ks=[20])
    >>> result.num_users, sorted(result.metrics)
    (2, ['map@20', 'ndcg@20', 'precision@20', 'recall@20'])
    """
    scorer = DotProduct(torch.as_tensor(user_emb), torch.as_tensor(item_emb))
    ks = _check_ks(ks)
    lists = ranked_lists(
        scorer, ks[-1], relevant=relevant, seen=seen, trained_users=trained_users, block_size=block_size
    )
    found, items = (lists.hits, lists.num_relevant, ks), scorer.num_items
    own = per_user_metrics(*found, num_items=items) if per_user else None
    metrics = ranking_metrics(*found, num_items=items)
    return RankingResult(metrics, len(lists), own, lists.users if per_user else None)


def ranked_lists(
    scorer: Scorer,
    k: int,
    *,
    relevant: tuple[Any, Any] | UserItems,
    seen: tuple[Any, Any] | UserItems | None = None,
    trained_users: Any = None,
    block_size: int = 256,
) -> RankedLists:
    """The lists that :func:`evaluate_ranking` averages over, by any scorer; its arguments, its errors.

    They are k items long, or as long as there are items.
    """
    num_users, num_items = scorer.num_users, scorer.num_items
    found = _rows(relevant, num_users, num_items, "relevant")
    left_out = None if seen is None else _rows(seen, num_users, num_items, "seen")
    users = _averaged_users(found, left_out, trained_users)
    items = rank_scorer(scorer, min(k, num_items), seen=left_out, users=users, block_size=block_size).items.cpu()
    return RankedLists(users, items, hit_matrix(items, users, found), found.counts()[users])


def _check_ks(ks: Sequence[int]) -> list[int]:
    found = list(ks) if isinstance(ks, Iterable) else []
    if not found or not all(isinstance(k, Integral) and k >= 1 for k in found):
        raise DataError(f"ks must be whole numbers of 1 or more, got {ks!r}", fix="give a list such as [10, 20]")
    return sorted(set(found))


def _rows(pairs: tuple[Any, Any] | UserItems, num_users: int, num_items: int, name: str) -> UserItems:
    if isinstance(pairs, UserItems):
        rows = UserItems(pairs.offsets.cpu(), pairs.items.cpu(), pairs.span)
    else:
        users, items = (torch.as_tensor(part).cpu().long() for part in pairs)
        rows = UserItems.from_pairs(users, items, num_users)
    if rows.num_users != num_users:
        raise DataError(f"the {name} pairs are of {rows.num_users} users, but there are {num_users} user vectors")
    if rows.span > num_items:
        raise DataError(f"a {name} item has index {rows.span - 1}, but there are {num_items} item vectors")
    return rows


def _averaged_users(relevant: UserItems, seen: UserItems | None, trained_users: Any) -> Tensor:
    """int64, ascending: users with relevant items and a training interaction."""
    counted = relevant.counts() > 0
    if trained_users is not None:
        trained = torch.as_tensor(trained_users).cpu()
        if trained.shape != counted.shape or trained.dtype != torch.bool:
            raise DataError(f"trained_users must be {len(counted)} booleans, got {trained.dtype} {list(trained.shape)}")
        counted &= trained
    elif seen is not None:
        counted &= seen.counts() > 0
    users = counted.nonzero()[:, 0]
    if len(users) == 0:
        raise DataError("no user has both an interaction to be found and one in training", fix="check the splits")
    return users
