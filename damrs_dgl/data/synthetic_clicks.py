"""How the synthetic shop's clicks come about: items with styles and traits, users with tastes, and their clicks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from damrs_dgl.data.cleaning import pair_keys
from damrs_dgl.errors import DataError

MAX_TASTES = 3
FEWEST_CLICKS = 5
_TRAITS = 4  # how items of one style differ, and what a user likes about them
_PICKINESS = 2.0
_ROUNDS = 200


@dataclass(frozen=True)
class Shelves:
    """Items ordered by style, for drawing from a style in proportion to popularity."""

    order: np.ndarray  # int64 [I], items by style
    starts: np.ndarray  # int64 [S + 1]
    cumulative: np.ndarray  # float64 [I + 1], popularity summed in that order

    def draw(self, styles: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """An item of each given style."""
        low, high = self.cumulative[self.starts[styles]], self.cumulative[self.starts[styles + 1]]
        place = np.searchsorted(self.cumulative, low + uniform * (high - low), side="right") - 1
        return self.order[np.clip(place, self.starts[styles], self.starts[styles + 1] - 1)]


def uniform_draws(generator: torch.Generator, *shape: int) -> np.ndarray:
    return torch.rand(*shape, generator=generator, dtype=torch.float64).numpy()


def make_items(items: int, styles: int, generator: torch.Generator) -> tuple[np.ndarray, Tensor, Shelves]:
    """Item styles (sizes uneven, none empty), unit trait vectors [I, 4], and popularity by a power of a random rank."""
    weight = np.cumsum(0.5 + uniform_draws(generator, styles))
    item_styles = np.searchsorted(weight, uniform_draws(generator, items) * weight[-1], side="right")
    item_styles[torch.randperm(items, generator=generator)[:styles].numpy()] = np.arange(styles)
    rank = torch.randperm(items, generator=generator).numpy()
    popularity = (rank + 0.02 * items + 1.0) ** -0.8
    order = np.argsort(item_styles, kind="stable")
    starts = np.searchsorted(item_styles[order], np.arange(styles + 1))
    cumulative = np.concatenate([[0.0], np.cumsum(popularity[order])])
    traits = torch.nn.functional.normalize(torch.randn(items, _TRAITS, generator=generator))
    return item_styles.astype(np.int64), traits, Shelves(order, starts, cumulative)


def make_users(users: int, styles: int, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Styles liked, int64 [U, 3] with -1 beyond the user's number of tastes, and their cumulative shares [U, 3]."""
    tastes = np.floor(uniform_draws(generator, users, MAX_TASTES) * (styles - np.arange(MAX_TASTES))).astype(np.int64)
    # The c-th draw counts among the styles not yet taken: distinct without rejection
    for later in range(1, MAX_TASTES):
        for taken in np.sort(tastes[:, :later], axis=1).T:
            tastes[:, later] += tastes[:, later] >= taken
    number = 1 + np.floor(uniform_draws(generator, users) * MAX_TASTES).astype(np.int64)
    used = np.arange(MAX_TASTES) < number[:, None]
    shares = np.where(used, 0.5 ** np.arange(MAX_TASTES), 0.0)
    tastes[~used] = -1
    return tastes, np.cumsum(shares / shares.sum(axis=1, keepdims=True), axis=1)


def click(
    tastes: np.ndarray,
    cumulative: np.ndarray,
    traits: Tensor,
    shelves: Shelves,
    *,
    clicks_per_user: float,
    generator: torch.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Distinct clicks within the users' tastes; a user whose styles run dry has fewer.

    Candidates are drawn by taste and popularity and taken with probability exp(2 (cos - 1)), cos between the item's
    traits and the direction that the user likes.
    """
    num_users, num_items = len(tastes), len(traits)
    liked = torch.nn.functional.normalize(torch.randn(num_users, _TRAITS, generator=generator))
    spread = -np.log1p(-uniform_draws(generator, num_users)) * (clicks_per_user - FEWEST_CLICKS)
    wanted = np.minimum(FEWEST_CLICKS + np.round(spread), num_items // 2).astype(np.int64)
    keys: np.ndarray = np.empty(0, dtype=np.int64)
    for _ in range(_ROUNDS):
        users = np.repeat(np.arange(num_users), 4 * (wanted - np.bincount(keys // num_items, minlength=num_users)))
        if len(users) == 0:
            break
        column = (uniform_draws(generator, len(users))[:, None] >= cumulative[users]).sum(axis=1)
        styles = tastes[users, np.minimum(column, (tastes[users] >= 0).sum(axis=1) - 1)]
        items = shelves.draw(styles, uniform_draws(generator, len(users)))
        fit = (liked[torch.from_numpy(users)] * traits[torch.from_numpy(items)]).sum(dim=1).double().numpy()
        taken = uniform_draws(generator, len(users)) < np.exp(_PICKINESS * (fit - 1))
        keys = np.concatenate([keys, pair_keys(users[taken], items[taken], num_items)])
        keys = _first_per_user(keys, num_items, wanted)
    return keys // num_items, keys % num_items


def _first_per_user(keys: np.ndarray, num_items: int, wanted: np.ndarray) -> np.ndarray:
    """The distinct keys, of each user the first ``wanted`` ones."""
    keys = keys[np.sort(np.unique(keys, return_index=True)[1])]
    users = keys // num_items
    order = np.argsort(users, kind="stable")
    starts = np.cumsum(np.bincount(users, minlength=len(wanted))) - np.bincount(users, minlength=len(wanted))
    place = np.arange(len(keys)) - starts[users[order]]
    return keys[order[place < wanted[users[order]]]]


def click_at_random(
    tastes: np.ndarray, item_styles: np.ndarray, count: int, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """``count`` distinct clicks of random users on random items of styles that they do not like."""
    num_users, num_items = len(tastes), len(item_styles)
    keys: np.ndarray = np.empty(0, dtype=np.int64)
    for _ in range(_ROUNDS):
        drawn = torch.randint(num_users * num_items, (2 * (count - len(keys)) + 16,), generator=generator).numpy()
        users, items = drawn // num_items, drawn % num_items
        drawn = drawn[(tastes[users] != item_styles[items][:, None]).all(axis=1)]
        keys = np.concatenate([keys, drawn])
        keys = keys[np.sort(np.unique(keys, return_index=True)[1])][:count]
        if len(keys) == count:
            return keys // num_items, keys % num_items
    raise DataError(f"no room for {count:,} noisy clicks", where="synthetic shop", fix="lower noisy_click_share")
