"""Graph filters against dense float64 matrices from their definition, and against GF-CF and Turbo-CF as printed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.errors import RecipeError
from damrs_dgl.models.base import RankingModel
from damrs_dgl.models.registry import find_model
from damrs_dgl.models.specification.tables import make_config
from damrs_dgl.scoring import DotProduct
from tests.models.builders import build, dense_interactions, make_inputs, tiny_dataset
from tests.models.dense import dense_adjacency

RANK = 5


def fitted(data: MultimodalDataset | None = None, **keys: Any) -> RankingModel:
    model = build("graph_filter", data or tiny_dataset(), **keys)
    model.fit_closed_form()
    return model


def all_scores(model: RankingModel) -> np.ndarray:
    scorer = model.scorer()
    return scorer.scores(torch.arange(scorer.num_users)).numpy()


def powers(values: np.ndarray, exponent: float) -> np.ndarray:
    return np.diag([value**exponent if value else 0.0 for value in values])


def normalized(r: np.ndarray) -> np.ndarray:
    return powers(r.sum(1), -0.5) @ r @ powers(r.sum(0), -0.5)


def projector(r: np.ndarray, rank: int) -> np.ndarray:
    """V_k V_k^T; the test data has no tie there."""
    _, values, right = np.linalg.svd(normalized(r))
    assert values[rank - 1] - values[rank] > 1e-3
    return right[:rank].T @ right[:rank]


def content_graph(data: MultimodalDataset) -> np.ndarray:
    graph = make_inputs(data).graph
    total = np.zeros((data.num_items, data.num_items))
    for name in data.modalities:
        relation = dense_adjacency(graph, name).numpy() * (1 - np.eye(data.num_items))
        total += relation + relation.T
    scale = powers(total.sum(1), -0.5)
    return scale @ total @ scale


def expected_scores(data: MultimodalDataset, **keys: Any) -> np.ndarray:
    config = make_config({"name": "graph_filter", **keys})
    r = dense_interactions(data).numpy()
    half = powers(r.sum(0), -0.5)
    plain = half @ r.T @ powers(r.sum(1), -1) @ r @ half
    c = half @ r.T @ powers(r.sum(1), config.user_exponent) @ r @ half
    c *= plain.sum() / c.sum()
    polynomial = sum(p * np.linalg.matrix_power(c, n + 1) for n, p in enumerate(config.polynomial))
    behavior = config.linear * polynomial + config.lowpass * projector(r, config.rank)
    a = content_graph(data)
    f = behavior + config.content * a + config.cross / 2 * (a @ behavior + behavior @ a)
    degree = np.maximum(r.sum(0), 1)
    return r @ powers(degree, -config.history_exponent) @ f @ powers(degree, config.candidate_exponent)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"user_exponent": -1.0, "lowpass": 0.0, "content": 0.0},
        {"user_exponent": 0.0, "history_exponent": -0.5, "candidate_exponent": 1.0},
        {"content": 0.7, "cross": 0.4},
        {"linear": 0.0, "cross": 0.4},
        {"linear": 0.3, "polynomial": (0.71, 0.1, -0.01), "cross": 0.2, "user_exponent": -0.35},
        {"linear": 0.0, "lowpass": 0.0, "content": 1.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("modalities", [("visual",), ("visual", "textual", "acoustic")], ids=len)
def test_scores_are_those_of_the_dense_filter(keys: dict[str, Any], modalities: tuple[str, ...]) -> None:
    data = tiny_dataset(modalities)
    model = fitted(data, rank=RANK, **keys)
    expected = expected_scores(data, rank=RANK, **keys)
    assert np.allclose(all_scores(model), expected, rtol=1e-4, atol=1e-5)
    assert float(model.kept) == pytest.approx(1.0)


def test_gf_cf_as_printed() -> None:
    """r (N^T N + 0.3 D_i^-1/2 V V^T D_i^1/2): the item exponents stand round the low-pass part alone."""
    r = dense_interactions(tiny_dataset()).numpy()
    n, degree = normalized(r), r.sum(0)
    expected = r @ (n.T @ n + 0.3 * powers(degree, -0.5) @ projector(r, RANK) @ powers(degree, 0.5))
    assert np.allclose(all_scores(fitted(preset="gf_cf", rank=RANK)), expected, rtol=1e-4, atol=1e-5)
    assert make_config({"name": "graph_filter", "preset": "gf_cf"}).rank == 256


def test_turbo_cf_as_printed() -> None:
    """r (2 P - P^2), P = N^T N (alpha 0.5, s 1)."""
    r = dense_interactions(tiny_dataset()).numpy()
    p = normalized(r).T @ normalized(r)
    assert np.allclose(all_scores(fitted(preset="turbo_cf")), r @ (2 * p - p @ p), rtol=1e-4, atol=1e-5)


def test_linear_is_one_layer_of_lightgcn_there_and_back() -> None:
    r = dense_interactions(tiny_dataset()).numpy()
    assert np.allclose(all_scores(fitted(preset="linear")), r @ normalized(r).T @ normalized(r), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cross", [0.0, 0.5])
def test_a_wholly_low_pass_filter_is_a_dot_product(cross: float) -> None:
    keys = {"linear": 0.0, "content": 0.0, "cross": cross, "rank": RANK}
    model = fitted(**keys)
    assert isinstance(model.scorer(), DotProduct)
    found = model.embeddings()
    assert found.items.shape == (14, RANK if not cross else 2 * RANK)
    assert np.allclose(found.users @ found.items.T, expected_scores(tiny_dataset(), **keys), rtol=1e-4, atol=1e-5)


def test_other_filters_have_no_vectors() -> None:
    with pytest.raises(TypeError, match="has no user and item vectors, only scores"):
        fitted(rank=RANK).embeddings()


def test_rows_are_shortened_by_what_counts_in_scores_and_the_loss_is_stated() -> None:
    keys = {"lowpass": 0.0, "content": 0.0}
    whole, short = (weights_of(fitted(**keys, top_n=n)) for n in (100, 4))
    largest = -np.sort(-np.abs(whole), axis=1)
    assert (largest[:, 4] > 0).any()
    assert np.allclose(-np.sort(-np.abs(short), axis=1)[:, :4], largest[:, :4], rtol=1e-5)
    assert ((short == 0) | np.isclose(short, whole)).all() and (np.count_nonzero(short, axis=1) <= 4).all()
    kept = fitted(**{**keys, "history_exponent": 0.0}, top_n=4).kept
    sizes = -np.sort(-weights_of(fitted(**{**keys, "history_exponent": 0.0})), axis=1)
    assert float(kept) == pytest.approx(sizes[:, :4].sum() / sizes.sum(), rel=1e-5)
    assert 0.3 < float(fitted(lowpass=0.0, content=0.5, top_n=4).kept) < 0.99


def weights_of(model: RankingModel) -> np.ndarray:
    """The sparse part as a dense matrix."""
    offsets, items, values = (part.numpy() for part in (model.filter_offsets, model.filter_items, model.filter_values))
    found = np.zeros((len(offsets) - 1,) * 2)
    found[np.repeat(np.arange(len(found)), np.diff(offsets)), items] = values
    return found


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"cross": 0.3, "polynomial": (1.0, 0.5), "top_n": 6, "rank": RANK}
    whole = fitted(**keys)
    monkeypatch.setattr("damrs_dgl.models.layers.item_item._BLOCK", 3 * 14)
    assert np.allclose(weights_of(fitted(**keys)), weights_of(whole), atol=1e-6)


def test_data_without_content_leaves_its_parts_out() -> None:
    data = tiny_dataset(())
    keys = {"content": 0.0, "cross": 0.0, "rank": RANK}
    assert np.allclose(all_scores(fitted(data, rank=RANK, cross=0.5)), all_scores(fitted(data, **keys)), atol=1e-6)
    with pytest.raises(RecipeError, match="needs content, and there is no modality in the data"):
        fitted(data, linear=0.0, lowpass=0.0)


def test_content_reaches_an_item_that_nobody_chose() -> None:
    """The last item of the data has no training click and is a neighbour of others in content."""
    data = tiny_dataset(("visual",))
    unseen = int((dense_interactions(data).sum(0) == 0).nonzero()[0])
    scores = all_scores(fitted(data, rank=RANK))
    assert content_graph(data)[unseen].any() and (scores[:, unseen] > 0).any()
    assert not all_scores(fitted(data, rank=RANK, content=0.0))[:, unseen].any()


def test_a_checkpoint_holds_all_that_was_computed() -> None:
    data = tiny_dataset()
    model = fitted(data, rank=RANK)
    config = make_config({"name": "graph_filter", "rank": RANK})
    fresh = find_model("graph_filter")(make_inputs(data, seed=9), config)  # type: ignore[call-arg]
    fresh.load_state_dict({name: value.clone() for name, value in model.state_dict().items()})
    assert np.array_equal(all_scores(fresh), all_scores(model))


def test_progress_is_told() -> None:
    steps: list[tuple[int, int, str]] = []
    build("graph_filter", tiny_dataset(), rank=RANK).fit_closed_form(lambda *step: steps.append(step))
    assert steps[0] == (0, 14, "graph filter") and steps[-1] == (14, 14, "graph filter")


def test_a_filter_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves no filter"):
        make_config({"name": "graph_filter", "linear": 0.0, "lowpass": 0.0, "content": 0.0})
    with pytest.raises(ValueError, match="leaves no filter"):
        make_config({"name": "graph_filter", "polynomial": [0.0, 0.0], "lowpass": 0.0, "content": 0.0})


def test_an_array_of_a_recipe_is_a_polynomial() -> None:
    assert make_config({"name": "graph_filter", "polynomial": [1.0, -0.5]}).polynomial == (1.0, -0.5)
