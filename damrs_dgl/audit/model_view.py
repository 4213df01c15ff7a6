"""What a fitted model says of clicks: its score, the item's place in the user's ranking, its own terms of doubt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.models.base import ClickEvidence, RankingModel
from damrs_dgl.progress import OnProgress, silent
from damrs_dgl.scoring import Scorer
from damrs_dgl.selection import place_in_group
from damrs_dgl.training.sampling import UnknownItems
from damrs_dgl.user_items import UserItems

NEGATIVES = 16  # items that each click is compared with
_BLOCK_SCORES = 2**22  # scores of a block of users in memory, 16 MiB


@dataclass(frozen=True)
class ModelView:
    """What a model says of n clicks; float32 [n] each.

    score: y_ui.  percentile: the share of the items that the user has not met which score lower, in [0, 1].
    margin: sigma(y_ui - y_uj), averaged over items j that the user has not met.
    evidence: the model's own terms of doubt, on the CPU; None where the system has none.
    fold: of each click, int64 [n], where a model of its own judged each fold, with a scale of its own.
    """

    score: np.ndarray
    percentile: np.ndarray
    margin: np.ndarray
    evidence: ClickEvidence | None = None
    fold: np.ndarray | None = None


@torch.no_grad()
def view_clicks(
    model: RankingModel,
    dataset: MultimodalDataset,
    clicks: Tensor,
    *,
    generator: torch.Generator,
    negatives: int = NEGATIVES,
    progress: OnProgress = silent,
) -> ModelView:
    """What a model says of some of the training clicks (`clicks` int64 [n], their places in `dataset.train`).

    What a user has not met is what the user has nowhere in `dataset.train`, whatever the model was trained on. For
    `margin` the items lie at even steps of the user's ranking, so that chance has no part; for the model's own terms
    they are drawn uniformly from `generator`. Scores are made in blocks of users. O(U I log I) time.
    """
    model.eval()
    users, items = dataset.train.users[clicks], dataset.train.items[clicks]
    drawn = _unmet_items(dataset, users, items, negatives, generator)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    evidence = model.click_evidence(users.to(device), items.to(device), drawn.to(device))
    order = torch.argsort(users, stable=True)
    found = {name: np.zeros(len(clicks), dtype=np.float32) for name in ("score", "percentile", "margin")}
    seen = UserItems.from_pairs(dataset.train.users, dataset.train.items, dataset.num_users)
    scorer = model.scorer()
    done = 0
    for block in _user_blocks(users[order], dataset.num_items):
        rows = order[block]
        for name, values in _view_block(scorer, seen, users[rows], items[rows], negatives).items():
            found[name][rows.numpy()] = values.numpy()
        done += len(rows)
        progress(done, len(clicks), "clicks")
    return ModelView(**found, evidence=None if evidence is None else evidence.cpu())


@torch.no_grad()
def has_terms(model: RankingModel, dataset: MultimodalDataset) -> bool:
    """Whether the model has terms f and g (`RankingModel.click_evidence`), asked for one click."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    user, item = dataset.train.users[:1].to(device), dataset.train.items[:1].to(device)
    return model.eval().click_evidence(user, item, item[:, None]) is not None


def _view_block(scorer: Scorer, seen: UserItems, users: Tensor, items: Tensor, negatives: int) -> dict[str, Tensor]:
    """Score, percentile and margin of the clicks of some users, which stand side by side in `users`."""
    distinct, place = users.unique_consecutive(return_inverse=True)
    scores = scorer.scores(distinct).cpu().float()
    score = scores[place, items]
    met_rows, met_items = seen.pairs_of(distinct)
    scores[met_rows, met_items] = torch.inf  # behind all others
    ranked = scores.sort(dim=1).values
    unmet = ranked.shape[1] - seen.counts()[distinct]
    below = _below(ranked, score, place).minimum(unmet[place].float())
    steps = (torch.arange(negatives) + 0.5) / negatives
    chosen = (steps * unmet[:, None]).long().minimum((unmet[:, None] - 1).clamp(min=0))
    others = ranked.gather(1, chosen)
    x = score[:, None] - others[place]
    x = torch.where((unmet[place] > 0)[:, None], x, torch.zeros_like(x))  # a user who knows all items
    return {
        "score": score,
        "percentile": torch.where(unmet[place] > 0, below / unmet[place].clamp(min=1), torch.full_like(score, 0.5)),
        "margin": torch.sigmoid(x).mean(1),
    }


def _below(ranked: Tensor, values: Tensor, place: Tensor) -> Tensor:
    """How many of its row of `ranked` [b, I], ascending, each value [n] exceeds; equal ones count half.

    `place` int64 [n], ascending: the values' rows.
    """
    counts = torch.bincount(place, minlength=len(ranked))
    column = place_in_group(place, counts)
    table = values.new_zeros(len(ranked), int(counts.max()))
    table[place, column] = values
    both = torch.searchsorted(ranked, table) + torch.searchsorted(ranked, table, right=True)
    return both[place, column].float() / 2


def _user_blocks(users: Tensor, num_items: int) -> Iterator[slice]:
    """Slices of clicks in the order of their users: so many whole users at a time as make a block of scores."""
    _, counts = users.unique_consecutive(return_counts=True)
    ends = torch.cat([counts.new_zeros(1), counts.cumsum(0)]).tolist()
    step = max(1, _BLOCK_SCORES // max(num_items, 1))
    for first in range(0, len(counts), step):
        yield slice(ends[first], ends[min(first + step, len(counts))])


def _unmet_items(
    dataset: MultimodalDataset, users: Tensor, items: Tensor, count: int, generator: torch.Generator
) -> Tensor:
    """`count` uniform items [n, count] that each click's user has not met; the click's own where there is none."""
    unknown = UnknownItems(dataset.train.keys(dataset.num_items).unique(), dataset.num_items)
    drawn = items[:, None].repeat(1, count)
    some = (unknown.counts[users] > 0).nonzero().flatten()
    for column in range(count):
        drawn[some, column] = unknown.draw(users[some], generator)
    return drawn
