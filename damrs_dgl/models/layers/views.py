"""Thinned user-item graphs (Wu et al., SIGIR 2021), and the mean of layers over a sequence of graphs.

A thinned graph keeps some of the observed pairs, the same ones in both directions, and is normalised by the degrees
that are left: by node-side scalings, so that no edge carries a weight.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from damrs_dgl.dgl_backend import dgl
from damrs_dgl.graphs.schema import INTERACTED_BY, INTERACTS, ITEM, USER
from damrs_dgl.models.layers.propagation import LinearMap, Step, convolve, inverse_sqrt, uses_dgl
from damrs_dgl.models.layers.sparse import csr_from_lists


class ObservedPairs:
    """The user-item pairs of a graph, listed once by user and once by item, to make thinned graphs from.

    Attributes
    ----------
    users, items: int32 [E], pair by pair, ascending in the user.
    item_order: int64 [E], the positions of the pairs when they are listed by item.
    users_by_item: int32 [E], `users` in that order.
    """

    def __init__(self, graph: dgl.DGLGraph, device: torch.device) -> None:
        users, items = graph.edges(etype=INTERACTS)
        user_order = users.argsort(stable=True)
        self.num_users, self.num_items = graph.num_nodes(USER), graph.num_nodes(ITEM)
        self.users, self.items = (ids[user_order].int().to(device) for ids in (users, items))
        self.item_order = self.items.argsort(stable=True)
        self.users_by_item = self.users[self.item_order]

    def __len__(self) -> int:
        return len(self.users)

    def unpopularity(self) -> Tensor:
        """(d_u d_i)^-1/2 of each pair, float32 [E]: high where both sides have few pairs."""
        user_scale = inverse_sqrt(torch.bincount(self.users, minlength=self.num_users))
        item_scale = inverse_sqrt(torch.bincount(self.items, minlength=self.num_items))
        return user_scale[self.users] * item_scale[self.items]


def drop_edges(
    pairs: ObservedPairs, share: float, generator: torch.Generator, *, weights: Tensor | None = None
) -> Tensor:
    """Which pairs stay, bool [E], when `share` of them, rounded to whole pairs, is dropped.

    With `weights` (above 0, [E]) the pairs that stay are drawn one by one without replacement, each with probability
    proportional to its weight among those left; without, uniformly. Drawn as the least of exponential variables with
    the weights as rates (Efraimidis, Spirakis, Information Processing Letters 97 (2006), 181).
    """
    arrival = torch.empty(len(pairs), device=generator.device).exponential_(generator=generator)
    if weights is not None:
        arrival /= weights.to(arrival.device)
    kept = torch.zeros(len(pairs), dtype=torch.bool, device=arrival.device)
    kept[arrival.topk(len(pairs) - round(len(pairs) * share), largest=False).indices] = True
    return kept.to(pairs.users.device)


def drop_nodes(pairs: ObservedPairs, share: float, generator: torch.Generator) -> Tensor:
    """Which pairs stay, bool [E], when `share` of the users and of the items leave with all their pairs."""
    device = pairs.users.device
    stays = []
    for count in (pairs.num_users, pairs.num_items):
        order = torch.randperm(count, generator=generator, device=generator.device)
        kept = torch.ones(count, dtype=torch.bool, device=device)
        kept[order[: round(count * share)].to(device)] = False
        stays.append(kept)
    return stays[0][pairs.users] & stays[1][pairs.items]


class ThinnedGraph:
    """One step over the pairs that are kept: d_target^-1/2 A d_source^-1/2 both ways, with their own degrees.

    Called with users [U, d] and items [I, d] it returns the same shapes; it is symmetric, has no gradient of its own
    (`mean_of_layers` gives it one) and costs O(E d). A node that has lost its pairs receives zeros.
    """

    def __init__(self, pairs: ObservedPairs, kept: Tensor) -> None:
        users, items = pairs.users[kept], pairs.items[kept]
        user_degrees = torch.bincount(users, minlength=pairs.num_users)
        item_degrees = torch.bincount(items, minlength=pairs.num_items)
        self.num_edges = len(users)
        self._user_scale = inverse_sqrt(user_degrees).unsqueeze(-1)
        self._item_scale = inverse_sqrt(item_degrees).unsqueeze(-1)
        users_by_item = pairs.users_by_item[kept[pairs.item_order]]
        self._to_users = _gathering(user_degrees, items, (ITEM, INTERACTED_BY, USER), pairs.num_items)
        self._to_items = _gathering(item_degrees, users_by_item, (USER, INTERACTS, ITEM), pairs.num_users)

    def __call__(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        new_users = _gather(self._to_users, items, self._item_scale, self._user_scale)
        return new_users, _gather(self._to_items, users, self._user_scale, self._item_scale)

    def __repr__(self) -> str:
        return f"ThinnedGraph(edges={self.num_edges})"


def _gathering(
    target_degrees: Tensor, sources: Tensor, relation: tuple[str, str, str], num_sources: int
) -> dgl.DGLGraph | Tensor:
    """The pairs, listed by target, as a DGL relation (compressed by target); a torch CSR matrix where DGL cannot be.

    target_degrees [n_target]; sources int32 [E], each target's in turn.
    """
    starts = torch.zeros(len(target_degrees) + 1, dtype=torch.int32, device=sources.device)
    starts[1:] = target_degrees.cumsum(0)
    if uses_dgl(sources.device):
        layout = ("csc", (starts, sources, sources.new_empty(0)))
        return dgl.heterograph({relation: layout}, {relation[0]: num_sources, relation[2]: len(target_degrees)})
    ones, shape = torch.ones(len(sources), device=sources.device), (len(target_degrees), num_sources)
    return csr_from_lists(starts, sources, ones, shape)


def _gather(relation: dgl.DGLGraph | Tensor, x: Tensor, source_scale: Tensor, target_scale: Tensor) -> Tensor:
    if isinstance(relation, Tensor):
        return (relation @ (x * source_scale)).mul_(target_scale)
    return convolve(relation, x, source_scale, target_scale)


def mean_of_layers(
    steps: Sequence[Step], users: Tensor, items: Tensor, *, with_input: bool = True
) -> tuple[Tensor, Tensor]:
    """The mean of x_0 (left out where `with_input` is false) and x_1, ..., x_L, x_l = A_l x_{l-1}.

    Parameters
    ----------
    steps: A_1, ..., A_L, each a symmetric linear map of both sides; at least one, or `with_input`.
    users, items: x_0, [U, d] and [I, d].

    Returns the same shapes. Once differentiable; nothing is kept for the gradient.
    """
    count = len(steps) + with_input

    def forward(users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """(1 / n) sum_l A_l ... A_1."""
        user_sum, item_sum = (x.clone() if with_input else torch.zeros_like(x) for x in (users, items))
        for step in steps:
            users, items = step(users, items)
            user_sum += users
            item_sum += items
        return user_sum.div_(count), item_sum.div_(count)

    def transposed(user_grad: Tensor, item_grad: Tensor) -> tuple[Tensor, Tensor]:
        """(1 / n) sum_l A_1 ... A_l: g + A_1 (g + A_2 (g + ...))."""
        user_grad, item_grad = user_grad / count, item_grad / count
        users, items = user_grad, item_grad
        for layer in range(len(steps), 0, -1):
            users, items = steps[layer - 1](users, items)
            if layer > 1 or with_input:
                users += user_grad
                items += item_grad
        return users, items

    return LinearMap.apply(users, items, forward, transposed)
