"""Content rows in fewer dimensions: the estimate of a cosine that candidate neighbours are searched with.

The directions are the leading right singular vectors of the unit rows (not centred: inner products are what must
survive), found by block power iteration from a seeded start (Halko, Martinsson and Tropp, "Finding structure with
randomness", SIAM Review 53(2), 2011, algorithm 4.4) on evenly spaced rows. What a projection leaves out of a cosine is
the product of two residuals; how large that usually is gets measured, not assumed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from damrs_dgl.graphs.similarity import CosineTable

_UNPROJECTED = 256  # a modality with so many dimensions or fewer is left as it is
# From coarse to fine: dimensions, and candidates times k. An exact score costs its width, an estimate its dimensions,
# so a narrow modality has more candidates from the start.
_WIDE = 1024
_STEPS_WIDE = (32, 2), (64, 2), (128, 2), (256, 2), (256, 4), (256, 8), (256, 16)
_STEPS_NARROW = (32, 4), (64, 4), (128, 4), (256, 4), (256, 8), (256, 16)
_SPARE = 8  # candidates, at least so many more than k
_ROWS = 4096  # that the directions are taken from
_ITERATIONS = 2
_SAMPLE = (256, 2048)  # rows whose pairs the error is measured on
_QUANTILE = 0.999


class Projection:
    """Estimated cosines of one modality, and how many candidates they have to supply. Starts coarse.

    Attributes
    ----------
    rows: float32 [I, d] on the table's device; ``rows[i] @ rows[j]`` estimates the cosine of items i and j.
    is_exact: the modality is narrow and nothing was projected, so estimates are within the table's tolerance.
    margin: an estimate further than this from a threshold is taken to be on its side of it. Twice the 99.9 % quantile
        of the error over sampled pairs; the table's own tolerance where nothing was projected.
    scored: how many candidates of an item are to be scored exactly. At least 2 k: fewer than k may come before a group
        of equal ones, of which the k lowest must be among them.
    """

    def __init__(self, table: CosineTable, *, k: int) -> None:
        self._table, self._k, self._step = table, k, 0
        self._steps: tuple[tuple[int, int], ...] = _STEPS_WIDE if table.dim > _WIDE else _STEPS_NARROW
        self.is_exact = table.dim <= _UNPROJECTED
        if self.is_exact:
            self.rows, self.margin, self.scored = table.unit, table.tolerance, _scored(k, 2)
            self.settle()
            return
        self._projected = table.unit @ _leading_directions(table, self._steps[-1][0])
        self._apply()

    def refine(self) -> bool:
        """More dimensions, or more candidates where those are used up. False: there is nothing finer."""
        if self._step >= len(self._steps) - 1:
            return False
        self._step += 1
        self._apply()
        return True

    def settle(self) -> None:
        """Stay as it is: let go of what refining needs."""
        self._steps, self._projected = (), self.rows

    def _apply(self) -> None:
        dim, times = self._steps[self._step]
        self.rows = self._projected[:, :dim].contiguous()
        self.scored = _scored(self._k, times)
        self.margin = 2 * _usual_error(self._table, self.rows) + self._table.tolerance


def _scored(k: int, times: int) -> int:
    return max(times * k, k + _SPARE)


def _usual_error(table: CosineTable, rows: Tensor) -> float:
    """The 99.9 % quantile of an estimate's error over sampled pairs."""
    first, second = (spread(table.present, size) for size in _SAMPLE)
    error = rows[first] @ rows[second].T - table.unit[first] @ table.unit[second].T
    found = error.abs_()[~table.are_duplicates(first[:, None], second)].sort().values
    return float(found[int(_QUANTILE * (len(found) - 1))]) if len(found) else 0.0


def spread(present: Tensor, size: int) -> Tensor:
    """Up to `size` indices of the items that are `present` (bool [I]), evenly spaced, on its device."""
    items = torch.nonzero(present).squeeze(1)
    return items[:: max(1, -(-len(items) // size))]


def _leading_directions(table: CosineTable, dim: int) -> Tensor:
    """Orthonormal columns [D, dim], the leading directions of the rows first, but for the iteration's error."""
    sample = table.unit[spread(table.present, _ROWS)]
    start = torch.randn(table.dim, dim, generator=torch.Generator().manual_seed(0))
    directions = torch.linalg.qr(start.to(table.device)).Q
    for _ in range(_ITERATIONS):
        directions = torch.linalg.qr(sample.T @ (sample @ directions)).Q
    shown = sample @ directions
    return directions @ torch.linalg.eigh(shown.T @ shown).eigenvectors.flip(1)
