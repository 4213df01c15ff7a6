"""Whether content knows anything of behaviour: what a user learns of the data before any training.

Each item's nearest neighbours in a modality are compared with those in the others (do pictures and texts tell the same
story?) and with the clicks (were the two items chosen by the same users?), and the latter with the same neighbours
after the items have changed places at random, which says what chance alone would give.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.graphs.agreement_words import is_saturated
from damrs_dgl.graphs.sampled_neighbors import affordable_sample, sample_items, sampled_neighbors
from damrs_dgl.graphs.similarity import CosineTable

_PERMUTATIONS = 5
_GATHERED = 2**22  # users of items that are looked at in one go
Edges = tuple[np.ndarray, np.ndarray]  # items and their neighbours, int64 [E]


@dataclass(frozen=True)
class ContentAgreement:
    """What one modality's content is like and how it goes with the rest.

    Attributes
    ----------
    mean_similarity: mean cosine over all pairs of items that have it.
    missing: items without a usable vector.  duplicated: items whose very vector another item has, too.
    largest_duplicate: how many items share the vector that most items share (1: every vector is one item's own).
    sampled_items: whose neighbours were looked at; ``is_sample`` where these are not all that have the content.
    k: neighbours looked at for each.
    co_consumed: share of the edges between items with training users whose two items some training user has both;
        None where there is no such edge.
    co_consumed_by_chance: the same after the items have changed places, mean over permutations; ``chance_spread`` is
        their standard deviation.
    shared, shared_by_chance, shared_spread: the same of the mean cosine of the two items' users (common ones over the
        root of the product of how many each has), which tells where nearly any two items have a user in common.
    lift: co_consumed over its chance, or shared over its own where more than half share a user by chance; None where
        that is 0.
    overlap: {other modality: mean share of an item's k neighbours that are its neighbours in the other, too}.
    overlap_by_chance: what independent lists would share, k / (items - 1).
    """

    mean_similarity: float
    missing: int
    duplicated: int
    largest_duplicate: int
    sampled_items: int
    is_sample: bool
    k: int
    co_consumed: float | None
    co_consumed_by_chance: float | None
    chance_spread: float | None
    shared: float | None
    shared_by_chance: float | None
    shared_spread: float | None
    lift: float | None
    overlap_by_chance: float
    overlap: dict[str, float] = field(default_factory=dict)


def content_agreement(
    dataset: MultimodalDataset,
    *,
    k: int = 10,
    sample: int | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, ContentAgreement]:
    """Look at every modality of a data set; {modality: what was found}.

    Parameters
    ----------
    k: neighbours of each item; fewer where there are not so many items.
    sample: items whose neighbours are looked at; by default as many as some seconds allow, all of a small catalogue.
    seed: of the sample and of the permutations.
    progress: called with (items done, items to do, modality).

    The features are read a few times in blocks; memory is O(sample (D + k) + block).
    """
    generator = torch.Generator().manual_seed(seed)
    k = max(1, min(k, dataset.num_items - 1))
    width = max((part.dim for part in dataset.features.values()), default=1)
    size = sample if sample is not None else affordable_sample(dataset.num_items, width)
    with_content = _with_any_content(dataset)
    chosen = sample_items(with_content, size, generator)
    is_sample = len(chosen) < int(with_content.sum())
    users_of = users_of_items(dataset)
    neighbors: dict[str, Tensor] = {}
    found: dict[str, ContentAgreement] = {}
    for name, features in dataset.features.items():
        table = CosineTable(features, device=device)
        on_block = None if progress is None else _labelled(progress, name)
        neighbors[name] = sampled_neighbors(table, chosen, k, progress=on_block)
        found[name] = _of_modality(table, chosen, neighbors[name], users_of, is_sample, seed)
    for name, agreement in found.items():
        agreement.overlap.update(
            {other: overlap(neighbors[name], neighbors[other]) for other in found if other != name}
        )
    return found


def overlap(one: Tensor, other: Tensor) -> float:
    """Mean share of a row's neighbours that stand in the same row of the other list, too; int64 [S, k], -1: none.

    Over the rows that have neighbours in both; NaN where there is none.
    """
    both = (one >= 0).any(1) & (other >= 0).any(1)
    left, right = one[both], other[both]
    shared = ((left[:, :, None] == right[:, None, :]) & (left >= 0)[:, :, None]).any(2).sum(1)
    return float((shared / (left >= 0).sum(1)).mean())


def shared_users(edges: Edges, users_of: sparse.csr_matrix) -> tuple[float, float]:
    """Share of the edges whose two items some user has both, and the mean cosine of their users.

    `users_of` [I, U] holds ones, in every row that an edge names. NaN without edges.
    """
    items, others = edges
    degrees = np.diff(users_of.indptr).astype(np.int64)
    reached = np.cumsum(degrees[items] + degrees[others])
    hits, cosines, start = 0, 0.0, 0
    while start < len(items):
        before = reached[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(reached, before + _GATHERED, side="right")))
        one, other = items[start:stop], others[start:stop]
        common = np.asarray(users_of[one].multiply(users_of[other]).sum(axis=1)).ravel()
        hits += int(np.count_nonzero(common))
        cosines += float((common / np.sqrt(degrees[one] * degrees[other])).sum())
        start = stop
    return (hits / len(items), cosines / len(items)) if len(items) else (float("nan"), float("nan"))


def _of_modality(
    table: CosineTable,
    chosen: Tensor,
    neighbors: Tensor,
    users_of: sparse.csr_matrix,
    is_sample: bool,
    seed: int,
) -> ContentAgreement:
    present = table.present.cpu()
    sizes = torch.bincount(table.duplicate_of.cpu()[present], minlength=1)
    k = neighbors.shape[1]
    edges = trained_edges(chosen, neighbors, users_of)
    nothing = (None, None, None)
    co_consumed, shared = _against_chance(edges, users_of, seed) if len(edges[0]) else (nothing, nothing)
    value, chance, _ = shared if is_saturated(co_consumed[1]) else co_consumed
    return ContentAgreement(
        mean_similarity=table.mean,
        missing=int((~present).sum()),
        duplicated=int(sizes[sizes > 1].sum()),
        largest_duplicate=int(sizes.max()),
        sampled_items=int(present[chosen].sum()),
        is_sample=is_sample,
        k=k,
        co_consumed=co_consumed[0],
        co_consumed_by_chance=co_consumed[1],
        chance_spread=co_consumed[2],
        shared=shared[0],
        shared_by_chance=shared[1],
        shared_spread=shared[2],
        lift=value / chance if value is not None and chance else None,
        overlap_by_chance=k / max(table.num_items - 1, 1),
    )


def trained_edges(chosen: Tensor, neighbors: Tensor, users_of: sparse.csr_matrix) -> Edges:
    """The edges between items that have training users: the others can have none in common."""
    items, others = (part.numpy() for part in (chosen[:, None].expand_as(neighbors).flatten(), neighbors.flatten()))
    trained = np.diff(users_of.indptr) > 0
    kept = (others >= 0) & trained[items] & trained[others]
    return items[kept], others[kept]


def _against_chance(edges: Edges, users_of: sparse.csr_matrix, seed: int) -> list[tuple[float, float, float]]:
    """Each measure of `shared_users`, and its mean and spread after the trained items have changed places at random."""
    random = np.random.default_rng(seed)
    trained = np.flatnonzero(np.diff(users_of.indptr))
    chances = []
    for _ in range(_PERMUTATIONS):
        places = np.arange(users_of.shape[0])
        places[trained] = random.permutation(trained)
        chances.append(shared_users((places[edges[0]], places[edges[1]]), users_of))
    means, spreads = np.mean(chances, axis=0), np.std(chances, axis=0, ddof=1)
    return list(zip(shared_users(edges, users_of), means.tolist(), spreads.tolist(), strict=True))


def users_of_items(dataset: MultimodalDataset) -> sparse.csr_matrix:
    """Ones where a training user [I, U] has the item."""
    return dataset.train.matrix(dataset.num_users, dataset.num_items, np.int32).T.tocsr()


def _with_any_content(dataset: MultimodalDataset) -> Tensor:
    missing = np.ones(dataset.num_items, dtype=bool)
    for features in dataset.features.values():
        missing &= features.missing
    return torch.from_numpy(~missing)


def _labelled(progress: Callable[[int, int, str], None], name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(done, total, name)
