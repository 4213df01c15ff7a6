"""From recipe to objects: every key arrives where it acts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.errors import DeviceError, RecipeError
from damrs_dgl.evaluation.metrics import evaluate_ranking
from damrs_dgl.factory import (
    SplitEvaluator,
    build_model,
    build_recipe_graph,
    excluded_pairs,
    known_interactions,
    load_dataset,
    pick_device,
    prepare_training,
    scorer_of,
)
from damrs_dgl.models.damrs.model import DAMRS
from damrs_dgl.models.damrs.variants import VARIANTS
from damrs_dgl.models.lightgcn import LightGCN
from damrs_dgl.models.mf import MF
from damrs_dgl.models.vbpr import VBPR
from damrs_dgl.recipe import Recipe, load_recipe, with_values
from damrs_dgl.scoring import DotProduct
from damrs_dgl.training.checkpoint import CheckpointStore

CPU = torch.device("cpu")


def recipe(**changes: Any) -> Recipe[Any]:
    small = {"model.dim": 6, "graphs.k": 3, "training.batch_size": 64, "training.start": "random"}
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return with_values(load_recipe("demo"), {**small, **dotted})


@pytest.fixture(scope="module")
def data() -> MultimodalDataset:
    return synthetic_shop(
        users=50, items=40, clicks_per_user=8, styles=4, dims={"visual": 5, "textual": 4}, seed=0
    ).dataset


@pytest.fixture(scope="module")
def graph(data: MultimodalDataset) -> dgl.DGLGraph:
    return build_recipe_graph(recipe(), data).graph


def model_of(made: Recipe[Any], data: MultimodalDataset, graph: dgl.DGLGraph) -> Any:
    return build_model(made, data, graph, generator=torch.Generator().manual_seed(0), device=CPU)


def test_pick_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == CPU
    with pytest.raises(DeviceError, match="--device cuda"):
        pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == pick_device("cuda") == torch.device("cuda")
    assert pick_device("cpu") == CPU


def test_synthetic_data_as_the_recipe_asks() -> None:
    asked = recipe(
        data__users=70, data__items=60, data__styles=4, data__modalities={"visual": {"dim": 3}}, data__seed=5
    )
    made = load_dataset(asked)
    assert (made.num_users, made.num_items, {m: f.dim for m, f in made.features.items()}) == (70, 60, {"visual": 3})
    assert made.fingerprint() == load_dataset(asked).fingerprint()
    assert made.fingerprint() != load_dataset(with_values(asked, {"data.seed": 6})).fingerprint()


def test_graph_keys(data: MultimodalDataset) -> None:
    built = build_recipe_graph(
        recipe(model__variant="paper", graphs__k=2, graphs__consistency=False, graphs__behavior_min_count=3), data
    )
    assert built.summary["parameters"] == {
        "k": 2,
        "consistency": False,
        "behavior": True,
        "behavior_k": 10,
        "behavior_min_count": 3,
        "behavior_weighted": True,
        "behavior_similarity": "count",
        "candidates": "exact",
    }
    authors = build_recipe_graph(recipe(model__variant="authors"), data).summary["parameters"]
    assert (authors["behavior_k"], authors["behavior_weighted"]) == (2, False)


@pytest.mark.parametrize(("name", "kind"), [("mf", MF), ("lightgcn", LightGCN), ("vbpr", VBPR)])
def test_models_by_name(data: MultimodalDataset, graph: dgl.DGLGraph, name: str, kind: type) -> None:
    plain = model_of(recipe(model__name=name), data, graph)
    assert type(plain) is kind and plain.item_table.shape == (40, 6)
    for variant in VARIANTS:
        wrapped = model_of(recipe(model__backbone=name, model__variant=variant, model__item_layers=2), data, graph)
        assert isinstance(wrapped, DAMRS) and type(wrapped.backbone) is kind
        assert wrapped.variant is VARIANTS[variant] and wrapped.config.item_layers == 2
        assert wrapped.relation_names == ("textual", "visual", "behavior")


def test_a_model_sees_its_own_keys(data: MultimodalDataset, graph: dgl.DGLGraph) -> None:
    """Those of [model], and of [model.backbone] for what is wrapped, as the recipe has them."""
    plain = recipe(model__name="lightgcn", model__num_layers=3)
    assert model_of(plain, data, graph).config is plain.model
    assert model_of(plain, data, graph).convolution.num_layers == 3
    wrapped = recipe(model__num_layers=1, model__gamma=3.0)
    made = model_of(wrapped, data, graph)
    assert made.config is wrapped.model and made.backbone.config is wrapped.model.backbone
    assert made.backbone.convolution.num_layers == 1


@pytest.mark.parametrize(
    ("model", "who"),
    [
        ({"name": "vbpr"}, 'model.name = "vbpr"'),
        ({"name": "damrs", "backbone": "bm3"}, 'model.backbone = "bm3"'),
        (
            {"name": "blend", "members": {"a": "mf", "b": {"name": "tce", "backbone": "grcn"}}},
            'model.members.b.backbone = "grcn"',
        ),
        ({"name": "itemknn", "source": "both"}, 'model.name = "itemknn" with source "both"'),
        ({"name": "graph_filter", "linear": 0.0, "lowpass": 0.0}, '"graph_filter" without linear and lowpass'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_data_without_content_are_refused_whatever_needs_it(
    data: MultimodalDataset, model: dict[str, Any], who: str
) -> None:
    """Data in memory, beside a recipe whose [data] has modalities."""
    bare = data.replace(features={})
    own = with_values(load_recipe("demo"), {"model": model})
    with pytest.raises(RecipeError, match=f"{who} needs content, and there is no modality in the data"):
        model_of(own, bare, build_recipe_graph(own, bare).graph)


def test_a_model_without_the_item_relations_that_it_needs(data: MultimodalDataset) -> None:
    bare = data.replace(features={})
    without = recipe(graphs__behavior=False)
    with pytest.raises(RecipeError, match=r"needs an item-item graph.*or write graphs\.behavior = true"):
        model_of(without, bare, build_recipe_graph(without, bare).graph)


def test_a_modality_may_be_left_out_whose_file_is_not_there(data: MultimodalDataset, graph: dgl.DGLGraph) -> None:
    own = recipe(model={"name": "slmrec", "left_out": ["acoustic"]})
    with pytest.raises(RecipeError, match=r'model\.left_out holds "acoustic", which is no modality of the data'):
        model_of(own, data, graph)
    files = {"format": "mmrec", "path": "x", "modalities": dict.fromkeys(("visual", "textual", "acoustic"), "x.npy")}
    lenient = with_values(own, {"data": {**files, "optional_modalities": True}})
    assert len(model_of(lenient, data, graph).projections) == 2


def test_training_keys(data: MultimodalDataset, graph: dgl.DGLGraph) -> None:
    asked = recipe(
        training__learning_rate=0.03,
        training__learning_rate_decay=0.9,
        training__epochs=7,
        training__patience=3,
        training__evaluate_every=2,
        training__monitor="ndcg@10",
        training__batch_size=99,
        training__matmul_precision="high",
    )
    trainer = prepare_training(asked, data, graph, device=CPU)
    assert trainer.optimizers["model"].lr == 0.03 and trainer.matmul_precision == "high"
    assert vars(trainer.schedule) == {
        "epochs": 7,
        "patience": 3,
        "evaluate_every": 2,
        "monitor": "ndcg@10",
        "learning_rate": 0.03,
        "learning_rate_decay": 0.9,
        "first_judged": 1,
        "waits_for_climb": False,
    }
    assert trainer.sampler.batch_size == 99 and trainer.sampler.num_negatives == 1
    tables = [
        prepare_training(recipe(training__seed=seed), data, graph, device=CPU).model.tables() for seed in (1, 1, 2)
    ]
    users = [pair[0] for pair in tables if pair]
    assert torch.equal(users[0], users[1]) and not torch.equal(users[0], users[2])


def test_auto_goes_by_the_data(data: MultimodalDataset, graph: dgl.DGLGraph) -> None:
    asked = recipe(training__batch_size="auto", training__patience="auto", training__evaluate_every=3)
    trainer = prepare_training(asked, data, graph, device=CPU)
    assert trainer.sampler.batch_size == 256 and len(trainer.sampler) == -(-len(data.train) // 256) == 2
    assert trainer.schedule.patience == -(-500 // (2 * 3)) and trainer.schedule.waits_for_climb
    asked = recipe(training__patience=7)
    assert not prepare_training(asked, data, graph, device=CPU).schedule.waits_for_climb


def test_the_batches_are_those_that_the_model_asks_for(data: MultimodalDataset, graph: dgl.DGLGraph) -> None:
    batch = next(prepare_training(recipe(model__anchors=3), data, graph, device=CPU).sampler.epoch(torch.Generator()))
    assert len(batch.extra["anchor_users"]) == len(batch.extra["anchor_items"]) == 3
    pairs = prepare_training(recipe(model__name="bm3"), data, graph, device=CPU).sampler
    assert pairs.num_negatives == 0 and next(pairs.epoch(torch.Generator())).negative_items is None


def test_a_closed_form_has_one_epoch(data: MultimodalDataset, graph: dgl.DGLGraph) -> None:
    blend = {"mf": "mf", "lightgcn": "lightgcn"}
    asked = with_values(load_recipe("demo"), {"model": {"name": "blend", "members": blend}, "training.epochs": 9})
    trainer = prepare_training(asked, data, graph, device=CPU)
    assert (trainer.schedule.epochs, trainer.schedule.patience, trainer.schedule.evaluate_every) == (1, 1, 1)
    assert {name: part.schedule.epochs for name, part in trainer.members.items()} == dict.fromkeys(blend, 9)


def test_members_keep_their_checkpoints_below(data: MultimodalDataset, graph: dgl.DGLGraph, tmp_path: Path) -> None:
    asked = with_values(load_recipe("demo"), {"model": {"name": "blend", "members": {"a": "mf", "b": "mf"}}})
    trainer = prepare_training(asked, data, graph, device=CPU, store=CheckpointStore(tmp_path, "key"))
    stores = {name: part.store for name, part in trainer.members.items()}
    assert {name: store.folder for name, store in stores.items() if store} == {
        name: tmp_path / "members" / name for name in ("a", "b")
    }
    in_memory = prepare_training(asked, data, graph, device=CPU)
    assert [part.store for part in in_memory.members.values()] == [None, None]


def test_protocols(data: MultimodalDataset) -> None:
    """`unseen` leaves the validation items out at test; nothing else differs."""
    train = len(data.train)
    for protocol, at_test in (("paper", train), ("unseen", train + len(data.validation))):
        asked = recipe(evaluation__protocol=protocol)
        assert len(excluded_pairs(asked, data, "validation")[0]) == train
        users, items = excluded_pairs(asked, data, "test")
        assert len(users) == len(items) == at_test
    users, items = known_interactions(data)
    pairs = set(zip(users.tolist(), items.tolist(), strict=True))
    assert len(pairs) == len(users) == sum(len(split) for _, split in data.splits())


@pytest.mark.parametrize("protocol", ["paper", "unseen"])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_evaluator_is_the_full_ranking(data: MultimodalDataset, protocol: str, split: str) -> None:
    asked = recipe(evaluation__protocol=protocol, evaluation__ks=(3, 20), training__monitor="recall@20")
    generator = torch.Generator().manual_seed(0)
    users, items = (torch.randn(n, 4, generator=generator) for n in (50, 40))
    relevant = getattr(data, split)
    trained = torch.zeros(50, dtype=torch.bool)
    trained[data.train.users] = True
    expected = evaluate_ranking(
        users,
        items,
        relevant=(relevant.users, relevant.items),
        seen=excluded_pairs(asked, data, split),
        trained_users=trained,
        ks=(3, 20),
    )
    assert SplitEvaluator(asked, data, split)(DotProduct(users, items)) == expected.metrics


def test_the_scorer_is_of_evaluation_and_without_gradient(data: MultimodalDataset, graph: dgl.DGLGraph) -> None:
    model = model_of(recipe(), data, graph)
    model.train()
    scorer = scorer_of(model)
    assert not model.training
    scores = scorer.scores(torch.tensor([3, 0]))
    assert scores.shape == (2, 40) and not scores.requires_grad
    users, items = model.embeddings()
    assert torch.allclose(scores, (users @ items.T)[[3, 0]], atol=1e-7)
