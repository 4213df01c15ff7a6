"""Which pictures, texts or sounds are likely another item's: modalities that disagree with the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from damrs_dgl.audit.interaction_scores import rank_share
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.graphs.behavior import behavior_neighbors
from damrs_dgl.graphs.keys import GraphKeys
from damrs_dgl.graphs.schema import BEHAVIOR
from damrs_dgl.graphs.semantic import plain_neighbors
from damrs_dgl.graphs.similarity import CosineTable
from damrs_dgl.progress import OnProgress, silent


@dataclass(frozen=True)
class ContentView:
    """How an item's content fits what else is known of it, by modality; [I] each, NaN where nothing can be said.

    agreement: {modality: {relation: mean cosine in the modality between the item and its neighbours in the relation}},
        minus the mean over all items of the same, in standard deviations; the relations are the other modalities and
        `behavior`.
    suspicion: {modality: in [0, 1]}: the share of the items that have it whose content fits better.
    odd: the modality [I] that fits worst, "" where fewer than two can be compared.
    """

    agreement: Mapping[str, Mapping[str, np.ndarray]]
    suspicion: Mapping[str, np.ndarray]
    odd: np.ndarray


def view_content(
    dataset: MultimodalDataset, keys: GraphKeys | None = None, *, progress: OnProgress = silent
) -> ContentView:
    """Compare each modality's content with the neighbours that the other modalities, and the users, give an item.

    keys: how many neighbours, and how they are searched; by default as [graphs] has it.

    The neighbours are the plain k nearest of each modality and the k most often chosen by the same users (by cosine, at
    least two of them). The rule of Eq. 1 is not applied: it has already let one modality prune the other's edges. A
    swapped picture is unlike both the items with a similar text and those that the same users chose; a swapped text
    makes the picture unlike the former only: it is the users' choices that tell which of two is wrong.
    """
    keys = keys or GraphKeys()
    found = plain_neighbors(dataset.features, keys, k=keys.k + 1, progress=progress)
    sizes = (dataset.num_users, dataset.num_items)
    chosen = behavior_neighbors(dataset.train, *sizes, k=keys.k, similarity="cosine", progress=progress)
    neighbors = {**found, BEHAVIOR: (chosen.items, chosen.neighbors)}
    agreement: dict[str, dict[str, np.ndarray]] = {}
    fits: dict[str, np.ndarray] = {}
    for modality, features in dataset.features.items():
        table = CosineTable(features)
        agreement[modality] = {}
        weights = []
        for relation, pairs in neighbors.items():
            if relation != modality:
                standardised, weight = _against_chance(_mean_cosine(table, *pairs), table.mean)
                agreement[modality][relation] = standardised
                weights.append(weight)
        fits[modality] = combined(list(agreement[modality].values()), weights)
    suspicion = {modality: _less_than_others(fit) for modality, fit in fits.items()}
    return ContentView(agreement, suspicion, _odd(fits, dataset.num_items))


def combined(agreement: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """One figure of fit from a modality's agreement with each relation: their weighted mean over those that are known.

    The weights are `_against_chance`'s: a relation whose neighbours are hardly more alike than any two items has hardly
    a say. NaN where none is known.
    """
    values, shares = np.stack(list(agreement)), np.maximum(np.asarray(weights), 1e-6)[:, None]
    known = np.isfinite(values)
    total = (np.where(known, values, 0) * shares).sum(0)
    return np.where(known.any(0), total / np.maximum((known * shares).sum(0), 1e-12), np.nan)


def _mean_cosine(table: CosineTable, items: Tensor, neighbors: Tensor) -> np.ndarray:
    """The mean cosine of each item to its neighbours that are others and have the modality; NaN without one."""
    valid = (items != neighbors) & table.present[items].cpu() & table.present[neighbors].cpu()
    items, neighbors = items[valid], neighbors[valid]
    total = torch.zeros(table.num_items, dtype=torch.float64)
    total.index_add_(0, items, table.of_pairs(items, neighbors).double())
    count = torch.bincount(items, minlength=table.num_items)
    return torch.where(count > 0, total / count.clamp(min=1), torch.nan).numpy()


def _against_chance(values: np.ndarray, chance: float) -> tuple[np.ndarray, float]:
    """The values as z-scores, and how many standard deviations their mean lies above `chance` (0 if below).

    `chance`: the mean cosine of two random items, around which that of a foreign picture lies. The second figure is the
    weight of a linear discriminant between own and foreign content (independent relations, equal spread).
    """
    known = np.isfinite(values)
    if not known.any():
        return values, 0.0
    mean, spread = float(values[known].mean()), float(values[known].std())
    spread = spread if spread > 0 else 1.0
    return (values - mean) / spread, max(0.0, (mean - chance) / spread)


def _less_than_others(fit: np.ndarray) -> np.ndarray:
    found = np.full(len(fit), np.nan)
    known = np.isfinite(fit)
    found[known] = rank_share(-fit[known])
    return found


def _odd(fits: Mapping[str, np.ndarray], num_items: int) -> np.ndarray:
    """The name of the modality with the worst fit, "" where it has no rival."""
    names = np.array([*fits, ""], dtype=object)
    if not fits:
        return np.full(num_items, "", dtype=object)
    values = np.stack(list(fits.values()))
    worst = np.where(np.isfinite(values), values, np.inf).argmin(0)
    rivals = np.isfinite(values).sum(0) > 1
    return names[np.where(rivals, worst, len(fits))]
