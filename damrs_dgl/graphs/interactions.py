"""The two user-item relations, one per direction of the message, from the training split alone."""

from __future__ import annotations

from torch import Tensor

from damrs_dgl.data.parts import Interactions
from damrs_dgl.graphs.schema import INTERACTED_BY, INTERACTS, ITEM, USER

EdgeLists = dict[tuple[str, str, str], tuple[Tensor, Tensor]]


def interaction_edges(train: Interactions) -> EdgeLists:
    """{(source type, relation, target type): (sources, targets)} int32, ordered by target and then source."""
    return {
        (USER, INTERACTS, ITEM): _by_target(train.users, train.items),
        (ITEM, INTERACTED_BY, USER): _by_target(train.items, train.users),
    }


def _by_target(sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """One sort of the pairs as single numbers, in place: no permutation is made, and the ids shrink to half."""
    num_sources = int(sources.max()) + 1 if len(sources) else 1
    keys = targets * num_sources + sources
    keys.numpy().sort()
    targets = keys // num_sources
    return keys.sub_(targets * num_sources).int(), targets.int()
