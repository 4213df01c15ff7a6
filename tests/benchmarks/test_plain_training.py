"""The benchmark's plain training step computes what the toolkit does: terms and gradients in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.plain_training import PlainDAMRS, PlainSampler, PlainTraining
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.factory import build_recipe_graph, prepare_training
from damrs_dgl.models.damrs.variants import VARIANTS
from damrs_dgl.recipe import load_recipe, with_values

TERMS = ["feedback", "preference", "relations", "regularization"]
SETTINGS = {
    "model.dim": 6,
    "graphs.k": 3,
    "model.alpha": 1.5,
    "model.beta": 2.0,
    "model.gamma": 2.0,
    "model.relation_k": 4,
    "model.preference_weight": 0.7,
    "model.relation_weight": 0.3,
    "model.regularization": 0.1,
    "model.anchors": "all",
    "model.refresh": "step",
    "training.batch_size": 48,
    "training.start": "random",
}


class Sides:
    """One model, one batch: the toolkit's step and the plain one, float64."""

    def __init__(self, variant: str) -> None:
        sizes = {"users": 50, "items": 40, "styles": 4, "clicks_per_user": 6, "dims": {"visual": 8, "textual": 7}}
        data = synthetic_shop(**sizes, seed=3).dataset
        recipe = with_values(load_recipe("demo"), {**SETTINGS, "model.variant": variant})
        graph = build_recipe_graph(recipe, data).graph
        trainer = prepare_training(recipe, data, graph, device=torch.device("cpu"))
        self.fast: Any = trainer.model.double()
        self.slow = PlainDAMRS(graph, recipe).double()
        with torch.no_grad():
            for table in self.tables(self.fast.backbone):
                # Far enough from 0 that f, g and the softmaxes vary, and no two items with the same neighbours tie.
                table.mul_(4)
            for mine, theirs in zip(self.tables(self.slow), self.tables(self.fast.backbone), strict=True):
                mine.copy_(theirs)
        self.training = PlainTraining(self.slow, recipe)
        self.batch = next(iter(trainer.sampler.epoch(torch.Generator().manual_seed(2))))
        self.triples = (self.batch.users, self.batch.positive_items, self.batch.negative_items)

    def loss(self) -> float:
        return torch.stack(list(self.training.terms(self.triples).values())).sum().item()

    @staticmethod
    def tables(model: Any) -> list[Tensor]:
        return [model.user_table, model.item_table]


@pytest.fixture(scope="module", params=VARIANTS)
def sides(request: pytest.FixtureRequest) -> Sides:
    return Sides(request.param)


@pytest.mark.parametrize("term", TERMS)
def test_terms_and_gradients(sides: Sides, term: str) -> None:
    mine, theirs = sides.training.terms(sides.triples)[term], sides.fast.training_step(sides.batch)[term]
    assert mine.dtype == torch.float64 and mine.item() != 0
    assert mine.item() == pytest.approx(theirs.item(), rel=1e-5)
    gradients = torch.autograd.grad(mine, sides.tables(sides.slow), allow_unused=True)
    wanted = torch.autograd.grad(theirs, sides.tables(sides.fast.backbone), allow_unused=True)
    for got, want in zip(gradients, wanted, strict=True):
        assert (got is None) == (want is None)
        if got is not None and want is not None:
            assert want.any()
            assert torch.allclose(got, want, rtol=1e-5, atol=1e-7 * want.abs().max().item())


def test_terms_are_all(sides: Sides) -> None:
    assert set(sides.training.terms(sides.triples)) == set(sides.fast.training_step(sides.batch)) == set(TERMS)


def test_both_confidences_vary(sides: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the comparison would not see them."""
    seen: dict[str, Tensor] = {}

    def keep(*arguments: Any, **_: Any) -> Tensor:
        seen["f"], seen["g"] = arguments[2:4]
        return arguments[0].sum()

    monkeypatch.setattr("benchmarks.plain_training.denoised_bpr", keep)
    sides.training.terms(sides.triples)
    assert seen["f"].std() > 0.01 and (seen["g"] > 0).any() and (seen["g"] == 0).any()


def test_the_plain_step_learns() -> None:
    sides = Sides("authors")
    before = sides.loss()
    assert sides.training.step(sides.triples) == pytest.approx(before)
    for _ in range(10):
        sides.training.step(sides.triples)
    assert sides.loss() < before


def test_the_plain_sampler_gives_each_pair_once_with_an_unknown_negative() -> None:
    data = synthetic_shop(users=50, items=40, styles=4, clicks_per_user=6).dataset
    pairs = set(zip(data.train.users.tolist(), data.train.items.tolist(), strict=True))
    sampler = PlainSampler(data.train, data.num_items, batch_size=64)
    batches = list(sampler.epoch())
    assert len(batches) == len(sampler)
    triples = [triple for batch in batches for triple in zip(*(ids.tolist() for ids in batch), strict=True)]
    assert len(triples) == len(pairs) and {(u, i) for u, i, _ in triples} == pairs
    assert not pairs & {(u, j) for u, _, j in triples}
