"""Suspicion of clicks: the planted noise is found, scores are shares, what cannot be had is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from damrs_dgl.audit.detection import roc_auc
from damrs_dgl.audit.interaction_scores import (
    DEFAULT,
    SCORERS,
    Clicks,
    rank_share,
    suspicion_of,
    usable_scorers,
)
from damrs_dgl.audit.model_view import view_clicks
from damrs_dgl.data.synthetic import SyntheticShop, synthetic_shop
from damrs_dgl.errors import RecipeError
from damrs_dgl.factory import build_recipe_graph, prepare_training
from damrs_dgl.models.base import RankingModel
from damrs_dgl.recipe import load_recipe
from tests.models.builders import build, tiny_dataset

SETTINGS = ("model.backbone.dim=32", "training.epochs=8", "training.batch_size=512")


@lru_cache
def trained_on_the_shop() -> tuple[SyntheticShop, RankingModel]:
    """A shop with a known tenth of random clicks, and the default system trained on it for a few seconds."""
    shop = synthetic_shop(users=500, items=250, styles=8, seed=1)
    recipe = load_recipe("demo", SETTINGS)
    graph = build_recipe_graph(recipe, shop.dataset).graph
    trainer = prepare_training(recipe, shop.dataset, graph, device=torch.device("cpu"))
    trainer.fit()
    return shop, trainer.model


def clicks_of(model: RankingModel, data: Any, seed: int = 0) -> Clicks:
    every = torch.arange(len(data.train))
    return Clicks(data, view_clicks(model, data, every, generator=torch.Generator().manual_seed(seed)), seed)


@pytest.mark.parametrize("name", [DEFAULT, "loss"])
def test_over_folds_a_model_s_scale_has_no_say(name: str) -> None:
    """Each fold's model scores on a scale of its own; what it likes less is suspect within its fold."""
    dataset = tiny_dataset()
    clicks = clicks_of(build("mf", dataset), dataset)  # type: ignore[arg-type]
    fold = np.arange(len(dataset.train)) % 3
    scaled = replace(clicks.view, fold=fold, score=clicks.view.score * np.array([1, 10, 100])[fold] + fold)
    plain = replace(clicks.view, fold=fold)
    found = [suspicion_of(name, Clicks(dataset, view, 0)) for view in (plain, scaled)]
    assert np.allclose(*found)


@pytest.mark.parametrize("name", [DEFAULT, "belief", "reliability", "margin", "loss", "itemknn", "content"])
def test_planted_noise_is_found(name: str) -> None:
    shop, model = trained_on_the_shop()
    found = suspicion_of(name, clicks_of(model, shop.dataset))
    assert roc_auc(shop.noisy_clicks.numpy(), found) > 0.75


def test_chance_finds_nothing_and_the_printed_posterior_hardly_more() -> None:
    """With one y_n for all clicks g is 0 nearly everywhere: docs/audit.md says so, and this would notice a change."""
    shop, model = trained_on_the_shop()
    clicks, truth = clicks_of(model, shop.dataset), shop.noisy_clicks.numpy()
    assert abs(roc_auc(truth, suspicion_of("random", clicks)) - 0.5) < 0.05
    assert roc_auc(truth, suspicion_of("batch-posterior", clicks)) < 0.65
    assert roc_auc(truth, suspicion_of("posterior", clicks)) >= roc_auc(truth, suspicion_of("batch-posterior", clicks))


def test_every_score_is_a_share_and_the_same_again() -> None:
    data = tiny_dataset()
    clicks = clicks_of(build("damrs", data), data)
    assert set(usable_scorers(clicks.view, data)) == set(SCORERS)
    for name in SCORERS:
        found = suspicion_of(name, clicks)
        assert found.shape == (len(data.train),) and found.min() >= 0 and found.max() <= 1, name
        assert np.array_equal(found, suspicion_of(name, clicks_of(build("damrs", data), data))), name


def test_a_system_without_doubt_or_data_without_content() -> None:
    data = tiny_dataset()
    plain = clicks_of(build("lightgcn", data), data)
    assert set(SCORERS) - set(usable_scorers(plain.view, data)) == {
        name for name, scorer in SCORERS.items() if scorer.needs == "doubt"
    }
    assert suspicion_of(DEFAULT, plain).std() > 0
    with pytest.raises(RecipeError, match="terms f and g"):
        suspicion_of("posterior", plain)
    bare = data.replace(features={})
    with pytest.raises(RecipeError, match="needs content"):
        suspicion_of("content", clicks_of(build("lightgcn", bare), bare))
    assert suspicion_of(DEFAULT, clicks_of(build("lightgcn", bare), bare)).std() > 0
    with pytest.raises(RecipeError, match="did you mean margin"):
        suspicion_of("margn", plain)


@given(st.lists(st.floats(-10, 10), max_size=30))
def test_rank_shares_are_shares_in_the_same_order(values: list[float]) -> None:
    found = rank_share(np.array(values))
    assert len(found) == len(values) and ((found >= 0) & (found <= 1)).all()
    for a, x in zip(values, found, strict=True):
        assert all((a > b) == (x > y) for b, y in zip(values, found, strict=True))
