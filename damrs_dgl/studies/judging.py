"""What a system comes to on the test split: accuracy, what is beside it, and both user by user; and the floor's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.evaluation.list_metrics import list_metrics
from damrs_dgl.evaluation.lists import RankedLists, catalogue_of
from damrs_dgl.evaluation.metrics import per_user_metrics, ranking_metrics
from damrs_dgl.factory import SplitEvaluator, prepare_training, scorer_of
from damrs_dgl.models.specification.systems import floor_systems
from damrs_dgl.recipe import Recipe, with_values
from damrs_dgl.scoring import Scorer


@dataclass(frozen=True)
class Judgement:
    """A system on test.

    test: {"recall@20": mean, ...}.  beyond_accuracy: {"coverage@20": number or None, ...}.
    lists: of the users that the means are over.  per_user: every metric that a single user has, float64 [n].
    """

    test: dict[str, float]
    beyond_accuracy: dict[str, float | None]
    lists: RankedLists
    per_user: dict[str, Tensor]


class Judge:
    """Judges any number of systems on one data set under one recipe's [evaluation]; what can be prepared once is.

    users_of: whose training users the means are over (`SplitEvaluator`).
    """

    def __init__(
        self, recipe: Recipe[Any], dataset: MultimodalDataset, *, users_of: MultimodalDataset | None = None
    ) -> None:
        self._evaluator = SplitEvaluator(recipe, dataset, "test", users_of=users_of)
        self._catalogue = catalogue_of(dataset.train.items, dataset.num_items, dataset.features)
        self._ks = recipe.evaluation.ks

    def __call__(self, scorer: Scorer) -> Judgement:
        """Rank all items for all users once; every number is of these lists."""
        lists = self._evaluator.lists(scorer)
        items = self._evaluator.size[1]
        test = ranking_metrics(lists.hits, lists.num_relevant, self._ks, num_items=items)
        beside = list_metrics(lists, self._catalogue, self._ks)
        own = per_user_metrics(lists.hits, lists.num_relevant, self._ks, num_items=items)
        return Judgement(test, beside.means, lists, {**own, **beside.per_user})


@dataclass(frozen=True)
class FloorSystem:
    """A trained system of the floor.

    name: of the system.  is_own: it is the recipe's own model, its keys too.  validation: its metrics there.
    scorer: what it ranks by.
    """

    name: str
    is_own: bool
    validation: dict[str, float]
    scorer: Scorer


def trained_floor(
    recipe: Recipe[Any], dataset: MultimodalDataset, graph: dgl.DGLGraph, device: torch.device
) -> Iterator[FloorSystem]:
    """What every system has to be better than, with the defaults of each, one after the other.

    Weights of clicks are left aside: what is computed at once cannot heed them.
    """
    dataset = dataset.replace(train=dataset.train.unweighted())
    for name in floor_systems():
        own = with_values(recipe, {"model": {"name": name}})
        trainer = prepare_training(own, dataset, graph, device=device)
        yield FloorSystem(name, own.model == recipe.model, trainer.fit().best, scorer_of(trainer.model))
