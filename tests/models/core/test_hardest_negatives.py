"""A click ranked above the hardest of several sampled items: which one it is, and what a step then learns from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import softplus

from damrs_dgl.factory import build_recipe_graph, load_dataset, prepare_training
from damrs_dgl.models.base import Batch, pair_scores
from damrs_dgl.models.damrs.objective import confidences
from damrs_dgl.recipe import load_recipe, with_values
from damrs_dgl.training.trainer import Trainer

CPU = torch.device("cpu")


def sampled_batch(
    seed: int, pairs: int, more: int | None, *, nodes: int = 6
) -> tuple[Batch, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def ids(*shape: int) -> torch.Tensor:
        return torch.randint(nodes, shape, generator=generator)

    others = None if more is None else ids(more, pairs)
    batch = Batch(ids(pairs), ids(pairs), ids(pairs), generator, more_negatives=others)
    users, items = (torch.randn(nodes, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    return batch, users, items


@given(st.integers(0, 999), st.integers(1, 9), st.integers(1, 4))
def test_the_hardest_is_the_one_that_scores_highest(seed: int, pairs: int, more: int) -> None:
    batch, users, items = sampled_batch(seed, pairs, more)
    assert batch.negative_items is not None and batch.more_negatives is not None
    found = batch.with_hardest_negatives(users, items)
    assert found.negative_items is not None and found.more_negatives is None
    for row in range(pairs):
        sampled = [int(batch.negative_items[row]), *batch.more_negatives[:, row].tolist()]
        scores = {item: float(users[batch.users[row]] @ items[item]) for item in sampled}
        assert scores[int(found.negative_items[row])] == pytest.approx(max(scores.values()))
    assert torch.equal(found.positive_items, batch.positive_items) and torch.equal(found.users, batch.users)


def test_one_sampled_item_is_the_batch_itself() -> None:
    batch, users, items = sampled_batch(0, 4, None)
    assert batch.with_hardest_negatives(users, items) is batch
    pairs = replace(batch, negative_items=None)
    assert pairs.with_hardest_negatives(users, items) is pairs


def trainer_of(model: str, **changes: Any) -> Trainer:
    values = {"model.name": model, "training.batch_size": 64, **{f"model.{k}": v for k, v in changes.items()}}
    size = {"data.users": 40, "data.items": 30, "data.clicks_per_user": 6}
    recipe = with_values(load_recipe("demo"), {**size, **values})
    dataset = load_dataset(recipe)
    return prepare_training(recipe, dataset, build_recipe_graph(recipe, dataset).graph, device=CPU)


@pytest.mark.parametrize("system", ["mf", "lightgcn", "damrs"])
def test_a_step_is_that_of_the_hardest_items(system: str) -> None:
    """The same as one where these are the sampled ones; f and g of DA-MRS compare with random items: off here."""
    plain = {"denoised_bpr": False} if system == "damrs" else {}
    trainer = trainer_of(system, negatives=5, **plain)
    model = trainer.model
    batch = next(iter(trainer.sampler.epoch(torch.Generator().manual_seed(1))))
    assert batch.more_negatives is not None and batch.more_negatives.shape == (4, 64)
    users, items = model.embeddings()
    hardest = batch.with_hardest_negatives(users, items)
    assert not torch.equal(hardest.negative_items, batch.negative_items)  # type: ignore[arg-type]
    terms, expected = model.training_step(batch), model.training_step(hardest)
    assert terms.keys() == expected.keys()
    for name in terms:
        torch.testing.assert_close(terms[name], expected[name])
    x = (users[batch.users] * (items[batch.positive_items] - items[hardest.negative_items])).sum(1)
    torch.testing.assert_close(terms["feedback"], softplus(-x).mean())


def test_the_authors_y_n_is_of_random_items() -> None:
    """Else harder items would make clicks look contradicted."""
    trainer = trainer_of("damrs", negatives=5)
    model: Any = trainer.model
    batch = next(iter(trainer.sampler.epoch(torch.Generator().manual_seed(1))))
    vectors = model.represent()
    users = vectors.users[batch.users]
    positive, random = vectors.items[batch.positive_items], vectors.items[batch.negative_items]
    f, g = confidences(model.config, model.variant, vectors, batch, users, pair_scores(users, random))
    hardest = vectors.items[batch.with_hardest_negatives(vectors.users, vectors.items).negative_items]
    x = (users * (positive - hardest)).sum(1)
    torch.testing.assert_close(model.training_step(batch)["feedback"], (f * softplus(-x) + g * softplus(x)).mean())
    assert g.any()


def test_a_softmax_draws_one() -> None:
    assert trainer_of("damrs", negatives=5, feedback="softmax").sampler.num_negatives == 1
