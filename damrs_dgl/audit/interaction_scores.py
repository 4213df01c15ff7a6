"""Scorers of a click: each gives a suspicion in [0, 1], higher where the click is more likely noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch import Tensor

from damrs_dgl.audit.model_view import ModelView
from damrs_dgl.audit.rivals import (
    EASE_MOST_ITEMS,
    check_ease_fits,
    content_fit_without_click,
    ease_without_click,
    itemknn_without_click,
    popularity_without_click,
)
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.errors import RecipeError
from damrs_dgl.models.base import ClickEvidence
from damrs_dgl.settings import nearest

DEFAULT: Final = "consensus"


@dataclass(frozen=True)
class Clicks:
    """What a scorer may look at: the data, what the model says of its training clicks, a seed."""

    dataset: MultimodalDataset
    view: ModelView
    seed: int

    @cached_property
    def voices(self) -> dict[str, np.ndarray]:
        """What `consensus` is the mean of, by whose it is (model, ease or itemknn); float64 [n] each."""
        return _voices(self)

    @property
    def evidence(self) -> ClickEvidence:
        """The model's terms of doubt; for scorers that need "doubt", which `check_scorer` asks for."""
        if self.view.evidence is None:
            raise TypeError("the system has no terms f and g")
        return self.view.evidence


@dataclass(frozen=True)
class ClickScorer:
    """How suspicion comes about, and in words; `needs`: what it cannot do without.

    needs: "" for nothing, "doubt" for a system with terms f and g, "content" for a modality.
    """

    meaning: str
    suspicion: Callable[[Clicks], np.ndarray]
    needs: str = ""


def rank_share(values: np.ndarray) -> np.ndarray:
    """The share of the others that are lower, ties counting half; in [0, 1], 0.5 for one alone."""
    if len(values) < 2:
        return np.full(len(values), 0.5)
    from scipy.stats import rankdata  # other stages do without it

    shares: np.ndarray = (rankdata(values) - 1) / (len(values) - 1)
    return shares


def _one_minus(term: Callable[[ModelView], np.ndarray]) -> Callable[[Clicks], np.ndarray]:
    return lambda clicks: 1.0 - term(clicks.view).astype(np.float64)


def _doubt(term: Callable[[ClickEvidence], Tensor]) -> Callable[[Clicks], np.ndarray]:
    """1 - a term of the model's own."""
    return lambda clicks: 1.0 - term(clicks.evidence).double().numpy()


def _ranks_of_score(view: ModelView) -> np.ndarray:
    """The share of the clicks that the model likes better; of its fold's alone where each fold has its own model."""
    if view.fold is None:
        return rank_share(-view.score)
    shares = np.empty(len(view.score))
    for fold in np.unique(view.fold):
        shares[view.fold == fold] = rank_share(-view.score[view.fold == fold])
    return shares


def _loss(clicks: Clicks) -> np.ndarray:
    if clicks.view.fold is not None:
        return _ranks_of_score(clicks.view)
    score = torch.from_numpy(clicks.view.score.astype(np.float64))
    found: np.ndarray = torch.sigmoid(-score).numpy()
    return found


def _least(score: Callable[[MultimodalDataset], np.ndarray]) -> Callable[[Clicks], np.ndarray]:
    """The lowest scores are the most suspect."""
    return lambda clicks: rank_share(-score(clicks.dataset))


def _belief(clicks: Clicks) -> np.ndarray:
    """1 - f m / (f m + (1 - f) (1 - m)), m the margin; a half where both say nothing."""
    f, m = clicks.evidence.reliability.double().numpy(), clicks.view.margin.astype(np.float64)
    against, both = (1 - f) * (1 - m), f * m + (1 - f) * (1 - m)
    return np.where(both > 0, against / np.where(both > 0, both, 1), 0.5)


def _voices(clicks: Clicks) -> dict[str, np.ndarray]:
    """The model, and EASE, or item neighbours where EASE's matrix would not fit: their ranks, the worst fit at 1."""
    ease = clicks.dataset.num_items <= EASE_MOST_ITEMS
    linear = (ease_without_click if ease else itemknn_without_click)(clicks.dataset)
    return {"model": _ranks_of_score(clicks.view), "ease" if ease else "itemknn": rank_share(-linear)}


def _consensus(clicks: Clicks) -> np.ndarray:
    shares: np.ndarray = np.mean(list(clicks.voices.values()), axis=0)
    return shares


def _random(clicks: Clicks) -> np.ndarray:
    return np.random.default_rng(clicks.seed).random(len(clicks.dataset.train))


SCORERS: Final[Mapping[str, ClickScorer]] = {
    "percentile": ClickScorer(
        "the share of the items new to the user that the model ranks above", _one_minus(lambda view: view.percentile)
    ),
    "posterior": ClickScorer(
        "1 - f s(x) / (f s(x) + g (1 - s(x))), s the sigmoid", _doubt(lambda own: own.posterior), "doubt"
    ),
    "batch-posterior": ClickScorer(
        "the same with one y_n for all clicks, as in a training step", _doubt(lambda own: own.batch_posterior), "doubt"
    ),
    "reliability": ClickScorer(
        "1 - f: the relations dislike the pair, or disagree", _doubt(lambda own: own.reliability), "doubt"
    ),
    "belief": ClickScorer("the posterior with 1 - f in the place of g, which is 0 for most clicks", _belief, "doubt"),
    "margin": ClickScorer(
        "1 - s(x): the probability that an item new to the user is liked more", _one_minus(lambda view: view.margin)
    ),
    "loss": ClickScorer("1 - s(score), over folds its rank: the order of the training loss, which T-CE cuts", _loss),
    "ease": ClickScorer("rank of how low EASE scores it, the click removed", _least(ease_without_click)),
    "itemknn": ClickScorer(
        "rank of how low item neighbours score it, the click removed", _least(itemknn_without_click)
    ),
    "popularity": ClickScorer("rank of the item's unpopularity, the click removed", _least(popularity_without_click)),
    "content": ClickScorer(
        "rank of the content's distance to the user's other items", _least(content_fit_without_click), "content"
    ),
    "consensus": ClickScorer(
        f"mean rank by the model's score and by EASE's (above {EASE_MOST_ITEMS:,} items: by item neighbours')",
        _consensus,
    ),
    "random": ClickScorer("chance", _random),
}


def usable_scorers(view: ModelView, dataset: MultimodalDataset) -> dict[str, ClickScorer]:
    """Those whose needs are met."""
    met = {"": True, "doubt": view.evidence is not None, "content": bool(dataset.features)}
    return {name: scorer for name, scorer in SCORERS.items() if met[scorer.needs]}


def check_scorer(name: str, dataset: MultimodalDataset, *, has_terms: Callable[[], bool]) -> None:
    """Raise RecipeError for a name that is no scorer's, and for one that the system or the data cannot serve.

    has_terms: whether the system has terms f and g (`RankingModel.click_evidence`); asked where they are needed.
    """
    if name not in SCORERS:
        fix = nearest(name, SCORERS) or f"choose from {', '.join(SCORERS)}"
        raise RecipeError(f"there is no scorer {name!r}", where="--scorer", fix=fix)
    if SCORERS[name].needs == "content" and not dataset.features:
        raise RecipeError(f"{name!r} needs content, and the data set has none", where="--scorer", fix=f"take {DEFAULT}")
    if SCORERS[name].needs == "doubt" and not has_terms():
        raise RecipeError(
            f"{name!r} needs a system with terms f and g, and this one has none",
            where="--scorer",
            fix=f"take {DEFAULT}, or fit another model",
        )
    if name == "ease":
        check_ease_fits(dataset)


def suspicion_of(name: str, clicks: Clicks) -> np.ndarray:
    """The suspicion of every training click by a scorer, float64 [n] in [0, 1].

    Raises RecipeError for an unknown scorer, and for one that the system or the data cannot serve.
    """
    check_scorer(name, clicks.dataset, has_terms=lambda: clicks.view.evidence is not None)
    return np.clip(np.asarray(SCORERS[name].suspicion(clicks), dtype=np.float64), 0.0, 1.0)
