"""SGL against its formulas with matrices written out, from the pairs that each view kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from damrs_dgl.models import sgl
from damrs_dgl.models.base import Batch
from damrs_dgl.models.sgl import SGL
from damrs_dgl.models.specification.tables import make_config
from tests.models.builders import build, dense_interactions, make_batch, tiny_dataset
from tests.models.dense import sym_normalized
from tests.models.graph_checks import (
    assert_step_equals,
    check_determinism,
    check_edge_cases,
    check_learns,
    dense_nce,
    double_copies,
    softplus_bpr,
    step,
)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The interaction matrices that the views keep, float64 [U, I], in the order in which they are drawn."""
    matrices: list[Tensor] = []

    def recording(draw: Any) -> Any:
        def record(pairs: Any, *arguments: Any, **keywords: Any) -> Tensor:
            kept = draw(pairs, *arguments, **keywords)
            matrix = torch.zeros(pairs.num_users, pairs.num_items, dtype=torch.float64)
            matrix[pairs.users[kept].long(), pairs.items[kept].long()] = 1
            matrices.append(matrix)
            return kept

        return record

    for name in ("drop_edges", "drop_nodes"):
        monkeypatch.setattr(sgl, name, recording(getattr(sgl, name)))
    return matrices


def readout(e: Tensor, matrices: list[Tensor]) -> Tensor:
    """The mean of layers, [U + I, d], with each layer's interactions."""
    total = e
    for matrix in matrices:
        near = sym_normalized(matrix)
        users = near.shape[0]
        e = torch.cat([near @ e[users:], near.T @ e[:users]])
        total = total + e
    return total / (len(matrices) + 1)


def nodes_of(batch: Batch, num_users: int, candidates: str) -> dict[str, Tensor]:
    assert batch.negative_items is not None
    if candidates == "all":
        return {"user": batch.users, "item": batch.positive_items + num_users}
    users, items = ({*ids.tolist()} for ids in (batch.users, torch.cat([batch.positive_items, batch.negative_items])))
    return {"user": torch.tensor(sorted(users)), "item": torch.tensor(sorted(items)) + num_users}


@pytest.mark.parametrize(
    "keys",
    [
        {"view": "edge_dropout"},
        {"view": "node_dropout", "drop_rate": 0.3},
        {"view": "random_walk", "drop_rate": 0.4, "redraw": "step"},
        {"preset": "authors", "num_layers": 3},
    ],
    ids=lambda keys: "-".join(map(str, keys.values())),
)
def test_step_equals_the_written_out_form(keys: dict[str, Any], drawn: list[Tensor]) -> None:
    dataset = tiny_dataset()
    model = build("sgl", dataset, dim=5, contrast_weight=0.7, **keys).double()
    assert isinstance(model, SGL)
    model.on_epoch_start(1, torch.Generator().manual_seed(3))
    copies = double_copies(model)
    batch = make_batch(dataset)
    terms = step(model, batch)  # draws the views, where it does
    layers = model.config.num_layers
    if model.config.redraw == "step":
        batch = make_batch(dataset)  # the same generator again, and so the same views
    one, two = (
        (drawn[:layers], drawn[layers:])
        if model.config.view == "random_walk"
        else (
            [drawn[0]] * layers,
            [drawn[1]] * layers,
        )
    )
    assert all(matrix.sum() < dense_interactions(dataset).sum() for matrix in drawn)
    e = torch.cat([copies["user_table"], copies["item_table"]])
    clean, one, two = (readout(e, matrices) for matrices in ([dense_interactions(dataset)] * layers, one, two))
    users, (positive, negative) = (
        clean[batch.users],
        (clean[dataset.num_users + ids] for ids in (batch.positive_items, batch.negative_items)),
    )
    expected = {"feedback": softplus_bpr(users, positive, negative)}
    nodes = nodes_of(batch, dataset.num_users, model.config.candidates)
    everyone = {"user": torch.arange(dataset.num_users), "item": dataset.num_users + torch.arange(dataset.num_items)}
    for side, ids in nodes.items():
        others = everyone[side] if model.config.candidates == "all" else ids
        place = torch.stack([(others == node).nonzero()[0, 0] for node in ids])
        expected[f"{side}_contrast"] = 0.7 * dense_nce(one[ids], two[others], place, 0.2)
    if model.config.regularization:
        rows = torch.cat(
            [batch.users, *(dataset.num_users + ids for ids in (batch.positive_items, batch.negative_items))]
        )
        expected["regularization"] = 1e-4 * e[rows].square().sum() / (2 * len(batch.users))
    assert_step_equals(model, batch, expected, copies)
    assert all(torch.allclose(terms[name].double(), expected[name], rtol=1e-5) for name in expected)


@pytest.mark.parametrize("view", ["edge_dropout", "node_dropout", "random_walk"])
def test_views_that_drop_nothing_are_the_clean_pass(view: str) -> None:
    model = build("sgl", dim=5, view=view, drop_rate=0.0, second_drop_rate=0.0)
    assert isinstance(model, SGL)
    clean = model.encode()
    for graphs in model.draw_views(torch.Generator()):
        users, items = sgl.mean_of_layers(graphs, model.user_table, model.item_table)
        assert torch.allclose(users, clean.users) and torch.allclose(items, clean.items)


def test_views_are_drawn_as_often_as_asked(drawn: list[Tensor]) -> None:
    dataset = tiny_dataset()
    for redraw, counts in (("epoch", [2, 2, 4]), ("step", [2, 4, 6])):
        drawn.clear()
        model = build("sgl", dataset, redraw=redraw)
        found = []
        for epoch in (1, None, 2):
            if epoch:
                model.on_epoch_start(epoch, torch.Generator().manual_seed(epoch))
            step(model, make_batch(dataset))
            found.append(len(drawn))
        assert found == counts, redraw
        assert not torch.equal(drawn[0], drawn[1])


def test_a_view_has_one_graph_unless_it_walks(drawn: list[Tensor]) -> None:
    for view, count in (("edge_dropout", 2), ("node_dropout", 2), ("random_walk", 6)):
        drawn.clear()
        model = build("sgl", view=view, num_layers=3)
        model.on_epoch_start(1, torch.Generator())
        assert len(drawn) == count, view


def test_drop_rates_are_of_their_views(drawn: list[Tensor]) -> None:
    build("sgl", preset="authors", redraw="epoch").on_epoch_start(1, torch.Generator())
    everything = int(dense_interactions(tiny_dataset()).sum())
    assert [everything - int(matrix.sum()) for matrix in drawn] == [round(everything * r) for r in (0.1, 0.2)]


def test_a_step_before_the_first_epoch_has_views_too() -> None:
    dataset = tiny_dataset()
    assert "user_contrast" in step(build("sgl", dataset), make_batch(dataset))


def test_without_weight_no_view_is_drawn(drawn: list[Tensor]) -> None:
    dataset = tiny_dataset()
    model = build("sgl", dataset, contrast_weight=0.0)
    model.on_epoch_start(1, torch.Generator())
    assert list(step(model, make_batch(dataset))) == ["feedback", "regularization"] and not drawn


def test_ranking_is_by_the_full_graph() -> None:
    mine, theirs = build("sgl", dim=5, num_layers=2).embeddings(), build("lightgcn", dim=5).embeddings()
    assert torch.equal(mine.users, theirs.users) and torch.equal(mine.items, theirs.items)


@pytest.mark.parametrize("view", ["edge_dropout", "node_dropout", "random_walk"])
def test_edge_cases(view: str) -> None:
    check_edge_cases("sgl", view=view)
    check_edge_cases("sgl", view=view, drop_rate=0.99, second_drop_rate=0.99)  # hardly an edge is left


def test_authors_preset_in_edge_cases() -> None:
    check_edge_cases("sgl", preset="authors")
    check_determinism("sgl", preset="authors")
    check_determinism("sgl")
    check_learns("sgl")


def test_presets() -> None:
    original, authors = (make_config({"name": "sgl", "preset": preset}) for preset in ("original", "authors"))
    chosen = ("num_layers", "drop_rate", "second_drop_rate", "kept_edges", "redraw", "candidates", "regularization")
    assert [getattr(original, key) for key in chosen] == [3, 0.1, 0.1, "uniform", "epoch", "all", 1e-4]
    assert [getattr(authors, key) for key in chosen] == [2, 0.1, 0.2, "unpopular", "step", "batch", 0.0]


def test_popularity_says_nothing_about_dropped_nodes() -> None:
    with pytest.raises(ValueError, match="needs a view that draws edges"):
        make_config({"name": "sgl", "view": "node_dropout", "kept_edges": "unpopular"})
