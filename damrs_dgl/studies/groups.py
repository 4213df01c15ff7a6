"""Whom the numbers come from: metrics by how active users are, and recall by how popular the items to be found are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import torch
from torch import Tensor

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.errors import DataError
from damrs_dgl.evaluation.labels import span_text
from damrs_dgl.evaluation.spread import standard_error
from damrs_dgl.studies.judging import Judgement
from damrs_dgl.user_items import UserItems

USERS: Final = "users"
ITEMS: Final = "items"
TRAINING: Final = "training"  # what is counted: interactions of the training split,
ALL_SPLITS: Final = "all splits"  # or of all three


@dataclass(frozen=True)
class Group:
    """Users, or items, with at least `low` and fewer than `high` interactions (None: no bound).

    by: `users` or `items`.  counted: `training` or `all splits`.
    """

    by: str
    name: str
    low: int
    high: int | None
    counted: str = TRAINING

    def members(self, counts: Tensor) -> Tensor:
        """Who belongs to it, bool like `counts`."""
        inside = counts >= self.low
        return inside if self.high is None else inside & (counts < self.high)


# The authors' cold-start study on Baby, a data set in which nobody has fewer than 5: exactly 5, fewer than 10, 50 and
# more, counted over all splits. The groups overlap, and `between` is whom they leave out.
AUTHORS_GROUPS: Final = (
    Group(USERS, "new", 0, 6, ALL_SPLITS),
    Group(USERS, "less active", 0, 10, ALL_SPLITS),
    Group(USERS, "between", 10, 50, ALL_SPLITS),
    Group(USERS, "active", 50, None, ALL_SPLITS),
)


def groups_at(cuts: Sequence[int], by: str) -> list[Group]:
    """The groups between cut points, by training interactions: 5, 10 gives 0 to 4, 5 to 9, 10 and more.

    Raises DataError for cut points that are not above 0 and ascending.
    """
    if not cuts or cuts[0] < 1 or any(a >= b for a, b in pairwise(cuts)):
        raise DataError(f"cut points must be ascending numbers of 1 or more, got {list(cuts)}")
    bounds = [0, *cuts]
    groups = [Group(by, span_text(low, high - 1), low, high) for low, high in pairwise(bounds)]
    return [*groups, Group(by, span_text(cuts[-1], None), cuts[-1], None)]


def popularity_thirds(popularity: Tensor) -> list[Group]:
    """Three groups of about as many items each, by training interactions `popularity` int64 [I].

    Items with equally many stay together, so that the groups differ in size, or are fewer, where many items have.
    """
    ordered = popularity.sort().values
    above = ordered[ordered > ordered[:1]]  # a cut at the lowest number would leave the first group empty
    at = [ordered[len(ordered) * third // 3] for third in (1, 2)] if len(above) else []
    cuts = sorted({max(int(cut), int(above[0])) for cut in at})
    bounds = [0, *cuts]
    ends: list[int | None] = [*cuts, None]
    names = {3: ("rare", "middling", "popular"), 2: ("rare", "popular")}.get(len(bounds), ("all",))
    return [Group(ITEMS, name, low, high) for name, low, high in zip(names, bounds, ends, strict=True)]


def group_rows(
    system: str, found: Judgement, dataset: MultimodalDataset, groups: Sequence[Group], ks: Sequence[int]
) -> list[dict[str, Any]]:
    """A row per (group, metric) of one system on test: the mean, its standard error over users, and how many users.

    A group of users has every metric that a single user has; one of items has recall of the relevant items in it, of
    the users who have one. `value` is None where nobody is in the group.
    """
    rows = []
    for group in groups:
        for metric, values in _values(group, found, dataset, ks):
            known = values[~values.isnan()].double()
            rows.append(
                {
                    "by": group.by,
                    "group": group.name,
                    "low": group.low,
                    "high": None if group.high is None else group.high - 1,
                    "counted": group.counted,
                    "system": system,
                    "metric": metric,
                    "value": float(known.mean()) if len(known) else None,
                    "standard_error": standard_error(known),
                    "users": len(known),
                }
            )
    return rows


def _values(
    group: Group, found: Judgement, dataset: MultimodalDataset, ks: Sequence[int]
) -> Iterator[tuple[str, Tensor]]:
    """(metric, its value for each user of the group)."""
    if group.by == USERS:
        chosen = group.members(user_counts(dataset, group.counted))[found.lists.users]
        for metric, values in found.per_user.items():
            yield metric, values[chosen]
        return
    belongs = group.members(item_counts(dataset))
    lists = found.lists
    hits = lists.hits & belongs[lists.items.clamp(min=0)]
    wanted = _relevant_in(belongs, dataset, lists.users)
    for k in ks:
        recall = hits[:, :k].sum(1).double() / wanted
        yield f"recall@{k}", recall[wanted > 0]


def _relevant_in(belongs: Tensor, dataset: MultimodalDataset, users: Tensor) -> Tensor:
    """How many test items of each of `users` [n] are in the group, int64 [n]."""
    test = dataset.test
    inside = belongs[test.items]
    pairs = UserItems.from_pairs(test.users[inside], test.items[inside], dataset.num_users)
    return pairs.counts()[users]


def user_counts(dataset: MultimodalDataset, counted: str) -> Tensor:
    """Interactions of each user, int64 [U], of the training split or of all three."""
    parts = [dataset.train] if counted == TRAINING else [part for _, part in dataset.splits()]
    return torch.bincount(torch.cat([part.users for part in parts]), minlength=dataset.num_users)


def item_counts(dataset: MultimodalDataset) -> Tensor:
    """Training interactions of each item, int64 [I]."""
    return torch.bincount(dataset.train.items, minlength=dataset.num_items)
