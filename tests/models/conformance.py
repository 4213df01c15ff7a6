"""What every model must do. A model's test class inherits `ModelConformance` and says what a recipe calls the model:

    class TestMF(ModelConformance):
        name = "mf"

The fixtures that it uses (`shop`, `popularity_recall`) are in conftest.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from damrs_dgl.assembly import build_recipe_graph, prepare_training, representations
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.errors import DataError, RecipeError
from damrs_dgl.models.representations import Representations
from damrs_dgl.recipe import Recipe, load_recipe
from damrs_dgl.recommender import Recommender
from damrs_dgl.training.checkpoint import CheckpointStore
from damrs_dgl.training.trainer import Trainer

CPU = torch.device("cpu")
SMALL: Mapping[str, object] = {
    "model.dim": 16,
    "graphs.k": 5,
    "losses.anchors": 64,
    "losses.relation_k": 5,
    "training.batch_size": 256,
    "training.learning_rate": 0.02,
    "evaluation.ks": (20,),
}


def leaves(loss: Tensor) -> set[Tensor]:
    """The tensors that a loss is differentiated by: the ends of its autograd graph."""
    found, todo, met = set(), [loss.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in met:
            continue
        met.add(node)
        if hasattr(node, "variable"):
            found.add(node.variable)
        todo.extend(parent for parent, _ in node.next_functions)
    return found


def vectors_of(found: Representations) -> list[Tensor]:
    return [found.users, found.items, found.id_items, *found.relation_items.values()]


class ModelConformance:
    """Inherit, name the model (and set `needs_content` where it cannot do without), and all of this is tested."""

    name: ClassVar[str]
    backbone: ClassVar[str] = "lightgcn"
    variant: ClassVar[str] = "paper"
    needs_content: ClassVar[bool] = False

    def recipe(self, **changes: object) -> Recipe:
        dotted = {key.replace("__", "."): value for key, value in changes.items()}
        model = {"model.name": self.name, "model.backbone": self.backbone, "model.variant": self.variant}
        return load_recipe("demo").with_values({**SMALL, **model, **dotted})

    def trainer(self, data: MultimodalDataset, **changes: Any) -> Trainer:
        recipe = self.recipe(**changes)
        return prepare_training(recipe, data, build_recipe_graph(recipe, data).graph, device=CPU)

    def trained(self, data: MultimodalDataset, **changes: Any) -> nn.Module:
        trainer = self.trainer(data, **changes)
        trainer.fit()
        return trainer.model

    @pytest.fixture(scope="class")
    def fitted(self, shop: MultimodalDataset) -> Iterator[Recommender]:
        yield Recommender(self.recipe(training__epochs=8), device="cpu").fit(shop)

    def test_known_structure_is_found(self, fitted: Recommender, popularity_recall: float) -> None:
        assert fitted.evaluate("test")["recall@20"] > 1.5 * popularity_recall

    def test_known_items_are_never_recommended(self, fitted: Recommender, shop: MultimodalDataset) -> None:
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

    def test_one_user_is_a_row_of_many(self, fitted: Recommender, shop: MultimodalDataset) -> None:
        users = shop.user_ids.to_pylist()[:3]
        items, scores = fitted.recommend(users, k=5)
        for user, row, row_scores in zip(users, items, scores, strict=True):
            alone, alone_scores = fitted.recommend(user, k=5)
            assert list(alone) == list(row)
            assert np.allclose(alone_scores, row_scores)

    def test_unknown_ids_are_refused(self, fitted: Recommender, shop: MultimodalDataset) -> None:
        with pytest.raises(DataError, match=r"1 unknown user ids, the first is 'nobody'"):
            fitted.recommend([shop.user_ids[0].as_py(), "nobody"])
        with pytest.raises(DataError, match=r"1 unknown item ids, the first is 'nothing'"):
            fitted.similar_items("nothing")

    def test_same_seed_same_numbers(self, shop: MultimodalDataset) -> None:
        first, second, other = (self.trained(shop, training__epochs=1, training__seed=seed) for seed in (3, 3, 4))
        for name, value in first.state_dict().items():
            assert torch.equal(value, second.state_dict()[name]), name
        assert not torch.equal(representations(first).items, representations(other).items)

    def test_saved_weights_give_the_same_model(self, shop: MultimodalDataset, tmp_path: Path) -> None:
        model = self.trained(shop, training__epochs=1)
        store = CheckpointStore(tmp_path, "key")
        store.save_best(model.state_dict(), {})
        fresh = self.trainer(shop, training__seed=99).model
        fresh.load_state_dict(store.load_best()[0])
        for mine, theirs in zip(vectors_of(representations(model)), vectors_of(representations(fresh)), strict=True):
            assert torch.equal(mine, theirs)

    def test_first_step_reaches_every_table(self, shop: MultimodalDataset) -> None:
        """What the loss is differentiated by is registered, optimised, and gets a finite gradient that is not 0."""
        trainer = self.trainer(shop)
        trainer.objective.start_epoch(0)
        batch = next(iter(trainer.sampler.epoch(trainer.generator)))
        loss = torch.stack(list(trainer.objective(batch).values())).sum()
        parameters = set(trainer.model.parameters())
        assert leaves(loss) == parameters
        assert set(trainer.optimizer.parameters) == parameters
        loss.backward()
        for name, parameter in trainer.model.named_parameters():
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.any(), name

    @pytest.mark.parametrize("modalities", [(), ("visual",), ("visual", "textual", "acoustic")], ids=len)
    def test_any_number_of_modalities(self, modalities: tuple[str, ...]) -> None:
        data = synthetic_shop(
            users=60, items=40, clicks_per_user=6, styles=4, dims=dict.fromkeys(modalities, 6), seed=2
        ).dataset
        if self.needs_content and not modalities:
            with pytest.raises(RecipeError, match="needs the content of at least one modality"):
                self.trainer(data)
            return
        found = representations(self.trained(data, training__epochs=1))
        assert all(torch.isfinite(part).all() for part in vectors_of(found))

    def test_users_and_items_without_edges(self) -> None:
        """A user without training interactions, items nobody chose, one without content: finite vectors, a ranking."""
        rng = np.random.default_rng(0)
        users = [f"u{n}" for n in range(12) for _ in range(5)] + ["silent"]
        items = [f"i{n}" for start in range(12) for n in rng.permutation(20)[:5]] + ["i0"]
        split = (["train"] * 4 + ["validation"]) * 12 + ["test"]
        content = rng.normal(size=(22, 4)).astype(np.float32)
        content[20] = np.nan
        data = MultimodalDataset.from_arrays(
            users, items, item_ids=[f"i{n}" for n in range(22)], features={"visual": content}, split=split
        )
        recommender = Recommender(self.recipe(training__epochs=2), device="cpu").fit(data)
        assert np.isfinite(recommender.user_vectors).all() and np.isfinite(recommender.item_vectors).all()
        ranked, scores = recommender.recommend("silent", k=21)
        assert len({*ranked}) == 21 and None not in ranked and np.isfinite(scores).all()
