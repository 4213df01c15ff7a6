"""Batches of observed pairs, each with sampled negative items where the model wants them, from a seeded generator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from damrs_dgl.data.parts import Interactions
from damrs_dgl.errors import DataError
from damrs_dgl.models.base import Batch

Extra = Callable[[Tensor, Tensor, Tensor | None, torch.Generator], dict[str, Tensor]]


def no_extra(
    users: Tensor, positive_items: Tensor, negative_items: Tensor | None, generator: torch.Generator
) -> dict[str, Tensor]:
    """Nothing beside the pairs."""
    return {}


class UnknownItems:
    """The items that each user has not interacted with, drawn from uniformly.

    A draw is one random number and one binary search, however much of the catalogue the user knows: if the known items
    are k_0 < k_1 < ..., then k_p - p items below k_p are unknown, so the r-th unknown item (from 0) is r + the number
    of p with k_p - p <= r.

    Parameters
    ----------
    keys: the known pairs, user * |I| + item, int64 [n] ascending, each once.
    num_items: |I|.

    Attributes
    ----------
    counts: how many items each user does not know, int64 [users up to the last one with a pair].
    """

    def __init__(self, keys: Tensor, num_items: int) -> None:
        users = torch.div(keys, num_items, rounding_mode="floor")
        known = torch.bincount(users)
        self.num_items = num_items
        self.counts = num_items - known
        self._first = known.cumsum(0) - known
        # user * (I + 1) + how many items below the pair's are unknown to the user: ascending, as the keys are.
        self._keys = self._first[users].add_(users).add_(keys).sub_(torch.arange(len(keys)))

    def draw(self, users: Tensor, generator: torch.Generator) -> Tensor:
        """One uniform unknown item per user [B], all of whom have one."""
        uniform = torch.rand(len(users), generator=generator, dtype=torch.float64)
        place = (uniform * self.counts[users]).long()  # which of the user's unknown items, from 0
        found = torch.searchsorted(self._keys, users * (self.num_items + 1) + place, right=True)
        return place + found - self._first[users]


class PairSampler:
    """Shuffled observations in batches, each with uniform items that its user has not interacted with in training.

    Parameters
    ----------
    train: observed pairs; one that occurs twice counts once. With negatives, pairs of users who know every item are
        left out: no negative exists for them. Where they have weights, an epoch takes a pair with that probability.
    num_items: |I|.
    batch_size: pairs per step; the last batch of an epoch may be smaller.
    num_negatives: how many such items a pair has; 0: pairs alone.
    extra: what else a batch holds, drawn on the CPU (`RankingModel.sample_extra`).
    device: where the batches go. Everything is drawn on the CPU, so that every device sees the same batches.

    Raises DataError where no pair is left.
    """

    def __init__(
        self,
        train: Interactions,
        num_items: int,
        *,
        batch_size: int,
        num_negatives: int = 1,
        extra: Extra = no_extra,
        device: torch.device,
    ) -> None:
        keys, place = torch.unique(train.users * num_items + train.items, return_inverse=True)
        self.unknown = UnknownItems(keys, num_items)
        usable = self.unknown.counts[torch.div(keys, num_items, rounding_mode="floor")] > 0
        all_pairs = num_negatives == 0 or bool(usable.all())
        self.keys = keys if all_pairs else keys[usable]
        self.weights: Tensor | None = None
        if train.weights is not None:
            weights = torch.empty(len(keys)).index_put_((place,), train.weights)
            self.weights = weights if all_pairs else weights[usable]
        if not len(self.keys):
            what = "every user has interacted with every item" if len(keys) else "there is no interaction"
            raise DataError(what, where="training split", fix="nothing can be learned from it, give other data")
        self.num_items = num_items
        self.batch_size = batch_size
        self.num_negatives = num_negatives
        self.extra = extra
        self.device = device

    def __len__(self) -> int:
        """Batches per epoch."""
        return math.ceil(len(self.keys) / self.batch_size)

    def epoch(self, generator: torch.Generator, step_generator: torch.Generator | None = None) -> Iterator[Batch]:
        """All observations once, in an order drawn from `generator`; with weights, each with that probability.

        So the loss of an epoch is, in the mean, the weighted sum of the pairs' losses, whatever the loss is.

        `step_generator` goes into the batches, for randomness on the training device; the same generator by default.
        """
        order = torch.randperm(len(self.keys), generator=generator)
        if self.weights is not None:
            taken = torch.rand(len(order), generator=generator) < self.weights[order]
            order = order[taken] if bool(taken.any()) else order[:1]
        for chosen in order.split(self.batch_size):
            keys = self.keys[chosen]
            users = torch.div(keys, self.num_items, rounding_mode="floor")
            positive = keys - users * self.num_items
            negative = self.unknown.draw(users, generator) if self.num_negatives else None
            more = [self.unknown.draw(users, generator) for _ in range(self.num_negatives - 1)]
            extra = self.extra(users, positive, negative, generator)
            yield Batch(
                self._send(users),
                self._send(positive),
                None if negative is None else self._send(negative),
                step_generator or generator,
                {name: self._send(value) for name, value in extra.items()},
                self._send(torch.stack(more)) if more else None,
            )

    def _send(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)
