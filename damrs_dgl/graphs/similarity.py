"""Cosine similarities of all item pairs, one modality, in blocks; and the exact top-k of a block.

Fast where that is enough, exact where it matters. A block of rows is one float32 matrix product, whose last bits vary
with the block size, the threads and the machine. Its error is bounded, so most decisions ("is this pair above the
mean", "is this item among the k best") follow from it beyond doubt; those that do not are taken again in float64 by a
computation whose result has the same bits wherever and in whatever company it runs: products, then a tree of
additions, all elementwise. Memory is O(block x |I|).

Resolution: similarities and means are compared as integers, in units of 1e-9. Two neighbours whose cosines agree to
that are equal, and the lower item index comes first.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from damrs_dgl.data.dataset import ModalityFeatures
from damrs_dgl.selection import largest

RESOLUTION = 1e-9
_FLOAT32_UNIT = 2.0**-24
_READ_VALUES = 2**17  # read at a time, 1 MB in float64: they stay in the cache. Fixed, so that the mean's additions
# always happen in the same order
_PAIR_VALUES = 2**21  # float64 values of one side of the pairs scored at a time
_GATHERED_VALUES = 2**19  # float32 values of one side of them, 2 MB: they stay in the cache


class CosineTable:
    """Cosine similarity of every item pair in one modality. Rows of missing items are zero vectors.

    Attributes
    ----------
    unit: float32 [I, D], each row of length 1, on `device`.
    mean: mean over all |I|^2 pairs, the diagonal included: ``|| (1/|I|) sum_i e_i / ||e_i|| ||^2`` in float64 (Eq. 1).
    twins: int64 [I], for each item the lowest item with the very same feature vector.
    tolerance: how far a value of :meth:`block` may be from the exact cosine, with room for the comparison's rounding.
    """

    def __init__(self, features: ModalityFeatures, *, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._features = features
        self.num_items = len(features)
        self.unit = torch.empty(self.num_items, features.dim, device=self.device)
        norms = torch.ones(self.num_items, dtype=torch.float64)
        hashes = torch.zeros(self.num_items, dtype=torch.int64)
        total = torch.zeros(features.dim, dtype=torch.float64)
        multipliers = torch.from_numpy(np.random.default_rng(0).integers(-(2**63), 2**63, features.dim)) | 1
        self._step = max(1, _READ_VALUES // max(features.dim, 1))
        for start in range(0, self.num_items, self._step):
            rows = features.block(start, start + self._step)
            span = slice(start, start + len(rows))
            # two values at a time where their number is even; wraps around: exact in any order
            bits = rows.view(torch.int64) if features.dim % 2 == 0 else rows.view(torch.int32).long()
            hashes[span] = (bits * multipliers[: bits.shape[1]]).sum(1)
            wide = rows.double()
            lengths = _tree_sum(wide * wide).sqrt()
            norms[span] = lengths.masked_fill(lengths == 0, 1.0)
            wide /= norms[span, None]
            total += _tree_sum(wide.T)
            self.unit[span] = wide.float().to(self.device)
        total /= max(self.num_items, 1)
        self.mean = float(_tree_sum(total * total))
        self.mean_level = round(self.mean / RESOLUTION)
        self._norms = norms.to(self.device)
        self.twins = self._find_twins(hashes).to(self.device)
        self.tolerance = self._error_bound()

    def block(self, start: int, stop: int) -> Tensor:
        """Similarities of items start..stop with all items, float32 [n, I], each within ``tolerance`` of the exact."""
        return self.unit[start:stop] @ self.unit.T

    def cosines(self, rows: Tensor, items: Tensor) -> Tensor:
        """Similarities of rows[n] with items[n, c], float32 [n, C], each within ``tolerance`` of the exact."""
        found = torch.empty(items.shape, device=self.device)
        step = max(1, _GATHERED_VALUES // max(items.shape[1] * self.unit.shape[1], 1))
        room = torch.empty(step * items.shape[1], self.unit.shape[1], device=self.device)
        for start in range(0, len(rows), step):
            part = items[start : start + step]
            gathered = torch.index_select(self.unit, 0, part.reshape(-1), out=room[: part.numel()])
            left = self.unit[rows[start : start + step], :, None]
            torch.bmm(gathered.view(*part.shape, -1), left, out=found[start : start + step, :, None])
        return found

    def reaches_mean(self, similarity: Tensor, rows: Tensor, items: Tensor) -> Tensor:
        """Bool, as `similarity` (within ``tolerance`` of the exact): at least the mean; what is too close is exact.

        `rows` and `items` say which pairs they are and broadcast to the shape of `similarity`.
        """
        reached = similarity >= self.mean
        close = torch.nonzero((similarity - self.mean).abs_() <= self.tolerance, as_tuple=True)
        if len(close[0]):
            pairs = (index.expand_as(similarity)[close] for index in (rows, items))
            reached[close] = self.levels(*pairs) >= self.mean_level
        return reached

    def are_twins(self, items: Tensor, others: Tensor) -> Tensor:
        """Bool, broadcast: the two have the very same feature vector."""
        return self.twins[items] == self.twins[others]

    def levels(self, items: Tensor, others: Tensor) -> Tensor:
        """Exact cosines of the pairs (items[n], others[n]) in units of ``RESOLUTION``, int64 [n].

        Items with the same feature vector share their cosines, so each distinct pair of vectors is worked out once:
        a placeholder picture that a third of a shop has costs no more than one picture.
        """
        left, right = self.twins[items], self.twins[others]
        keys, inverse = torch.unique(
            torch.minimum(left, right) * self.num_items + torch.maximum(left, right), return_inverse=True
        )
        levels = torch.empty_like(keys)
        step = max(1, _PAIR_VALUES // max(self._features.dim, 1))
        for start in range(0, len(keys), step):
            left, right = keys[start : start + step] // self.num_items, keys[start : start + step] % self.num_items
            dots = _tree_sum(self._wide_rows(left) * self._wide_rows(right))
            cosines = dots / (self._norms[left] * self._norms[right])
            levels[start : start + step] = torch.round(cosines / RESOLUTION).long()
        return levels[inverse]

    def _wide_rows(self, items: Tensor) -> Tensor:
        return self._features.take(items.cpu()).to(self.device).double()

    def _find_twins(self, hashes: Tensor) -> Tensor:
        """For each item the lowest item with the very same feature vector; equal hashes are confirmed by comparing."""
        _, first, inverse = np.unique(hashes.numpy(), return_index=True, return_inverse=True)
        twins = torch.from_numpy(first[inverse.reshape(-1)].astype(np.int64))
        candidates = torch.nonzero(twins != torch.arange(self.num_items)).squeeze(1)
        for part in candidates.split(self._step):
            same = (self._features.take(part) == self._features.take(twins[part])).all(1)
            twins[part[~same]] = part[~same]
        return twins

    def _error_bound(self) -> float:
        """Bound on the float32 product's error for rows of length 1, in units of the last place.

        D is the certain bound, 8 sqrt(D) the one that independent roundings exceed with a probability below 1e-13.
        Matrix products can be set to fewer bits (TF32, bfloat16): a sample is measured and the bound widened to fit.
        """
        dim = self._features.dim
        bound = (min(float(dim), 8.0 * dim**0.5) + 4.0) * _FLOAT32_UNIT
        sample = self.unit[:: max(1, self.num_items // 64)]
        exact = sample.double() @ sample.double().T
        measured = float(((sample @ sample.T) - exact).abs().max()) if exact.numel() else 0.0
        return max(bound, 16.0 * measured if measured > bound else 0.0) + 16.0 * _FLOAT32_UNIT


def top_k_pairs(
    similarity: Tensor, k: int, *, tolerance: float, levels: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """The k most similar items of each row with similarity above 0, exactly; ties go to the lower item index.

    Parameters
    ----------
    similarity: float32 [n, I], each within `tolerance` of the exact value; -inf where a pair is not allowed.
    levels: (row, item) index tensors -> exact similarities as integers; asked only where `similarity` cannot decide.

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


def _decide_exactly(
    similarity: Tensor, kth: Tensor, k: int, tolerance: float, levels: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
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
    rank = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
    kept = rank < k - certain.sum(1)[rows]
    return torch.cat([certain_rows, rows[kept]]), torch.cat([certain_items, items[kept]])


def _tree_sum(values: Tensor) -> Tensor:
    """Sum over the last dimension by halving it: elementwise additions only, so each row's result is its own affair."""
    while values.shape[-1] > 1:
        half = values.shape[-1] // 2
        odd = values[..., 2 * half :]
        values = values[..., :half] + values[..., half : 2 * half]
        if odd.shape[-1]:
            values[..., :1] += odd
    return values.sum(-1)  # of one value, or of none
