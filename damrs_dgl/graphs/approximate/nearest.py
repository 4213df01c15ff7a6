"""Approximate nearest rows by faiss: the only place that imports it, and only when it is asked for.

An inverted file (Jegou, Douze and Schmid, "Product quantization for nearest neighbor search", TPAMI 33(1), 2011, with
whole rows instead of codes): k-means puts the rows into cells, and a query looks into the cells nearest to it. The time
grows with |I| sqrt(|I|), the memory with |I|. Clustering is seeded and a query's result does not depend on the other
queries, so the result is the same from run to run; another number of threads or another processor can change the last
bits of an inner product, and with them who is found in the last place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from damrs_dgl.errors import RecipeError

_SEED = 0
_ROWS_PER_CELL = 64  # that k-means looks at
_QUERIES = 8192  # at a time
_CELLS_SEARCHED = 64


def load_faiss() -> Any:
    """The module. Raises RecipeError where it is not installed or does not load."""
    try:
        import faiss
    except ImportError as error:
        raise RecipeError(
            f"the approximate search needs faiss ({error})",
            where="graphs.candidates",
            fix='pip install "damrs-dgl[scale]", or write graphs.candidates = "exact" or "projected"',
        ) from error
    return faiss


def nearest_rows(rows: Tensor, k: int, *, cells_searched: int = _CELLS_SEARCHED) -> Iterator[tuple[int, Tensor]]:
    """For each row its (about) k nearest rows by inner product, itself among them, in chunks.

    Parameters
    ----------
    rows: float32 [n, d].
    cells_searched: of about 4 sqrt(n) cells; more finds more and takes longer. All of them: the search is exact.

    Yields (start, int64 [m, k]) in order; -1 where fewer were found.
    """
    faiss = load_faiss()
    values = np.ascontiguousarray(rows.cpu().numpy())
    count, width = values.shape
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(torch.get_num_threads())
    try:
        cells = max(1, min(round(4 * count**0.5), count // 39))  # k-means asks for 39 rows a cell
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, cells, faiss.METRIC_INNER_PRODUCT)
        index.cp.seed, index.cp.max_points_per_centroid, index.cp.min_points_per_centroid = _SEED, _ROWS_PER_CELL, 1
        index.train(values)
        index.add(values)
        index.nprobe = min(cells, cells_searched)
        for start in range(0, count, _QUERIES):
            yield start, torch.from_numpy(index.search(values[start : start + _QUERIES], min(k, count))[1])
    finally:
        faiss.omp_set_num_threads(before)
