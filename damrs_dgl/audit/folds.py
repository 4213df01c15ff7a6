"""Clicks judged by models that were not trained on them: K folds, as in cross-fitting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from damrs_dgl.audit.model_view import ModelView
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.left_out import without_clicks
from damrs_dgl.data.parts import Interactions
from damrs_dgl.errors import DataError
from damrs_dgl.models.base import ClickEvidence
from damrs_dgl.selection import place_in_group

MOST_FOLDS = 20
TrainAndView = Callable[[int, MultimodalDataset, Tensor], ModelView]


def fold_of_clicks(train: Interactions, folds: int, *, generator: torch.Generator) -> Tensor:
    """The fold of each training click, int64 [n] in 0..folds-1: each user's clicks are dealt out evenly, by chance.

    Where a user's dealing begins is by chance too, so that users with a single click do not all lose it at once.
    Raises DataError for fewer than 2 or more than 20 folds.
    """
    if not 2 <= folds <= MOST_FOLDS:
        raise DataError(f"{folds} folds", where="--folds", fix=f"from 2 to {MOST_FOLDS}, or 0 for the model as it is")
    shuffled = torch.randperm(len(train), generator=generator)
    order = shuffled[torch.argsort(train.users[shuffled], stable=True)]
    users = train.users[order]
    counts = torch.bincount(users)
    place = place_in_group(users, counts)
    first = torch.randint(folds, (len(counts),), generator=generator)
    fold = torch.empty(len(order), dtype=torch.int64)
    fold[order] = (place + first[users]) % folds
    return fold


def cross_fitted(dataset: MultimodalDataset, fold: Tensor, train_and_view: TrainAndView) -> ModelView:
    """The view of all clicks, each by a model that was trained without its fold.

    train_and_view: called with the fold's number, the data set without it and the places of its clicks in
    `dataset.train`; trains on the former and returns what the model says of the latter.
    """
    places, views = [], []
    for number in range(int(fold.max()) + 1):
        held_out = fold == number
        clicks = held_out.nonzero().flatten()
        views.append(train_and_view(number, without_clicks(dataset, held_out), clicks))
        places.append(clicks)
    return replace(_put_together(views, torch.cat(places)), fold=fold.numpy())


def _put_together(views: Sequence[ModelView], places: Tensor) -> ModelView:
    """One view of all clicks; the views' clicks, one view after the other, stand at `places`."""
    order = torch.argsort(places)

    def joined(parts: Iterable[np.ndarray]) -> np.ndarray:
        values: np.ndarray = np.concatenate(list(parts))[order.numpy()]
        return values

    evidence = [view.evidence for view in views if view.evidence is not None]
    return ModelView(
        score=joined(view.score for view in views),
        percentile=joined(view.percentile for view in views),
        margin=joined(view.margin for view in views),
        evidence=ClickEvidence.joined(evidence).take(order) if evidence else None,
    )
