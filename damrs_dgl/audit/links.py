"""Item-item links that a plain graph would have and the run's graph has not, each with the rule that cut it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.graphs.behavior import behavior_neighbors
from damrs_dgl.graphs.keys import GraphKeys
from damrs_dgl.graphs.schema import BEHAVIOR, ITEM, item_relations
from damrs_dgl.graphs.semantic import plain_neighbors
from damrs_dgl.graphs.similarity import CosineTable
from damrs_dgl.progress import OnProgress, silent

OWN_MEAN = "below the mean of its own modality (Eq. 1)"
OTHER_MEAN = "below the mean of another modality (Eq. 1)"
MIN_COUNT = "too few users chose both (Eq. 2)"
NOT_FOUND = "not among the candidates of the approximate search"


@dataclass(frozen=True)
class CutLinks:
    """Links item -> neighbour; arrays [n], ordered by relation, item and neighbour.

    relation: the modality, or `behavior`.  rule: what cut it.  vetoed_by: the relation whose value was too low.
    similarity: the link's cosine in `relation`; for `behavior` the weight by which neighbours are chosen.
    value, threshold: what was compared in `vetoed_by`; NaN where nothing was.
    """

    item: np.ndarray
    neighbor: np.ndarray
    relation: np.ndarray
    rule: np.ndarray
    vetoed_by: np.ndarray
    similarity: np.ndarray
    value: np.ndarray
    threshold: np.ndarray

    def __len__(self) -> int:
        return len(self.item)


def cut_links(
    dataset: MultimodalDataset, graph: dgl.DGLGraph, keys: GraphKeys, *, progress: OnProgress = silent
) -> CutLinks:
    """What Eq. 1 and 2 took from the k nearest neighbours of each item; keys: what the graph was built by.

    A link that is below the means of several modalities is told by the one that it falls short of most. Links beyond an
    item's k nearest were no candidates and are not told. At most I (M k + behavior_k) rows.
    """
    parts = []
    tables = {name: CosineTable(features) for name, features in dataset.features.items()}
    plain = plain_neighbors(dataset.features, keys, k=keys.k, progress=progress)
    for relation in item_relations(graph):
        if relation == BEHAVIOR:
            together = behavior_neighbors(
                dataset.train,
                dataset.num_users,
                dataset.num_items,
                k=keys.behavior_k,
                min_count=1,
                similarity=keys.behavior_similarity,
                progress=progress,
            )
            lost = _lost(together.items, together.neighbors, graph, relation)
            found = (together.items[lost], together.neighbors[lost], together.weights[lost])
            parts.append(_behavior_links(*found, keys.behavior_min_count))
        else:
            items, neighbors = plain[relation]
            lost = _lost(items, neighbors, graph, relation)
            parts.append(_content_links(items[lost], neighbors[lost], relation, tables))
    if not parts:
        empty = np.zeros(0)
        return CutLinks(*(empty.astype(np.int64),) * 2, *(empty.astype(object),) * 3, *(empty,) * 3)
    return CutLinks(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _lost(items: Tensor, neighbors: Tensor, graph: dgl.DGLGraph, relation: str) -> Tensor:
    """Bool: the links between two items that the graph has not."""
    sources, targets = graph.edges(etype=(ITEM, relation, ITEM))
    num_items = graph.num_nodes(ITEM)
    kept = torch.isin(items * num_items + neighbors, targets.long() * num_items + sources.long())
    return ~kept & (items != neighbors)


def _behavior_links(items: Tensor, neighbors: Tensor, weights: Tensor, min_count: int) -> tuple[np.ndarray, ...]:
    count = len(items)
    names = np.full(count, BEHAVIOR, dtype=object)
    return (
        *(items.numpy(), neighbors.numpy(), names, np.full(count, MIN_COUNT, dtype=object), names),
        *(weights.double().numpy(), np.full(count, np.nan), np.full(count, float(min_count))),
    )


def _content_links(
    items: Tensor, neighbors: Tensor, relation: str, tables: dict[str, CosineTable]
) -> tuple[np.ndarray, ...]:
    names = list(tables)
    cosine = torch.stack([table.of_pairs(items, neighbors) for table in tables.values()])
    reached = torch.stack(
        [table.reaches_mean(values, items, neighbors) for table, values in zip(tables.values(), cosine, strict=True)]
    ).bool()
    means = torch.tensor([table.mean for table in tables.values()])[:, None]
    shortfall = torch.where(reached, -torch.inf, (means - cosine).double())
    worst = shortfall.argmax(0)
    vetoed = ~reached.all(0)
    rule = np.where(worst.numpy() == names.index(relation), OWN_MEAN, OTHER_MEAN).astype(object)
    rule[~vetoed.numpy()] = NOT_FOUND
    by = np.array(names, dtype=object)[worst.numpy()]
    by[~vetoed.numpy()] = ""
    value = torch.where(vetoed, cosine.gather(0, worst[None])[0].double(), torch.nan).numpy()
    threshold = torch.where(vetoed, means[worst, 0].double(), torch.nan).numpy()
    own = cosine[names.index(relation)].double().numpy()
    count = len(items)
    return items.numpy(), neighbors.numpy(), np.full(count, relation, dtype=object), rule, by, own, value, threshold
