"""Top-K over all items, a block of users at a time, with an order that does not depend on the machine.

A block holds [block, I] scores, never [U, I]. Equal scores rank by lower item index on every device, so that two runs
with equal embeddings recommend equal lists; ``torch.topk`` alone promises no such thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor

from damrs_dgl.errors import DataError, TrainingError
from damrs_dgl.scoring import DotProduct, Scorer
from damrs_dgl.selection import largest
from damrs_dgl.user_items import UserItems, first_outside

# A block of scores stays below 2**26 numbers (256 MiB of float32), however many items there are.
_MAX_BLOCK_SCORES = 2**26


@dataclass(frozen=True)
class Ranking:
    """The best items of some users, best first.

    ``items`` is int64 [n, k] and ``scores`` [n, k]; where a user has fewer than k candidates they end in -1 and -inf.
    """

    items: Tensor
    scores: Tensor


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k highest of each row of ``scores`` [n, I]: higher first, equal ones by lower index.

    Returns (values [n, k], indices int64 [n, k]). Entries of -inf are never chosen; rows with fewer than k others,
    or I < k, end in -inf with index -1. Raises ``DataError`` for k < 1 and ``TrainingError`` for a score that is NaN.
    """
    if k < 1:
        raise DataError(f"k must be 1 or more, got {k}")
    num_rows, num_items = scores.shape
    # one more than asked for: where it equals the k-th, equal scores were left out and the choice among them was free
    values, indices = largest(scores, min(k + 1, num_items))
    if bool(values[:, :1].isnan().any()):  # NaN counts as the highest of all
        row = int(values[:, 0].isnan().nonzero()[0])
        raise TrainingError(f"a score in row {row} is not a number", fix="look for NaN in the embeddings")
    if num_items > k:
        last = values[:, k - 1]
        tied = ((values[:, k] == last) & (last > -torch.inf)).nonzero()[:, 0]
        values, indices = values[:, :k], indices[:, :k]
        if len(tied):
            indices[tied] = _lowest_of_equal(scores[tied], last[tied], k)
            values[tied] = scores[tied].gather(1, indices[tied])
    values, indices = _by_score_then_index(values, indices)
    indices.masked_fill_(values == -torch.inf, -1)
    missing = k - values.shape[1]
    if missing > 0:
        values = torch.cat([values, values.new_full((num_rows, missing), -torch.inf)], dim=1)
        indices = torch.cat([indices, indices.new_full((num_rows, missing), -1)], dim=1)
    return values, indices


def rank_items(
    user_emb: Tensor,
    item_emb: Tensor,
    k: int,
    *,
    seen: UserItems | None,
    users: Tensor,
    block_size: int = 256,
) -> Ranking:
    """Rank all items for some users by the inner product of their embeddings.

    Parameters
    ----------
    user_emb: [n, d], row r belongs to ``users[r]``.
    item_emb: [I, d], on the same device.
    k, seen, users, block_size: as in :func:`rank_scorer`.

    Scores are float32, or float64 where the embeddings are. Raises ``DataError`` for shapes or indices that do not fit
    and ``TrainingError`` for embeddings that are not finite.
    """
    scorer = DotProduct(user_emb, item_emb)
    if len(users) != len(user_emb):
        raise DataError(f"{len(users)} users, but {len(user_emb)} user vectors")
    return _rank(scorer, torch.arange(len(user_emb)), k, seen=seen, users=users, block_size=block_size)


def rank_scorer(scorer: Scorer, k: int, *, seen: UserItems | None, users: Tensor, block_size: int = 256) -> Ranking:
    """Rank all items for some users by any scorer.

    Parameters
    ----------
    scorer: gives the scores of a block of users for all items.
    k: how many items to return for each user.
    seen: items that a user is not to be given; None to leave nothing out.
    users: int64 [n], of the scorer and of ``seen``.
    block_size: users at a time; fewer are taken where the items are very many.

    Raises ``DataError`` for indices that do not fit and ``TrainingError`` for a score that is not a number.
    """
    if len(users) and (int(users.min()) < 0 or int(users.max()) >= scorer.num_users):
        raise DataError(f"user {first_outside(users, scorer.num_users)} is not in 0..{scorer.num_users - 1}")
    return _rank(scorer, users, k, seen=seen, users=users, block_size=block_size)


def _rank(scorer: Scorer, rows: Tensor, k: int, *, seen: UserItems | None, users: Tensor, block_size: int) -> Ranking:
    """Rank for the scorer's users ``rows`` [n], who are ``users`` [n] in ``seen``."""
    _check_users(users, seen, scorer.num_items)
    for name, value in (("k", k), ("block_size", block_size)):
        if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
            raise DataError(f"{name} must be a whole number of 1 or more, got {value!r}")
    num_users, num_items = len(rows), scorer.num_items
    block_size = max(1, min(block_size, num_users, _MAX_BLOCK_SCORES // max(num_items, 1)))
    first = scorer.scores(rows[:0])  # of no user: tells type and device
    ranked = torch.full((num_users, k), -1, dtype=torch.int64, device=first.device)
    ranked_scores = torch.full((num_users, k), -torch.inf, dtype=first.dtype, device=first.device)
    buffer = first.new_empty(block_size, num_items)  # one for all blocks: fresh memory costs as much as the product
    for start in range(0, num_users, block_size):
        block = slice(start, min(start + block_size, num_users))
        scores = scorer.scores(rows[block], out=buffer[: block.stop - block.start])
        if seen is not None:
            seen.mask_(scores, users[block])
        ranked_scores[block], ranked[block] = top_k(scores, k)
    return Ranking(ranked, ranked_scores)


def _lowest_of_equal(scores: Tensor, last: Tensor, k: int) -> Tensor:
    """Indices [r, k], ascending, of the k highest where the k-th, ``last`` [r], occurs more often than it can be taken.

    Linear passes instead of a sort: all above it, then the first of those equal to it, which makes exactly k a row.
    """
    above, equal = scores > last[:, None], scores == last[:, None]
    wanted = k - above.sum(1, keepdim=True)
    chosen = above | (equal & (equal.cumsum(1, dtype=torch.int32) <= wanted))
    return chosen.nonzero()[:, 1].view(-1, k)


def _by_score_then_index(values: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Order each row of [n, k] by value, higher first, then by index, lower first: two stable sorts."""
    indices, order = indices.sort(dim=1)
    values = values.gather(1, order) + 0.0  # -0.0 becomes 0.0: a radix sort on a GPU may tell them apart
    values, order = values.sort(dim=1, descending=True, stable=True)
    return values, indices.gather(1, order)


def _check_users(users: Tensor, seen: UserItems | None, num_items: int) -> None:
    if seen is None:
        return
    if len(users) and (int(users.min()) < 0 or int(users.max()) >= seen.num_users):
        raise DataError(f"user {first_outside(users, seen.num_users)} is not in 0..{seen.num_users - 1}")
    if seen.span > num_items:
        raise DataError(f"a seen item has index {seen.span - 1}, but there are {num_items} item vectors")
