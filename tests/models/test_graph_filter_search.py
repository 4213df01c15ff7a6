"""What validation chooses of a graph filter: found, kept, stored, and computed as from the start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.factory import build_recipe_graph, prepare_training
from damrs_dgl.models.base import ClosedFormModel
from damrs_dgl.models.graph_filter.config import CHOICES
from damrs_dgl.models.graph_filter.model import GraphFilter
from damrs_dgl.models.graph_filter.parts import FilterParts
from damrs_dgl.models.layers.filters import CoClicks
from damrs_dgl.models.specification.tables import make_config
from damrs_dgl.recipe import load_recipe, with_values
from damrs_dgl.training.trainer import Trainer
from tests.models.builders import build, tiny_dataset

PLANTED = {"user_exponent": -0.35, "candidate_exponent": 0.5, "lowpass": 0.1, "content": 0.6}


def fitted(data: MultimodalDataset | None = None, **keys: Any) -> ClosedFormModel:
    model = build("graph_filter", data or tiny_dataset(), rank=5, **keys)
    assert isinstance(model, ClosedFormModel)
    model.fit_closed_form()
    return model


@pytest.fixture(scope="module")
def data() -> MultimodalDataset:
    shop = synthetic_shop(users=60, items=50, clicks_per_user=8, styles=4, dims={"visual": 5, "textual": 4}, seed=0)
    return shop.dataset


def closed_form(data: MultimodalDataset, **keys: Any) -> GraphFilter:
    model = build("graph_filter", data, **keys)
    assert isinstance(model, GraphFilter)
    return model


def all_scores(model: ClosedFormModel) -> np.ndarray:
    scorer = model.scorer()
    return scorer.scores(torch.arange(scorer.num_users)).numpy()


def distance_to(model: ClosedFormModel, planted: dict[str, float]) -> Callable[[], float]:
    """A judge that likes the planted values best."""
    return lambda: -sum(abs(float(model.get_buffer(name)) - value) for name, value in planted.items())


@pytest.mark.parametrize(
    "keys",
    [{}, {"cross": 0.4, "polynomial": (1.0, -0.2)}, {"scaled": "lowpass"}, {"top_n": 3}, {"history_exponent": 0.5}],
    ids=str,
)
@pytest.mark.parametrize("room", [0, 600, 2**30])
def test_what_is_chosen_is_computed_as_from_the_start(
    keys: dict[str, Any], room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever pieces were kept from other values on the way."""
    monkeypatch.setattr("damrs_dgl.models.graph_filter.model._ROOM", room)
    model = fitted(**keys)
    assert model.tune(distance_to(model, PLANTED)) == PLANTED
    direct = fitted(**keys, **PLANTED, search=False)
    assert np.array_equal(all_scores(model), all_scores(direct))
    assert all(torch.equal(value, direct.state_dict()[name]) for name, value in model.state_dict().items())


def test_the_judge_sees_the_values_that_it_judges() -> None:
    model = fitted()
    judged: dict[tuple[float, ...], np.ndarray] = {}

    def judge() -> float:
        judged[tuple(float(model.get_buffer(name)) for name in CHOICES)] = all_scores(model)
        return 0.0

    assert model.tune(judge)["user_exponent"] == -0.85
    assert 13 <= len(judged) <= 18
    for values, scores in judged.items():
        keys = {name: round(value, 6) for name, value in zip(CHOICES, values, strict=True) if name != "rank"}
        assert np.array_equal(scores, all_scores(fitted(**keys, search=False)))


@pytest.mark.parametrize("keys", [{"search": False}, *({"preset": name} for name in ("gf_cf", "turbo_cf", "linear"))])
def test_without_search_nothing_is_judged(keys: dict[str, Any]) -> None:
    model = fitted(**keys)
    before = all_scores(model)
    assert not model.tune(lambda: pytest.fail("judged"))
    assert np.array_equal(all_scores(model), before)


@pytest.mark.parametrize("keys", [{}, {"cross": 0.4}, {"rank": 40}], ids=str)
def test_fewer_singular_vectors_are_the_leading_ones(data: MultimodalDataset, keys: dict[str, Any]) -> None:
    """Also where more were judged after them, and after a way through a file."""
    model, direct, loaded = (closed_form(data, **keys) for _ in range(3))
    model.fit_closed_form()
    planted = {"rank": 32, "lowpass": 0.3, "content": 0.6}
    chosen = model.tune(distance_to(model, planted))
    assert {name: chosen[name] for name in planted} == planted
    parts = FilterParts(direct.inputs, direct.interactions, room=0)
    parts.factors(direct.config.model_copy(update={"rank": 45}))  # the leading ones of a higher rank, too
    direct._compute(parts, direct.config.model_copy(update=chosen))
    assert model.history_factors.shape == (50, 64 if keys.get("cross") else 32)
    assert np.allclose(all_scores(model), all_scores(direct), atol=1e-4)
    loaded.load_state_dict(model.state_dict())
    assert np.array_equal(all_scores(model), all_scores(loaded)) and int(loaded.rank) == 32


def test_where_no_score_is_a_number_the_start_stays() -> None:
    model = fitted(candidate_exponent=0.15)
    before = all_scores(model)
    assert model.tune(lambda: float("nan"))["candidate_exponent"] == 0.15
    assert np.array_equal(all_scores(model), before)


@pytest.mark.parametrize(
    "keys, has_content, expected",
    [
        ({}, True, {"user_exponent", "candidate_exponent", "lowpass", "content", "rank"}),
        ({"rank": 32}, True, {"user_exponent", "candidate_exponent", "lowpass", "content"}),
        ({}, False, {"user_exponent", "candidate_exponent", "lowpass", "rank"}),
        ({"content": 0.0}, True, {"user_exponent", "candidate_exponent", "lowpass", "rank"}),
        ({"lowpass": 0.0}, True, {"user_exponent", "candidate_exponent", "content"}),
        ({"lowpass": 0.0, "scaled": "lowpass"}, True, {"user_exponent", "content"}),
        ({"linear": 0.0, "content": 0.0}, True, {"candidate_exponent", "rank"}),
        ({"linear": 0.0, "lowpass": 0.0}, True, {"candidate_exponent"}),
        ({"linear": 0.0}, False, {"candidate_exponent", "rank"}),
        ({"polynomial": [0.0]}, False, {"candidate_exponent", "rank"}),
    ],
    ids=lambda value: str(sorted(value)) if isinstance(value, set) else str(value),
)
def test_keys_that_change_no_ranking_are_not_searched(
    keys: dict[str, Any], has_content: bool, expected: set[str]
) -> None:
    config = make_config({"name": "graph_filter", **keys})
    assert set(config.choices(has_content=has_content, most=500)) == expected
    assert set(config.choices(has_content=has_content, most=30)) == expected - {"rank"}  # there are no more vectors


def test_content_is_not_dropped_where_only_the_low_pass_part_would_be_left() -> None:
    """The system's scores would become a dot product."""
    model = fitted(linear=0.0)
    assert model.tune(distance_to(model, {"content": 0.0}))["content"] == 0.1


def test_progress_is_told() -> None:
    model, steps = fitted(), []
    model.tune(lambda: 0.0, lambda *step: steps.append(step))
    assert steps[0] == (1, 23, "graph filter search") and [step[0] for step in steps] == list(range(1, len(steps) + 1))


@pytest.mark.parametrize("room", [0, 1000, 2**20])
def test_kept_co_clicks_are_those_computed(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In four blocks of rows, all of them kept or none."""
    monkeypatch.setattr("damrs_dgl.models.layers.item_item._BLOCK", 3 * 12)
    matrix = sp.random(30, 12, density=0.3, random_state=0, format="csr", dtype=np.float32)
    matrix.data[:] = 1
    kept = CoClicks(matrix, room=room)
    for exponent in (-1.0, -1.0, 0.0, -1.0, -0.5, 0.0):
        found = sp.vstack(list(kept.rows(exponent))).toarray()
        assert np.array_equal(found, sp.vstack(list(CoClicks(matrix).rows(exponent))).toarray())
        held = [part for blocks in kept._kept.values() for block in blocks for part in (block.data, block.indices)]
        assert sum(part.nbytes for part in held) <= room
    assert (len(kept._kept) == 3) == (room == 2**20)


def trainer_of(data: MultimodalDataset, keys: dict[str, object]) -> Trainer:
    recipe = with_values(load_recipe("demo"), {"graphs.k": 5, "evaluation.ks": (20,), **keys})
    graph = build_recipe_graph(recipe, data).graph
    return prepare_training(recipe, data, graph, device=torch.device("cpu"))


def test_training_searches_and_writes_down_what_it_chose(data: MultimodalDataset) -> None:
    start = trainer_of(data, {"model.name": "graph_filter", "model.search": False}).fit()
    trainer = trainer_of(data, {"model.name": "graph_filter"})
    progress = trainer.fit()
    assert progress.best["recall@20"] > start.best["recall@20"]
    row = progress.history[0]
    assert {name: row[name] for name in CHOICES} == pytest.approx(
        {name: float(trainer.model.get_buffer(name)) for name in CHOICES}
    )
    assert f"user_exponent={row['user_exponent']:.4g}, " in repr(trainer.model)


def test_a_member_of_a_blend_is_searched_as_it_would_be_alone(data: MultimodalDataset) -> None:
    alone = trainer_of(data, {"model.name": "graph_filter"})
    alone.fit()
    members = {"filter": {"name": "graph_filter"}, "popular": {"name": "popularity"}}
    blend = trainer_of(data, {"model.name": "blend", "model.members": members})
    row = blend.fit().history[0]
    inside = blend.members["filter"]
    assert inside.progress.history[0]["user_exponent"] == alone.progress.history[0]["user_exponent"]
    for name, value in alone.model.state_dict().items():
        assert torch.equal(value, inside.model.state_dict()[name])
    assert row["weight_filter"] + row["weight_popular"] == pytest.approx(1)
