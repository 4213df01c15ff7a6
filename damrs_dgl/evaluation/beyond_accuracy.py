"""What a recommender is like beside its accuracy: how much of the catalogue it shows, how evenly, how new, how varied.

Each is a function of the ranked lists, the catalogue and K, and gives one number for the whole or one for every user
(NaN where a user has none). Lists are those of the users that accuracy is averaged over. d_i is the number of training
interactions of item i, c_i how often it stands in the first K of a list, I the number of items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from damrs_dgl.evaluation.lists import Catalogue, RankedLists, UnitContent

Metric = Callable[[RankedLists, Catalogue, int], "Tensor | float | None"]

# Numbers held at a time: list entries of a block of users, and sums of content vectors (float32, 64 MiB).
_MAX_BLOCK_NUMBERS = 2**24


def coverage(lists: RankedLists, catalogue: Catalogue, k: int) -> float:
    """Catalogue coverage@K: the share of all items that stand in anybody's first K, |{i: c_i > 0}| / I.

    Source: Ge, Delgado-Battenfeld, Jannach, Beyond accuracy: evaluating recommender systems by coverage and
    serendipity, RecSys 2010.
    """
    return float((recommendation_counts(lists, catalogue, k) > 0).double().mean())


def gini(lists: RankedLists, catalogue: Catalogue, k: int) -> float:
    """Gini index@K of how often items are recommended: 0 all equally often, 1 one item alone.

    With c sorted ascending and j from 1: sum_j (2 j - I - 1) c_(j) / ((I - 1) sum_j c_j). Items never shown count.
    Source: Shani, Gunawardana, Evaluating recommendation systems, Recommender Systems Handbook, 2011.
    """
    counts = recommendation_counts(lists, catalogue, k).double().sort().values
    total, size = float(counts.sum()), len(counts)
    if size < 2 or total == 0:
        return 0.0
    weights = 2 * torch.arange(1, size + 1, dtype=torch.float64) - size - 1
    return float((weights * counts).sum()) / ((size - 1) * total)


def novelty(lists: RankedLists, catalogue: Catalogue, k: int) -> Tensor:
    """Novelty@K of each user, in bits: the mean over the listed items of -log2(d_i / sum_j d_j); float64 [n].

    An item that nobody has counts as one that a single user has, for which the formula gives no number. Source: the
    expected free discovery of Vargas, Castells, Rank and relevance in novelty and diversity metrics, RecSys 2011.
    """
    degrees = catalogue.popularity.double()
    bits = degrees.sum().clamp(min=1).log2() - degrees.clamp(min=1).log2()
    return _mean_of_items(lists, bits, k)


def average_popularity(lists: RankedLists, catalogue: Catalogue, k: int) -> Tensor:
    """Average recommendation popularity@K of each user: the mean of d_i over the listed items; float64 [n].

    Source: Yin, Cui, Li, Yao, Chen, Challenging the long tail recommendation, VLDB 2012.
    """
    return _mean_of_items(lists, catalogue.popularity.double(), k)


def diversity(lists: RankedLists, catalogue: Catalogue, k: int) -> Tensor | None:
    """Intra-list diversity@K of each user by content: 1 - the mean cosine of all pairs of listed items; float64 [n].

    The mean over the modalities that give the user a number: those in which two or more listed items have content;
    items without are left out. None where no item has content at all. Of n unit vectors with sum s the mean cosine over
    pairs is (|s|^2 - n) / (n (n - 1)), so that no pair is looked at by itself.
    Source: Ziegler, McNee, Konstan, Lausen, Improving recommendation lists through topic diversification, WWW 2005.
    """
    if not catalogue.content:
        return None
    by_modality = torch.stack([_modality_diversity(lists.items[:, :k], c) for c in catalogue.unit_content.values()])
    return torch.nanmean(by_modality, dim=0)


BEYOND_ACCURACY: Final[Mapping[str, Metric]] = {
    "coverage": coverage,
    "gini": gini,
    "novelty": novelty,
    "average_popularity": average_popularity,
    "diversity": diversity,
}


def recommendation_counts(lists: RankedLists, catalogue: Catalogue, k: int) -> Tensor:
    """How often each item stands in the first K of a list: int64 [I]."""
    counts = torch.zeros(catalogue.num_items, dtype=torch.long)
    for items in lists.items[:, :k].split(_users_in_block(k)):
        counts += torch.bincount(items[items >= 0], minlength=catalogue.num_items)
    return counts


def mean_over_users(values: Tensor) -> float | None:
    """The mean of float64 [n] over the users that have a value; None where nobody has one."""
    known = values[~values.isnan()]
    return float(known.double().mean()) if len(known) else None


def _users_in_block(width: int) -> int:
    return max(1, _MAX_BLOCK_NUMBERS // max(width, 1))


def _mean_of_items(lists: RankedLists, values: Tensor, k: int) -> Tensor:
    """The mean of `values` float64 [I] over the first K of each list: float64 [n], NaN for an empty one."""
    means = []
    for items in lists.items[:, :k].split(_users_in_block(k)):
        listed = items >= 0
        found = torch.where(listed, values[items.clamp(min=0)], 0.0)
        means.append(found.sum(1) / listed.sum(1))
    return torch.cat(means) if means else torch.empty(0, dtype=torch.float64)


def _modality_diversity(items: Tensor, content: UnitContent) -> Tensor:
    """`diversity` of lists int64 [n, K] in one modality."""
    parts = []
    dim = content.lookup(items.new_zeros(1))[0].shape[1]
    for block in items.split(max(1, _MAX_BLOCK_NUMBERS // (max(dim, 1) * max(items.shape[1], 1)))):
        listed = (block >= 0) & content.present[block.clamp(min=0)]
        table, rows = content.lookup(block.clamp(min=0))
        sums = embedding_bag(rows, table, mode="sum", per_sample_weights=listed.to(table.dtype))
        count = listed.sum(1).double()
        pairs = count * (count - 1)
        cosine = (sums.double().square().sum(1) - count) / pairs
        parts.append(torch.where(pairs > 0, (1 - cosine).clamp(min=0), torch.nan))  # below zero by rounding alone
    return torch.cat(parts) if parts else torch.empty(0, dtype=torch.float64)
