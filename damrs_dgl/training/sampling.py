"""Batches of observed pairs with one negative item each, drawn from a seeded generator (spec section 8)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from damrs_dgl.data.parts import Interactions
from damrs_dgl.errors import DataError


@dataclass(frozen=True)
class Batch:
    """One training step's material; everything int64 on the training device.

    users, positive_items, negative_items: [B], row by row a triple <u, i, j>.
    items: [C] the batch's distinct items (positive and negative), ascending.
    anchor_users [A_u] and anchor_items [A_i]: distinct users and items that the alignment losses are averaged over:
    all that occur in the batch, or a uniform sample of them.
    softmax_items: [S] a uniform sample, without repetition, of the items that are not in the batch; with `items` it
    stands for the catalogue in the softmax of L_AU. None: that softmax is over all items.
    """

    users: Tensor
    positive_items: Tensor
    negative_items: Tensor
    items: Tensor
    anchor_users: Tensor
    anchor_items: Tensor
    softmax_items: Tensor | None = None


class TripleSampler:
    """Shuffled observations in batches, each with a uniform item that its user has not interacted with in training.

    A negative takes one draw and one binary search, however much of the catalogue its user knows: if a user's known
    items are k_0 < k_1 < ..., then k_p - p items below k_p are unknown, so the r-th unknown item (from 0) is r + the
    number of p with k_p - p <= r.

    Parameters
    ----------
    train: observed pairs; one that occurs twice counts once. Pairs of users who know every item are left out: no
        negative exists for them.
    num_items: |I|.
    batch_size: triples per step; the last batch of an epoch may be smaller.
    anchors: how many distinct users and items the alignment losses see per step; None for all.
    softmax_sample: how many items outside the batch stand for all of them in the softmax of L_AU; None, or as many as
        there are: no sample is drawn.
    device: where the batches go. Everything is drawn on the CPU, so that every device sees the same batches.

    Raises DataError where no pair is left.
    """

    def __init__(
        self,
        train: Interactions,
        num_items: int,
        *,
        batch_size: int,
        anchors: int | None,
        softmax_sample: int | None = None,
        device: torch.device,
    ) -> None:
        keys = torch.unique(train.users * num_items + train.items)
        users = torch.div(keys, num_items, rounding_mode="floor")
        known = torch.bincount(users)
        self.unknown_counts = num_items - known
        self.first_pairs = known.cumsum(0) - known
        # user * (I + 1) + how many items below the pair's are unknown to the user: ascending, as the keys are.
        self.unknown_keys = self.first_pairs[users].add_(users).add_(keys).sub_(torch.arange(len(keys)))
        usable = self.unknown_counts[users] > 0
        self.keys = keys if bool(usable.all()) else keys[usable]
        if not len(self.keys):
            what = "every user has interacted with every item" if len(keys) else "there is no interaction"
            raise DataError(what, where="training split", fix="nothing can be learned from it, give other data")
        self.num_items = num_items
        self.batch_size = batch_size
        self.anchors = anchors
        self.softmax_sample = softmax_sample
        self.device = device

    def __len__(self) -> int:
        """Batches per epoch."""
        return math.ceil(len(self.keys) / self.batch_size)

    def epoch(self, generator: torch.Generator) -> Iterator[Batch]:
        """All observations once, in an order drawn from `generator`."""
        order = torch.randperm(len(self.keys), generator=generator)
        for chosen in order.split(self.batch_size):
            keys = self.keys[chosen]
            users = torch.div(keys, self.num_items, rounding_mode="floor")
            positive = keys - users * self.num_items
            negative = self._negatives(users, generator)
            items = torch.cat([positive, negative]).unique()
            tensors = [
                users,
                positive,
                negative,
                items,
                self._sample(users.unique(), generator),
                self._sample(items, generator),
            ]
            if self.softmax_sample is not None and len(items) + self.softmax_sample < self.num_items:
                tensors.append(self._others(items, self.softmax_sample, generator))
            yield Batch(*(tensor.to(self.device, non_blocking=True) for tensor in tensors))

    def _negatives(self, users: Tensor, generator: torch.Generator) -> Tensor:
        """One uniform unknown item per user [B]."""
        uniform = torch.rand(len(users), generator=generator, dtype=torch.float64)
        place = (uniform * self.unknown_counts[users]).long()  # which of the user's unknown items, from 0
        found = torch.searchsorted(self.unknown_keys, users * (self.num_items + 1) + place, right=True)
        return place + found - self.first_pairs[users]

    def _sample(self, distinct: Tensor, generator: torch.Generator) -> Tensor:
        if self.anchors is None or len(distinct) <= self.anchors:
            return distinct
        return distinct[torch.randperm(len(distinct), generator=generator)[: self.anchors]]

    def _others(self, items: Tensor, size: int, generator: torch.Generator) -> Tensor:
        """`size` uniform items that are not in `items`, distinct, ascending."""
        drawn = torch.randperm(self.num_items, generator=generator)[: size + len(items)]
        return drawn[torch.isin(drawn, items, invert=True)][:size].sort().values
