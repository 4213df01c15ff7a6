"""What every system must do, over the whole registry: whoever registers a system is tested here."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.noise import corrupt
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.errors import DataError, RecipeError, RunError
from damrs_dgl.factory import build_recipe_graph, prepare_training, scorer_of
from damrs_dgl.models.base import ClosedFormModel, RankingModel
from damrs_dgl.models.registry import models, reads_content
from damrs_dgl.recipe import Recipe, load_recipe, with_values
from damrs_dgl.recommender import Recommender
from damrs_dgl.scoring import DotProduct
from damrs_dgl.training.checkpoint import CheckpointStore
from damrs_dgl.training.schedule import Progress, Schedule
from damrs_dgl.training.trainer import Trainer

CPU = torch.device("cpu")
WRAPPED = ("mf", "vbpr", "sgl", "ngcf")  # beside its default, what DA-MRS is tried round
EPOCHS = 40  # of the test that a system learns, at most


def systems() -> list[tuple[str, dict[str, object]]]:
    """Every registered system, and DA-MRS round several."""
    known = [(name, {"model.name": name}) for name in models()]
    return known + [
        (f"damrs round {name}", {"model.name": "damrs", "model.backbone": name}) for name in WRAPPED if name in models()
    ]


SYSTEMS = systems()


@pytest.fixture(params=SYSTEMS, ids=[name for name, _ in SYSTEMS])
def keys(request: pytest.FixtureRequest) -> dict[str, object]:
    return dict(request.param[1])


def recipe_of(keys: dict[str, object], **changes: object) -> Recipe[Any]:
    """The demo's recipe for a system, small: width 16 where it has a width."""
    small = {"graphs.k": 5, "training.batch_size": 256, "training.learning_rate": 0.02, "evaluation.ks": (20,)}
    recipe = with_values(load_recipe("demo"), {**small, **keys})
    extra: dict[str, object] = {}
    if "dim" in type(recipe.model).model_fields or hasattr(getattr(recipe.model, "backbone", None), "dim"):
        extra["model.dim"] = 16
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return with_values(recipe, {**extra, **dotted})


def trainer_of(keys: dict[str, object], data: MultimodalDataset, **changes: Any) -> Trainer:
    recipe = recipe_of(keys, **changes)
    return prepare_training(recipe, data, build_recipe_graph(recipe, data).graph, device=CPU)


def trained(keys: dict[str, object], data: MultimodalDataset, **changes: Any) -> RankingModel:
    trainer = trainer_of(keys, data, **changes)
    trainer.fit()
    return trainer.model


def all_scores(model: RankingModel) -> torch.Tensor:
    scorer = scorer_of(model)
    return scorer.scores(torch.arange(scorer.num_users))


def test_planted_structure_is_found(keys: dict[str, object], shop: MultimodalDataset, popularity_recall: float) -> None:
    """Well above popularity, which is itself the exception; and the Python API's promises on the fitted system."""
    fitted = Recommender(recipe_of(keys, training__epochs=EPOCHS, training__patience=10), device="cpu").fit(shop)
    recall = fitted.evaluate("test")["recall@20"]
    if keys["model.name"] == "popularity":
        assert recall == pytest.approx(popularity_recall, abs=0.02)
    else:
        assert recall > 1.5 * popularity_recall
    _known_items_are_never_recommended(fitted, shop)
    _one_user_is_a_row_of_many(fitted, shop)
    with pytest.raises(DataError, match=r"1 unknown user ids, the first is 'nobody'"):
        fitted.recommend([shop.user_ids[0].as_py(), "nobody"])
    if isinstance(fitted._scorer, DotProduct):
        with pytest.raises(DataError, match=r"1 unknown item ids, the first is 'nothing'"):
            fitted.similar_items("nothing")
    else:
        with pytest.raises(RunError, match="has no user and item vectors, only scores"):
            fitted.similar_items(shop.item_ids[0].as_py())


def _known_items_are_never_recommended(fitted: Recommender, shop: MultimodalDataset) -> None:
    """With k beyond the catalogue: all that is left, once each, then None."""
    users = shop.user_ids.to_pylist()
    items, scores = fitted.recommend(users, k=shop.num_items + 7)
    assert items.shape == scores.shape == (shop.num_users, shop.num_items + 7)
    known: list[set[int]] = [set() for _ in users]
    for _, split in shop.splits():
        for user, item in zip(split.users.tolist(), split.items.tolist(), strict=True):
            known[user].add(item)
    catalogue = np.array(shop.item_ids.to_pylist())
    for row, row_scores, taken in zip(items, scores, known, strict=True):
        left = np.delete(catalogue, sorted(taken))
        assert sorted(row[: len(left)]) == list(left) and all(entry is None for entry in row[len(left) :])
        assert np.isfinite(row_scores[: len(left)]).all() and np.isneginf(row_scores[len(left) :]).all()
        assert (np.diff(row_scores[: len(left)]) <= 0).all()


def _one_user_is_a_row_of_many(fitted: Recommender, shop: MultimodalDataset) -> None:
    users = shop.user_ids.to_pylist()[:3]
    items, scores = fitted.recommend(users, k=5)
    for user, row, row_scores in zip(users, items, scores, strict=True):
        alone, alone_scores = fitted.recommend(user, k=5)
        assert list(alone) == list(row)
        assert np.allclose(alone_scores, row_scores)


def test_same_seed_same_numbers(keys: dict[str, object], shop: MultimodalDataset) -> None:
    first, second, other = (trained(keys, shop, training__epochs=1, training__seed=seed) for seed in (3, 3, 4))
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    if not isinstance(first, ClosedFormModel):
        assert not torch.equal(all_scores(first), all_scores(other))


def test_saved_weights_give_the_same_model(keys: dict[str, object], shop: MultimodalDataset, tmp_path: Path) -> None:
    model = trained(keys, shop, training__epochs=2)
    store = CheckpointStore(tmp_path, "key")
    store.save_best(model.state_dict(), {})
    fresh = trainer_of(keys, shop, training__seed=99).model
    fresh.load_state_dict(store.load_best()[0])
    assert torch.equal(all_scores(model), all_scores(fresh))


def test_a_resumed_training_is_the_uninterrupted_one(
    keys: dict[str, object], shop: MultimodalDataset, tmp_path: Path
) -> None:
    """Stopped after the second of four epochs and taken up by a new process's trainer."""
    whole = trainer_of(keys, shop, training__epochs=4)
    whole.fit()

    class Stop(Exception):
        pass

    def stop(progress: Progress, schedule: Schedule) -> None:
        if progress.epoch == 2:
            raise Stop

    def begin() -> Trainer:
        trainer = trainer_of(keys, shop, training__epochs=4)
        trainer.store = CheckpointStore(tmp_path, "key")
        return trainer

    first = begin()
    first.listeners.append(stop)
    if isinstance(first.model, ClosedFormModel):
        first.fit()
    else:
        with pytest.raises(Stop):
            first.fit()
    second = begin()
    second.resume()
    second.fit()
    assert [row["loss"] for row in second.progress.history] == [row["loss"] for row in whole.progress.history]
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name
    assert torch.equal(all_scores(whole.model), all_scores(second.model))


def test_every_table_is_learned(keys: dict[str, object], shop: MultimodalDataset) -> None:
    """After an epoch every parameter has moved, and is finite: nothing is registered in vain."""
    trainer = trainer_of(keys, shop, training__epochs=1)
    before = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    trainer.fit()
    for name, value in trainer.model.named_parameters():
        assert torch.isfinite(value).all(), name
        assert not torch.equal(value, before[name]), name


def test_evaluation_draws_nothing(keys: dict[str, object], shop: MultimodalDataset) -> None:
    model = trained(keys, shop, training__epochs=1)
    state = torch.get_rng_state()
    assert torch.equal(all_scores(model), all_scores(model))
    assert torch.equal(torch.get_rng_state(), state)


def test_content_changes_what_reads_it_and_nothing_else(keys: dict[str, object], shop: MultimodalDataset) -> None:
    """`stress` takes a system's word for it that content is nothing to it."""
    noisy = corrupt(shop, "visual", 0.5, seed=0)
    clean, other = (all_scores(trained(keys, data, training__epochs=1)) for data in (shop, noisy))
    assert torch.equal(clean, other) == (not reads_content(recipe_of(keys).model))


@lru_cache
def small_shop(modalities: tuple[str, ...]) -> MultimodalDataset:
    return synthetic_shop(
        users=60, items=40, clicks_per_user=6, styles=4, dims=dict.fromkeys(modalities, 6), seed=2
    ).dataset


@pytest.mark.parametrize("modalities", [(), ("visual",), ("visual", "textual", "acoustic")], ids=len)
def test_any_number_of_modalities(keys: dict[str, object], modalities: tuple[str, ...]) -> None:
    data = small_shop(modalities)
    wrapped = models().get(str(keys.get("model.backbone")))
    if not modalities and any(m.needs_content for m in (models()[str(keys["model.name"])], wrapped) if m):
        with pytest.raises(RecipeError, match="needs content, and there is no modality in the data"):
            trainer_of(keys, data)
        return
    assert torch.isfinite(all_scores(trained(keys, data, training__epochs=1))).all()


@pytest.fixture(scope="module")
def sparse_data() -> Iterator[MultimodalDataset]:
    """A user without training interactions, items nobody chose, one without content."""
    rng = np.random.default_rng(0)
    users = [f"u{n}" for n in range(12) for _ in range(5)] + ["silent"]
    items = [f"i{n}" for start in range(12) for n in rng.permutation(20)[:5]] + ["i0"]
    split = (["train"] * 4 + ["validation"]) * 12 + ["test"]
    content = rng.normal(size=(22, 4)).astype(np.float32)
    content[20] = np.nan
    yield MultimodalDataset.from_arrays(
        users, items, item_ids=[f"i{n}" for n in range(22)], features={"visual": content}, split=split
    )


def test_users_and_items_without_edges(keys: dict[str, object], sparse_data: MultimodalDataset) -> None:
    """Finite scores, and a whole ranking for the user who has no training interaction."""
    recommender = Recommender(recipe_of(keys, training__epochs=2), device="cpu").fit(sparse_data)
    ranked, scores = recommender.recommend("silent", k=21)
    assert len({*ranked}) == 21 and None not in ranked and np.isfinite(scores).all()
