"""Cosine similarities of item pairs in one modality: fast where that is enough, exact where it matters.

A matrix product in float32 has last bits that vary with its size, the threads and the machine. Its error is bounded, so
most decisions ("is this pair above the mean", "is this item among the k best") follow from it beyond doubt; those that
do not are taken again in float64 by a computation whose result has the same bits wherever and in whatever company it
runs: products, then a tree of additions, all elementwise.

Resolution: similarities and means are compared as integers, in units of 1e-9. Two neighbours whose cosines agree to
that are equal, and the lower item index comes first.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from damrs_dgl.data.parts import ModalityFeatures

RESOLUTION = 1e-9
_FLOAT32_UNIT = 2.0**-24
_READ_VALUES = 2**17  # read at a time, 1 MB in float64: they stay in the cache. Fixed, so that the mean's additions
# always happen in the same order
_PAIR_VALUES = 2**19  # float64 values of one side of the pairs scored at a time, 4 MB
_GATHERED_VALUES = 2**19  # float32 values of one side of them, 2 MB: they stay in the cache


class CosineTable:
    """Cosine similarity of every item pair in one modality. Items that lack it are zero vectors and have no say.

    Attributes
    ----------
    present: bool [I] on `device`, the items that have a vector; ``complete``: all of them do.
    mean: mean over all n^2 pairs of the n items that have one, the diagonal included, in float64 (Eq. 1):
        ``|| (1/n) sum_i e_i / ||e_i|| ||^2``.
    duplicate_of: int64 [I], for each item the lowest item with the very same feature vector.
    tolerance: how far an inner product of :meth:`rows` may be from the exact cosine, with a margin for the comparison's
        rounding.
    """

    def __init__(self, features: ModalityFeatures, *, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self._features = features
        self.num_items, self.dim = len(features), features.dim
        norms = torch.ones(self.num_items, dtype=torch.float64)
        present = torch.zeros(self.num_items, dtype=torch.bool)
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
            present[span] = lengths > 0
            norms[span] = lengths.masked_fill(lengths == 0, 1.0)
            wide /= norms[span, None]
            total += _tree_sum(wide.T)
        self.present, self.complete = present.to(self.device), bool(present.all())
        total /= max(int(present.sum()), 1)
        self.mean = float(_tree_sum(total * total))
        self.mean_level = round(self.mean / RESOLUTION)
        self._norms = norms.to(self.device)
        self._factors = _unit_factors(self._norms)
        self.duplicate_of = self._find_duplicates(hashes).to(self.device)
        self.tolerance = self._error_bound()

    @cached_property
    def unit(self) -> Tensor:
        """float32 [I, D], each row of length 1, on `device`: the modality in memory, from the first use on."""
        unit = torch.empty(self.num_items, self.dim, device=self.device)
        for start in range(0, self.num_items, self._step):
            span = slice(start, min(start + self._step, self.num_items))
            unit[span] = self._scaled(self._features.block(span.start, span.stop), span)
        return unit

    @property
    def _in_memory(self) -> bool:
        return "unit" in self.__dict__ or self.device.type != "cpu"

    def rows(self, start: int, stop: int) -> Tensor:
        """Rows start..stop of :attr:`unit`; read again where that is not in memory."""
        if self._in_memory:
            return self.unit[start:stop]
        return self._scaled(self._features.block(start, stop), slice(start, stop))

    def rows_of(self, items: Tensor) -> Tensor:
        """The items' rows of :attr:`unit`; read again where that is not in memory."""
        if self._in_memory:
            return self.unit[items]
        return self._scaled(self._features.take(items), items)

    def _scaled(self, rows: Tensor, items: slice | Tensor) -> Tensor:
        rows = rows.to(self.device)
        for factor in self._factors:
            rows *= factor[items, None]
        return rows

    def cosines(self, rows: Tensor, items: Tensor) -> Tensor:
        """Similarities of rows[n] with items[n, c], float32 [n, C], each within ``tolerance`` of the exact."""
        found = torch.empty(items.shape, device=self.device)
        step = max(1, _GATHERED_VALUES // max(items.shape[1] * self.dim, 1))
        buffer = torch.empty(step * items.shape[1], self.dim, device=self.device)
        for start in range(0, len(rows), step):
            part = items[start : start + step]
            gathered = torch.index_select(self.unit, 0, part.reshape(-1), out=buffer[: part.numel()])
            left = self.unit[rows[start : start + step], :, None]
            torch.bmm(gathered.view(*part.shape, -1), left, out=found[start : start + step, :, None])
        return found

    def lacks(self, items: Tensor, others: Tensor) -> Tensor:
        """Bool, broadcast: the pairs that the modality has no say on, as one of the two items lacks it."""
        return ~(self.present[items] & self.present[others])

    def reaches_mean(self, similarity: Tensor, rows: Tensor, items: Tensor, *, out: Tensor | None = None) -> Tensor:
        """No veto: the similarity is at least the mean, or the modality has no say on the pair.

        `similarity` is within ``tolerance`` of the exact, and what is too close to the mean is decided exactly. `rows`
        and `items` say which pairs they are and broadcast to its shape. Bool, or the numbers 1 and 0 in `out`.
        """
        reached = torch.ge(similarity, self.mean, out=out)
        doubtful = (similarity - self.mean).abs_() <= self.tolerance
        if not self.complete:
            silent = self.lacks(rows, items)
            reached.masked_fill_(silent, 1)
            doubtful &= ~silent
        close = torch.nonzero(doubtful, as_tuple=True)
        if len(close[0]):
            pairs = (index.expand_as(similarity)[close] for index in (rows, items))
            reached[close] = (self.levels(*pairs) >= self.mean_level).to(reached.dtype)
        return reached

    def are_duplicates(self, items: Tensor, others: Tensor) -> Tensor:
        """Bool, broadcast: the two have the very same feature vector."""
        return self.duplicate_of[items] == self.duplicate_of[others]

    def of_pairs(self, items: Tensor, others: Tensor) -> Tensor:
        """Cosines of the pairs (items[n], others[n]), within ``tolerance``: float32 [n] on the CPU."""
        step = max(1, _GATHERED_VALUES // max(self.dim, 1))
        blocks = zip(items.split(step), others.split(step), strict=True)
        found = [(self.rows_of(left) * self.rows_of(right)).sum(1).cpu() for left, right in blocks]
        return torch.cat(found) if found else torch.zeros(0)

    def levels(self, items: Tensor, others: Tensor) -> Tensor:
        """Exact cosines of the pairs (items[n], others[n]) in units of ``RESOLUTION``, int64 [n].

        Items with the same feature vector share their cosines, so each distinct pair of vectors is worked out once:
        a placeholder picture that a third of a shop has costs no more than one picture.
        """
        left, right = self.duplicate_of[items], self.duplicate_of[others]
        keys, inverse = torch.unique(
            torch.minimum(left, right) * self.num_items + torch.maximum(left, right), return_inverse=True
        )
        levels = torch.empty_like(keys)
        step = max(1, _PAIR_VALUES // max(self.dim, 1))
        for start in range(0, len(keys), step):
            left, right = keys[start : start + step] // self.num_items, keys[start : start + step] % self.num_items
            dots = _tree_sum(self._wide_rows(left) * self._wide_rows(right))
            cosines = dots / (self._norms[left] * self._norms[right])
            levels[start : start + step] = torch.round(cosines / RESOLUTION).long()
        return levels[inverse]

    def _wide_rows(self, items: Tensor) -> Tensor:
        return self._features.take(items.cpu()).to(self.device).double()

    def _find_duplicates(self, hashes: Tensor) -> Tensor:
        """For each item the lowest item with the very same feature vector; equal hashes are confirmed by comparing."""
        _, first, inverse = np.unique(hashes.numpy(), return_index=True, return_inverse=True)
        duplicates = torch.from_numpy(first[inverse.reshape(-1)].astype(np.int64))
        candidates = torch.nonzero(duplicates != torch.arange(self.num_items)).squeeze(1)
        for part in candidates.split(self._step):
            same = (self._features.take(part) == self._features.take(duplicates[part])).all(1)
            duplicates[part[~same]] = part[~same]
        return duplicates

    def _error_bound(self) -> float:
        """Bound on the float32 product's error for rows of length 1, in units of the last place.

        D is the certain bound, 8 sqrt(D) the one that independent roundings exceed with a probability below 1e-13.
        Matrix products can be set to fewer bits (TF32, bfloat16): a sample is measured and the bound widened to fit.
        """
        bound = (min(float(self.dim), 8.0 * self.dim**0.5) + 8.0) * _FLOAT32_UNIT
        sample = self.rows_of(torch.arange(0, self.num_items, max(1, self.num_items // 64), device=self.device))
        exact = sample.double() @ sample.double().T
        measured = float(((sample @ sample.T) - exact).abs().max()) if exact.numel() else 0.0
        return max(bound, 16.0 * measured if measured > bound else 0.0) + 16.0 * _FLOAT32_UNIT


def _unit_factors(norms: Tensor) -> tuple[Tensor, Tensor]:
    """Two float32 [I] whose product scales each row to length 1: the first a power of two, which is exact.

    One factor alone could leave float32's range where a row's length is near its end.
    """
    mantissas, exponents = torch.frexp(norms)
    half = exponents // 2
    return torch.ldexp(torch.ones_like(norms), -half).float(), torch.ldexp(1 / mantissas, half - exponents).float()


def _tree_sum(values: Tensor) -> Tensor:
    """Sum over the last dimension by halving it: elementwise additions only, so each row's result is its own affair."""
    while values.shape[-1] > 1:
        half = values.shape[-1] // 2
        odd = values[..., 2 * half :]
        values = values[..., :half] + values[..., half : 2 * half]
        if odd.shape[-1]:
            values[..., :1] += odd
    return values.sum(-1)  # of one value, or of none
