"""From recipe to objects: every key arrives where it acts."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from damrs_dgl.assembly import (
    SplitEvaluator,
    build_model,
    build_objective,
    build_recipe_graph,
    candidates_left_out,
    known_interactions,
    load_dataset,
    pick_device,
    prepare_training,
    representations,
)
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.formats import FORMATS
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.errors import DeviceError, RecipeError
from damrs_dgl.evaluation.metrics import evaluate_ranking
from damrs_dgl.models.backbones import MF, VBPR, LightGCN, unit_content
from damrs_dgl.models.damrs import DAMRS, fuse_mean, fuse_sum
from damrs_dgl.recipe import Recipe, load_recipe
from damrs_dgl.recipe.data_section import DATA_FORMATS
from damrs_dgl.training.objective import AUTHORS, PAPER

CPU = torch.device("cpu")


def recipe(**changes: Any) -> Recipe:
    small = {"model.dim": 6, "graphs.k": 3, "training.batch_size": 64}
    return load_recipe("demo").with_values({**small, **{k.replace("__", "."): v for k, v in changes.items()}})


@pytest.fixture(scope="module")
def data() -> MultimodalDataset:
    return synthetic_shop(
        users=50, items=40, clicks_per_user=8, styles=4, dims={"visual": 5, "textual": 4}, seed=0
    ).dataset


@pytest.fixture(scope="module")
def graph(data: MultimodalDataset) -> dgl.DGLGraph:
    return build_recipe_graph(recipe(), data).graph


def model_of(made: Recipe, data: MultimodalDataset, graph: dgl.DGLGraph) -> Any:
    return build_model(made, data, graph, generator=torch.Generator().manual_seed(0), device=CPU)


def test_pick_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == CPU
    with pytest.raises(DeviceError, match="--device cuda"):
        pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == pick_device("cuda") == torch.device("cuda")
    assert pick_device("cpu") == CPU


def test_every_format_of_a_recipe_has_its_reader() -> None:
    assert {*FORMATS, "synthetic"} == set(DATA_FORMATS)


def test_synthetic_data_as_the_recipe_asks() -> None:
    asked = recipe(
        data__users=70, data__items=60, data__styles=4, data__modalities={"visual": {"dim": 3}}, data__seed=5
    )
    made = load_dataset(asked)
    assert (made.num_users, made.num_items, {m: f.dim for m, f in made.features.items()}) == (70, 60, {"visual": 3})
    assert made.fingerprint() == load_dataset(asked).fingerprint()
    assert made.fingerprint() != load_dataset(asked.with_values({"data.seed": 6})).fingerprint()


def test_graph_keys(data: MultimodalDataset) -> None:
    built = build_recipe_graph(recipe(graphs__k=2, graphs__consistency=False, graphs__behavior_min_count=3), data)
    assert built.summary["parameters"] == {
        "k": 2,
        "consistency": False,
        "behavior": True,
        "behavior_k": 10,
        "behavior_min_count": 3,
        "behavior_weighted": True,
        "candidates": "exact",
    }
    authors = build_recipe_graph(recipe(model__variant="authors"), data).summary["parameters"]
    assert (authors["behavior_k"], authors["behavior_weighted"]) == (2, False)


@pytest.mark.parametrize(("name", "kind"), [("mf", MF), ("lightgcn", LightGCN), ("vbpr", VBPR)])
def test_models_by_name(data: MultimodalDataset, graph: dgl.DGLGraph, name: str, kind: type) -> None:
    plain = model_of(recipe(model__name=name), data, graph)
    assert type(plain) is kind and plain.item_table.shape == (40, 6)
    for variant, fuse in (("paper", fuse_mean), ("authors", fuse_sum)):
        wrapped = model_of(recipe(model__backbone=name, model__variant=variant, model__item_layers=2), data, graph)
        assert isinstance(wrapped, DAMRS) and type(wrapped.backbone) is kind
        assert wrapped.fuse is fuse and wrapped.num_layers == 2
        assert wrapped.relation_names == ("textual", "visual", "behavior")


def test_lightgcn_layers(data: MultimodalDataset, graph: dgl.DGLGraph) -> None:
    assert model_of(recipe(model__name="lightgcn", model__layers=3), data, graph).convolution.num_layers == 3


def test_vbpr_sees_the_content_of_all_modalities(data: MultimodalDataset, graph: dgl.DGLGraph) -> None:
    model = model_of(recipe(model__name="vbpr"), data, graph)
    expected = unit_content([features.block(0, 40) for features in data.features.values()])
    assert torch.equal(model.features, expected) and model.features.shape == (40, 9)


def test_models_without_what_they_need(data: MultimodalDataset) -> None:
    bare = data.replace(features={})
    with pytest.raises(RecipeError, match="content of at least one modality"):
        model_of(recipe(model__name="vbpr"), bare, build_recipe_graph(recipe(), bare).graph)
    without = recipe(graphs__behavior=False)
    with pytest.raises(RecipeError, match="no item-item relation"):
        model_of(without, bare, build_recipe_graph(without, bare).graph)


@pytest.mark.parametrize(
    ("key", "value", "attribute", "expected"),
    [
        ("denoised_bpr", False, "denoise", False),
        ("reliability", False, "use_reliability", False),
        ("contradiction", False, "use_contradiction", False),
        ("alpha", 0.7, "alpha", 0.7),
        ("beta", 0.6, "beta", 0.6),
        ("gamma", 2.5, "gamma", 2.5),
        ("preference_weight", 0.3, "preference_weight", 0.3),
        ("relation_weight", 0.2, "relation_weight", 0.2),
        ("relation_strategy", "SP", "relation_strategy", "SP"),
        ("relation_k", 4, "relation_k", 4),
        ("temperature", 0.5, "temperature", 0.5),
        ("regularization", 0.05, "regularization", 0.05),
        ("refresh", 7, "refresh_every", 7),
        ("refresh", "epoch", "refresh_every", 1),
        ("refresh", "step", "refresh_every", None),
    ],
)
def test_each_loss_key(
    data: MultimodalDataset, graph: dgl.DGLGraph, key: str, value: object, attribute: str, expected: object
) -> None:
    changed = recipe(**{f"losses__{key}": value})
    assert getattr(build_objective(changed, model_of(changed, data, graph)), attribute) == expected


def test_every_loss_key_is_tested_above() -> None:
    marks = test_each_loss_key.pytestmark[0]  # type: ignore[attr-defined]
    tested = {case[0] for case in marks.args[1]}
    assert tested == set(type(recipe().losses).model_fields) - {
        "anchors",
        "softmax_sample",
        "sampled_softmax_above",
    }  # the sampler's


def test_variants_and_plain_models(data: MultimodalDataset, graph: dgl.DGLGraph) -> None:
    paper, authors = recipe(), recipe(model__variant="authors", model__backbone="mf")
    assert build_objective(paper, model_of(paper, data, graph)).variant is PAPER
    objective = build_objective(authors, model_of(authors, data, graph))
    assert objective.variant is AUTHORS
    assert (objective.alpha, objective.beta, objective.regularization) == (1.0, 2.0, 0.1)
    plain = recipe(model__name="mf")
    objective = build_objective(plain, model_of(plain, data, graph))
    assert not objective.denoise and objective.preference_weight == objective.relation_weight == 0
    assert objective.regularization == 0.1


def test_training_keys(data: MultimodalDataset, graph: dgl.DGLGraph) -> None:
    asked = recipe(
        training__learning_rate=0.03,
        training__epochs=7,
        training__patience=3,
        training__evaluate_every=2,
        training__monitor="ndcg@10",
        training__batch_size=99,
        losses__anchors=17,
    )
    trainer = prepare_training(asked, data, graph, device=CPU)
    assert trainer.optimizer.lr == 0.03
    assert vars(trainer.schedule) == {"epochs": 7, "patience": 3, "evaluate_every": 2, "monitor": "ndcg@10"}
    assert (trainer.sampler.batch_size, trainer.sampler.anchors) == (99, 17)
    everything = prepare_training(recipe(losses__anchors="all"), data, graph, device=CPU)
    assert everything.sampler.anchors is None
    tables = [
        prepare_training(recipe(training__seed=seed), data, graph, device=CPU).model.backbone.user_table
        for seed in (1, 1, 2)
    ]
    assert torch.equal(tables[0], tables[1]) and not torch.equal(tables[0], tables[2])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),  # fewer items than the default
        ({"losses__sampled_softmax_above": 39}, 7),
        ({"losses__sampled_softmax_above": 40}, None),
        ({"losses__sampled_softmax_above": 39, "model__variant": "authors"}, None),
        ({"losses__sampled_softmax_above": 39, "losses__preference_weight": 0.0}, None),
        ({"losses__sampled_softmax_above": 39, "model__name": "lightgcn"}, None),
    ],
)
def test_the_softmax_is_sampled_above_a_size(
    data: MultimodalDataset, graph: dgl.DGLGraph, changes: dict[str, object], expected: int | None
) -> None:
    asked = recipe(losses__softmax_sample=7, **changes)
    assert prepare_training(asked, data, graph, device=CPU).sampler.softmax_sample == expected


def test_protocols(data: MultimodalDataset) -> None:
    """`unseen` leaves the validation items out at test; nothing else differs."""
    train = len(data.train)
    for protocol, at_test in (("paper", train), ("unseen", train + len(data.validation))):
        asked = recipe(evaluation__protocol=protocol)
        assert len(candidates_left_out(asked, data, "validation")[0]) == train
        users, items = candidates_left_out(asked, data, "test")
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
        seen=candidates_left_out(asked, data, split),
        trained_users=trained,
        ks=(3, 20),
    )
    assert SplitEvaluator(asked, data, split)(users, items) == expected.metrics


def test_representations_are_without_gradient(data: MultimodalDataset, graph: dgl.DGLGraph) -> None:
    model = model_of(recipe(), data, graph)
    model.train()
    assert not representations(model).items.requires_grad and not model.training
