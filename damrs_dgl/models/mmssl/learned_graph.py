"""User-item graphs that are learned from content: each user's most similar items among those not yet met."""

from __future__ import annotations

import torch
from torch import Tensor

from damrs_dgl.dgl_backend import dgl
from damrs_dgl.graphs.schema import INTERACTED_BY, INTERACTS, ITEM, USER
from damrs_dgl.models.layers.propagation import BipartiteConvolution
from damrs_dgl.selection import largest
from damrs_dgl.user_items import UserItems

_BLOCK_VALUES = 2**22  # similarities at a time: 16 MiB of float32
NONE = -1  # an edge that does not exist


@torch.no_grad()
def nearest_unseen(user_emb: Tensor, item_emb: Tensor, seen: UserItems, count: int) -> Tensor:
    """The `count` items of the largest dot products among those a user has not met, int32 [U, count].

    NONE where too few are left, and for a user whose vector is zero, of whom content says nothing. Shapes: [U, d],
    [I, d]. O(|U| |I| d), in blocks of users.
    """
    found = torch.full((len(user_emb), count), NONE, dtype=torch.int32, device=user_emb.device)
    for users in torch.arange(len(user_emb), device=user_emb.device).split(max(1, _BLOCK_VALUES // len(item_emb))):
        block = user_emb[users]
        scores = block @ item_emb.T
        scores[seen.pairs_of(users)] = -torch.inf
        values, items = largest(scores, count)
        known = (values > -torch.inf) & block.any(dim=1, keepdim=True)
        found[users] = torch.where(known, items, NONE).int()
    return found


def learned_convolution(edges: Tensor, num_items: int, device: torch.device) -> BipartiteConvolution:
    """The step over a learned graph, receivers scaled by d^-1/2; `edges` int32 [U, count] as `nearest_unseen` gives."""
    exists = edges != NONE
    users = exists.nonzero()[:, 0].int().cpu()
    items = edges[exists].cpu()
    graph = dgl.heterograph(
        {(USER, INTERACTS, ITEM): (users, items), (ITEM, INTERACTED_BY, USER): (items, users)},
        {USER: len(edges), ITEM: num_items},
        idtype=torch.int32,
    )
    return BipartiteConvolution(graph, device, normalization="target_sqrt")
