"""The k most similar items of each row, exactly, from similarities that float32 has rounded."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from damrs_dgl.selection import largest, place_in_group

Levels = Callable[[Tensor, Tensor], Tensor]
"""(row, item) index tensors -> exact similarities as integers."""

_SPARE = 16  # items on a short list beyond k, at least


class Shortlist:
    """The most similar items of each item so far, some more than k; to be asked when every pair was offered.

    `k`: as in :func:`top_k_pairs`.
    """

    def __init__(self, num_items: int, k: int, *, device: torch.device) -> None:
        self.k, self.size = k, min(num_items, k + max(k, _SPARE))
        self.values = torch.full((num_items, self.size), -torch.inf, device=device)
        self.items = torch.zeros(num_items, self.size, dtype=torch.int64, device=device)

    def offer(self, start: int, similarity: Tensor, first: int) -> None:
        """Similarities [n, m] of the n items from `start` on with the m items from `first` on; each pair once."""
        values, items = largest(similarity, min(self.size, similarity.shape[1]))
        span = slice(start, start + len(similarity))
        values, order = torch.cat([self.values[span], values], dim=1).topk(self.size, dim=1)
        self.items[span] = torch.cat([self.items[span], items + first], dim=1).gather(1, order)
        self.values[span] = values

    def top_k_pairs(self, *, tolerance: float, levels: Levels) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """(items, neighbours) as of :func:`top_k_pairs`, and the items left out: their lists are too short to tell.

        Those are items whose k-th similarity so many others share, to the last bits, that some may not be on the list.
        """
        kth = self.values[:, min(self.k, self.size) - 1].clamp(min=0)
        last = self.values[:, -1]
        crowded = (last >= kth - 2 * tolerance) & (self.size < len(self.values))
        rows = torch.nonzero(~crowded).squeeze(1)
        values, items = self.values[rows], self.items[rows]
        items, order = items.sort(dim=1)  # then columns stand in the order that breaks ties
        found, columns = top_k_pairs(
            values.gather(1, order),
            self.k,
            tolerance=tolerance,
            levels=lambda row, column: levels(rows[row], items[row, column]),
        )
        return (rows[found], items[found, columns]), torch.nonzero(crowded).squeeze(1)


def top_k_pairs(similarity: Tensor, k: int, *, tolerance: float, levels: Levels) -> tuple[Tensor, Tensor]:
    """The k most similar items of each row with similarity above 0, exactly; ties go to the lower item index.

    Parameters
    ----------
    similarity: float32 [n, I], each within `tolerance` of the exact value; -inf where a pair is not allowed.
    levels: asked only where `similarity` cannot decide.

    Returns
    -------
    (rows, items) int64, in no particular order; a row has fewer than k where fewer are allowed and positive.
    """
    values, items = largest(similarity, min(k + 1, similarity.shape[1]))
    minus_infinity = torch.full_like(values[:, 0], -torch.inf)
    kth = values[:, k - 1] if values.shape[1] >= k else minus_infinity
    following = values[:, k] if values.shape[1] > k else minus_infinity
    # k values clear of zero and a gap below them that no error can bridge: float32 has settled who belongs to them
    settled = (kth > 4 * tolerance) & (following < kth - 2 * tolerance)
    rows = torch.nonzero(settled).squeeze(1)
    doubtful = torch.nonzero(~settled).squeeze(1)
    chosen_rows = rows.repeat_interleave(min(k, items.shape[1]))
    chosen_items = items[rows, :k].reshape(-1)
    if not len(doubtful):
        return chosen_rows, chosen_items
    more_rows, more_items = _decide_exactly(
        similarity[doubtful], kth[doubtful], k, tolerance, lambda row, item: levels(doubtful[row], item)
    )
    return torch.cat([chosen_rows, doubtful[more_rows]]), torch.cat([chosen_items, more_items])


def _decide_exactly(similarity: Tensor, kth: Tensor, k: int, tolerance: float, levels: Levels) -> tuple[Tensor, Tensor]:
    """Rows whose k-th place is in doubt: items far above it are in, far below out, those between are scored exactly.

    The exact k-th value lies within one tolerance of `kth`, and an item's exact value within one of its own, hence two.
    Where the k-th value is not positive, or there are fewer than k, the threshold is 0.
    """
    threshold = kth.clamp(min=0)[:, None]
    certain = similarity > threshold + 2 * tolerance
    certain_rows, certain_items = torch.nonzero(certain, as_tuple=True)
    rows, items = torch.nonzero((similarity - threshold).abs_() <= 2 * tolerance, as_tuple=True)
    exact = levels(rows, items)
    positive = exact > 0
    rows, items, exact = rows[positive], items[positive], exact[positive]
    # (row, -value, item): `nonzero` lists by row and item, and the two sorts are stable
    order = torch.argsort(exact, descending=True, stable=True)
    order = order[torch.argsort(rows[order], stable=True)]
    rows, items = rows[order], items[order]
    counts = torch.bincount(rows, minlength=len(kth))
    rank = place_in_group(rows, counts)
    kept = rank < k - certain.sum(1)[rows]
    return torch.cat([certain_rows, rows[kept]]), torch.cat([certain_items, items[kept]])
