"""User-item graphs that are learned from content: each user's most similar items among those not yet met."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from damrs_dgl.dgl_backend import dgl
from damrs_dgl.graphs.schema import INTERACTED_BY, INTERACTS, ITEM, USER
from damrs_dgl.models.layers.propagation import BipartiteConvolution
from damrs_dgl.selection import largest

_BLOCK_VALUES = 2**22  # similarities at a time: 16 MiB of float32
NONE = -1  # an edge that does not exist


class SeenItems(nn.Module):
    """The training items of each user, to be looked up for blocks of users."""

    offsets: Tensor
    items: Tensor

    def __init__(self, graph: dgl.DGLGraph, device: torch.device) -> None:
        super().__init__()
        items, users = (ids.long() for ids in graph[INTERACTED_BY].edges())
        self.num_items = graph.num_nodes(ITEM)
        counts = torch.bincount(users, minlength=graph.num_nodes(USER))
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        self.register_buffer("offsets", offsets.to(device), persistent=False)
        self.register_buffer("items", items[users.argsort(stable=True)].to(device), persistent=False)

    def of(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """All training items of `users` int64 [b] as (row in `users`, item), both int64 [n]."""
        starts = self.offsets[users]
        counts = self.offsets[users + 1] - starts
        rows = torch.repeat_interleave(counts)
        before = counts.cumsum(0) - counts  # pairs of earlier rows
        return rows, self.items[torch.arange(len(rows), device=rows.device) + (starts - before)[rows]]

    def matrix(self, users: Tensor, dtype: torch.dtype) -> Tensor:
        """Their rows of the training matrix, entries 0 and 1, [b, I]."""
        rows, items = self.of(users)
        matrix = torch.zeros(len(users), self.num_items, dtype=dtype, device=users.device)
        matrix[rows, items] = 1
        return matrix


@torch.no_grad()
def nearest_unseen(user_emb: Tensor, item_emb: Tensor, seen: SeenItems, count: int) -> Tensor:
    """The `count` items of the largest dot products among those a user has not met, int32 [U, count].

    NONE where too few are left, and for a user whose vector is zero, of whom content says nothing. Shapes: [U, d],
    [I, d]. O(|U| |I| d), in blocks of users.
    """
    found = torch.full((len(user_emb), count), NONE, dtype=torch.int32, device=user_emb.device)
    for users in torch.arange(len(user_emb), device=user_emb.device).split(max(1, _BLOCK_VALUES // len(item_emb))):
        block = user_emb[users]
        scores = block @ item_emb.T
        scores[seen.of(users)] = -torch.inf
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
