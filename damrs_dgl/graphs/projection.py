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

_DIMENSIONS = (128, 256)  # of the estimate, at least and at most; up to twice the least nothing is projected
_SHARE = 16  # else this share of the width
_ROWS = 8192  # that the directions are taken from
_ITERATIONS = 2
_SAMPLE = (256, 2048)  # rows whose pairs the error is measured on
_QUANTILE = 0.999


class Projection:
    """Estimated cosines of one modality.

    Attributes
    ----------
    rows: float32 [I, d] on the table's device; ``rows[i] @ rows[j]`` estimates the cosine of items i and j.
    margin: an estimate further than this from a threshold is taken to be on its side of it. Twice the 99.9 % quantile
        of the error over sampled pairs; the table's own tolerance where nothing was projected.
    is_exact: nothing was projected, so estimates are within the table's tolerance.
    """

    def __init__(self, table: CosineTable) -> None:
        width = table.unit.shape[1]
        least, most = _DIMENSIONS
        self.is_exact = width <= 2 * least
        if self.is_exact:
            self.rows, self.margin = table.unit, table.tolerance
            return
        self.rows = table.unit @ _leading_directions(table.unit, min(max(width // _SHARE, least), most))
        self.margin = 2 * self._usual_error(table) + table.tolerance

    def _usual_error(self, table: CosineTable) -> float:
        first, second = (_spread(table.num_items, size).to(table.device) for size in _SAMPLE)
        error = self.rows[first] @ self.rows[second].T - table.unit[first] @ table.unit[second].T
        different = ~table.are_twins(first[:, None], second)
        found = error.abs_()[different].sort().values
        return float(found[int(_QUANTILE * (len(found) - 1))]) if len(found) else 0.0


def _spread(num_items: int, size: int) -> Tensor:
    """Up to `size` item indices, evenly spaced."""
    return torch.arange(0, num_items, max(1, -(-num_items // size)))


def _leading_directions(unit: Tensor, dim: int) -> Tensor:
    """Orthonormal columns [D, dim] that span the leading directions of the rows, but for the iteration's error."""
    sample = unit[_spread(len(unit), _ROWS).to(unit.device)]
    start = torch.randn(unit.shape[1], dim, generator=torch.Generator().manual_seed(0))
    directions = torch.linalg.qr(start.to(unit.device)).Q
    for _ in range(_ITERATIONS):
        directions = torch.linalg.qr(sample.T @ (sample @ directions)).Q
    return directions
