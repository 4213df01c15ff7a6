"""DA-MRS round a backbone: Eq. 3, its relations, and when the graded item sets are made."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from damrs_dgl.graphs.build import build_graph
from damrs_dgl.graphs.schema import item_relations
from damrs_dgl.losses.denoised_bpr import denoised_bpr, weighted_bpr
from damrs_dgl.models.damrs.variants import AUTHORS, PAPER, VARIANTS, fuse_mean, fuse_sum, mean_over_relations
from damrs_dgl.models.registry import config_class
from damrs_dgl.models.specification.tables import make_config
from tests.models.builders import build, make_batch, tiny_dataset
from tests.models.dense import dense_adjacency, row_normalized


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("item_layers", [1, 2])
@pytest.mark.parametrize("backbone", ["mf", "lightgcn", "vbpr", "sgl"])
@pytest.mark.parametrize(("variant", "share"), [("paper", 0.5), ("authors", 1.0), ("recommended", 1.0)])
def test_items_are_fused_as_in_eq_3(variant: str, share: float, backbone: str, item_layers: int) -> None:
    data = tiny_dataset()
    graph = build_graph(data, k=3, behavior_k=3).graph
    names = item_relations(graph)
    assert names[-1] == "behavior" and set(names) == {"visual", "textual", "behavior"}
    model: Any = build("damrs", data, backbone=backbone, dim=5, item_layers=item_layers, variant=variant).double()
    found, plain = model.represent(), model.backbone.encode()
    hidden = {}
    for name in names:
        matrix = row_normalized(dense_adjacency(graph, name))
        hidden[name] = torch.linalg.matrix_power(matrix, item_layers) @ plain.item_input
        assert torch.allclose(found.relation_items[name], hidden[name], rtol=1e-5, atol=1e-7), name
    assert torch.equal(found.users, plain.users) and torch.equal(found.id_items, plain.items)
    assert torch.equal(found.user_input, plain.user_input) and torch.equal(found.item_input, plain.item_input)
    expected = share * (plain.items + sum(hidden.values()) / 3)
    assert torch.allclose(found.items, expected, rtol=1e-5, atol=1e-7)
    users, items = model.embeddings()
    assert torch.equal(users, found.users) and torch.equal(items, found.items)
    # The relations add no weights: what is trained is the backbone.
    assert [p.shape for p in model.parameters()] == [p.shape for p in model.backbone.parameters()]
    assert list(found.relation_items) == names


def test_mean_over_relations() -> None:
    one, two = torch.ones(3, 2), torch.full((3, 2), 4.0)
    assert torch.equal(mean_over_relations([one]), one)
    assert torch.equal(mean_over_relations([one, two]), torch.full((3, 2), 2.5))
    assert torch.equal(one, torch.ones(3, 2))  # inputs are left alone


def test_variants() -> None:
    assert set(VARIANTS) == {"recommended", "paper", "authors"}
    assert VARIANTS["paper"] is PAPER and VARIANTS["authors"] is AUTHORS
    for name in VARIANTS:
        model: Any = build("damrs", dim=4, variant=name)
        assert model.variant is VARIANTS[name]


@pytest.mark.parametrize(
    ("name", "shared", "all_candidates", "regularize_inputs"),
    [
        ("paper", (fuse_mean, False, False, denoised_bpr, True, 0.0), False, True),
        ("authors", (fuse_sum, True, True, weighted_bpr, False, 1e-9), True, False),
        ("recommended", (fuse_sum, True, True, weighted_bpr, False, 1e-9), False, True),
    ],
)
def test_what_each_variant_does(
    name: str, shared: tuple[object, ...], *, all_candidates: bool, regularize_inputs: bool
) -> None:
    """The recommended one is the authors', but for its dissimilar items and its regulariser, which are the paper's."""
    v = VARIANTS[name]
    found = (v.fuse, v.normalized_relations, v.unbiased_variance, v.feedback, v.softmax_preference, v.log_epsilon)
    assert found == shared
    assert (v.all_candidates, v.regularize_inputs) == (all_candidates, regularize_inputs)


@pytest.mark.parametrize("modalities", [(), ("visual",), ("visual", "textual", "acoustic")], ids=len)
def test_any_number_of_modalities(modalities: tuple[str, ...]) -> None:
    data = tiny_dataset(modalities)
    model: Any = build("damrs", data, dim=4)
    assert set(model.relation_names) == {*modalities, "behavior"}
    terms = model.training_step(make_batch(data, model=model))
    assert all(torch.isfinite(value) for value in terms.values())


def test_a_batch_of_one() -> None:
    data = tiny_dataset()
    for variant in VARIANTS:
        model = build("damrs", data, dim=4, variant=variant)
        terms = model.training_step(make_batch(data, 1, model=model))
        assert all(torch.isfinite(value) for value in terms.values())


def sets_by_epoch(refresh: object, epochs: int = 5, **keys: Any) -> list[Any]:
    """The similar sets in force in each epoch, the items moving in between."""
    model: Any = build("damrs", dim=4, refresh=refresh, relation_k=3, **keys)
    found = []
    for epoch in range(1, epochs + 1):
        model.on_epoch_start(epoch, seeded())
        found.append(None if model.graded_sets is None else model.graded_sets.similar.clone())
        with torch.no_grad():
            model.backbone.item_table.add_(torch.randn(14, 4, generator=seeded(epoch)))
    return found


def test_graded_sets_are_made_when_they_are_due() -> None:
    def changes(found: list[Any]) -> list[bool]:
        return [not torch.equal(a, b) for a, b in itertools.pairwise(found)]

    assert sets_by_epoch("step") == [None] * 5
    assert sets_by_epoch("epoch", relation_weight=0.0) == [None] * 5
    assert changes(sets_by_epoch("epoch")) == [True, True, True, True]
    assert changes(sets_by_epoch(2)) == [False, True, False, True]
    assert changes(sets_by_epoch(3)) == [False, False, True, False]
    for every, first in ((2, sets_by_epoch(2)), (1, sets_by_epoch(1))):
        assert torch.equal(first[0], sets_by_epoch("epoch")[0]), every


def test_sets_that_outlive_an_epoch_are_kept_with_the_weights() -> None:
    """And no others, so that a checkpoint holds what the next epoch needs."""
    kept = {"similar_sets", "less_similar_sets"}
    for refresh, expected in (("step", set()), ("epoch", set()), (1, set()), (2, kept)):
        model = build("damrs", dim=4, refresh=refresh, relation_k=3)
        assert {name for name in model.state_dict() if name.endswith("sets")} == expected
    model.on_epoch_start(1, seeded())
    other: Any = build("damrs", dim=4, refresh=2, relation_k=3, seed=5)
    other.load_state_dict(model.state_dict())
    other.on_epoch_start(2, seeded())  # not due
    batch = make_batch(tiny_dataset(), model=model)
    assert torch.equal(model.training_step(batch)["relations"], other.training_step(batch)["relations"])


def test_a_denoising_loss_round_it_keeps_the_alignments() -> None:
    model: Any = build("tce", backbone={"name": "damrs", "backbone": {"name": "mf", "dim": 4}})
    assert torch.equal(model.encode().item_input, model.backbone.backbone.item_table)
    assert model.tables() == model.backbone.backbone.tables()
    terms = model.training_step(make_batch(tiny_dataset(), model=model))
    assert set(terms) == {"feedback", "preference", "relations"}


def test_keys_that_are_made_without_a_recipe_are_those_of_the_default_variant() -> None:
    backbone = {"name": "lightgcn"}
    made = make_config({"name": "damrs", "backbone": backbone}).model_dump(exclude={"backbone", "regularization"})
    table = {"name": "damrs", "backbone": backbone}
    direct = config_class(table).model_validate(table)
    assert direct.model_dump(exclude={"backbone", "regularization"}) == made
