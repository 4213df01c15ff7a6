"""Item vectors at several points of a system: where they lie, and whether neighbours are chosen together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.parts import ModalityFeatures
from damrs_dgl.graphs.agreement import shared_users, trained_edges, users_of_items
from damrs_dgl.graphs.sampled_neighbors import sample_items, sampled_neighbors
from damrs_dgl.graphs.similarity import CosineTable

SHOWN_ITEMS = 1200  # of a cloud: t-SNE takes seconds, and more dots would hide each other
NEIGHBOURS = 10


@dataclass(frozen=True)
class VectorView:
    """Item vectors at one point of a system, in two dimensions.

    name, meaning: what a reader calls it, and what exactly the vectors are.
    points: float [n, 2] by t-SNE of the vectors at length 1.  popular: bool [n], the most clicked fifth.
    mean_cosine: of all pairs shown.  uniformity: log of the mean of exp(-2 distance^2) over pairs of vectors of length
        1 (Wang and Isola, 2020); the lower, the more evenly they fill the sphere.
    co_consumed: share of the ten nearest neighbours that share a training user with the item; None where none has one.
    """

    name: str
    meaning: str
    points: np.ndarray
    popular: np.ndarray
    mean_cosine: float
    uniformity: float
    co_consumed: float | None


def vector_views(
    named: Sequence[tuple[str, str, Tensor]], dataset: MultimodalDataset, *, seed: int
) -> list[VectorView]:
    """A view of each (name, meaning, vectors [I, d]) on the same sample of items that training users have chosen."""
    counts = torch.bincount(dataset.train.items, minlength=dataset.num_items)
    chosen = sample_items(counts > 0, SHOWN_ITEMS, torch.Generator().manual_seed(seed))
    if len(chosen) < 5:
        return []
    popular = (counts[chosen] >= torch.quantile(counts[chosen].double(), 0.8)).numpy()
    users_of = users_of_items(dataset)
    views = []
    for name, meaning, vectors in named:
        table = np.ascontiguousarray(vectors.detach().cpu().float().numpy())
        units = normalize(torch.from_numpy(table)[chosen], dim=1)
        squares = torch.pdist(units).square()
        features = ModalityFeatures(table, np.asarray(~table.any(axis=1)))
        near = sampled_neighbors(CosineTable(features), chosen, min(NEIGHBOURS, dataset.num_items - 1))
        edges = trained_edges(chosen, near, users_of)
        views.append(
            VectorView(
                name=name,
                meaning=meaning,
                points=_in_two_dimensions(units.numpy(), seed),
                popular=popular,
                mean_cosine=float((1 - squares / 2).mean()),
                uniformity=float((-2 * squares).exp().mean().log()),
                co_consumed=shared_users(edges, users_of)[0] if len(edges[0]) else None,
            )
        )
    return views


def _in_two_dimensions(units: np.ndarray, seed: int) -> np.ndarray:
    """t-SNE, started from the two main axes so that clouds of related vectors lie alike."""
    from sklearn.manifold import TSNE

    start = "pca" if units.shape[1] >= 2 else "random"
    perplexity = min(30.0, (len(units) - 1) / 3)
    method = TSNE(init=start, perplexity=perplexity, random_state=seed, n_jobs=torch.get_num_threads())
    return np.asarray(method.fit_transform(units), dtype=np.float64)
