"""Content relations by way of candidates, against the exact ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from damrs_dgl import synthetic_shop
from damrs_dgl.data.parts import ModalityFeatures
from damrs_dgl.errors import RecipeError
from damrs_dgl.graphs import build_graph
from damrs_dgl.graphs.approximate import candidates, scan
from damrs_dgl.graphs.approximate.calibration import calibrated
from damrs_dgl.graphs.approximate.nearest import nearest_rows
from damrs_dgl.graphs.approximate.projection import Projection
from damrs_dgl.graphs.approximate.rescoring import Content
from damrs_dgl.graphs.semantic import SemanticNeighbors, semantic_neighbors
from damrs_dgl.graphs.similarity import CosineTable

Features = dict[str, ModalityFeatures]
METHODS = ("projected", "faiss")


def as_features(values: np.ndarray) -> ModalityFeatures:
    return ModalityFeatures(values.astype(np.float32), ~np.isfinite(values).all(1) | ~values.any(1))


def recall(found: SemanticNeighbors, exact: SemanticNeighbors) -> dict[str, float]:
    """Share of the exact edges that were found, by modality."""
    shares = {}
    for name, pairs in exact.pairs.items():
        wanted, have = (set(zip(*(side.tolist() for side in part), strict=True)) for part in (pairs, found.pairs[name]))
        shares[name] = len(wanted & have) / len(wanted)
    return shares


def same_edges(one: SemanticNeighbors, other: SemanticNeighbors) -> bool:
    return all(
        torch.equal(mine, theirs)
        for name in one.pairs
        for mine, theirs in zip(one.pairs[name], other.pairs[name], strict=True)
    )


def small_features(num_items: int = 300, seed: int = 0, missing: int = 8) -> Features:
    """Two modalities that share some structure, with missing rows in both; too narrow to be projected."""
    random = np.random.default_rng(seed)
    latent = random.normal(size=(num_items, 6))
    features = {}
    for name, width in (("visual", 20), ("textual", 12)):
        values = latent @ random.normal(size=(6, width)) + random.normal(0.3, 1, (num_items, width))
        values[random.integers(0, num_items, missing)] = 0
        features[name] = as_features(values)
    return features


def placeholders(features: Features, share: float) -> Features:
    """Items with one and the same picture, spread over the catalogue, and a few pairs of duplicate rows."""
    random = np.random.default_rng(1)
    values = features["visual"].values.copy()
    chosen = random.random(len(values)) < share
    values[chosen] = random.normal(0.3, 1, values.shape[1])
    values[5], values[250] = values[17], values[40]
    return {**features, "visual": as_features(values)}


@pytest.fixture(scope="module")
def shop() -> tuple[Features, SemanticNeighbors]:
    """800 items whose visual modality is projected (512-d); a tenth of each modality is another style's row."""
    features = synthetic_shop(users=50, items=800, dims={"visual": 512, "textual": 48}, seed=3).dataset.features
    return dict(features), semantic_neighbors(features)


@pytest.mark.parametrize("method", METHODS)
def test_recall_on_the_synthetic_shop(shop: tuple[Features, SemanticNeighbors], method: str) -> None:
    features, exact = shop
    found = semantic_neighbors(features, candidates=method)
    assert min(recall(found, exact).values()) > (0.999 if method == "projected" else 0.97)
    for name, (items, _) in found.pairs.items():
        assert int(torch.bincount(items).max()) == 10
        assert len(items) > 0.999 * len(exact.pairs[name][0])  # short lists are filled up by the scan
    assert found.mean_similarity == exact.mean_similarity
    assert (found.below_mean, found.inconsistent) == ({}, {})
    assert found.items_without_content == exact.items_without_content


@pytest.mark.parametrize("method", METHODS)
def test_every_edge_is_consistent_and_in_the_exact_order(shop: tuple[Features, SemanticNeighbors], method: str) -> None:
    features, _ = shop
    found = semantic_neighbors(features, candidates=method, k=4)
    exact = semantic_neighbors(features, k=800)  # all consistent pairs above 0
    assert recall(exact, found) == {"visual": 1.0, "textual": 1.0}


@pytest.mark.parametrize("consistency", [True, False])
@pytest.mark.parametrize("shared", [0.0, 0.3])
@pytest.mark.parametrize("k", [1, 10, 40])
def test_projected_is_exact_where_nothing_is_projected(consistency: bool, shared: float, k: int) -> None:
    features = placeholders(small_features(), shared)
    exact = semantic_neighbors(features, k=k, consistency=consistency)
    assert same_edges(semantic_neighbors(features, k=k, consistency=consistency, candidates="projected"), exact)


@pytest.mark.parametrize("shared", [0.0, 0.3])
def test_faiss_is_exact_where_it_searches_everything(shared: float, monkeypatch: pytest.MonkeyPatch) -> None:
    features = placeholders(small_features(), shared)
    monkeypatch.setattr(candidates, "nearest_rows", lambda rows, k: nearest_rows(rows, k, cells_searched=10**6))
    for consistency in (True, False):
        exact = semantic_neighbors(features, consistency=consistency)
        assert same_edges(semantic_neighbors(features, consistency=consistency, candidates="faiss"), exact)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("consistency", [True, False])
@pytest.mark.parametrize("missing", [60, 250])
def test_missing_content_is_treated_as_by_the_exact_way(
    method: str, consistency: bool, missing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = small_features(missing=missing, seed=missing)
    monkeypatch.setattr(candidates, "nearest_rows", lambda rows, k: nearest_rows(rows, k, cells_searched=10**6))
    monkeypatch.setattr(scan, "_SCAN_VALUES", 10_000)
    for k in (1, 10, 100):
        exact = semantic_neighbors(features, k=k, consistency=consistency)
        found = semantic_neighbors(features, k=k, consistency=consistency, candidates=method)
        assert same_edges(found, exact)
        assert found.mean_similarity == exact.mean_similarity


def test_items_that_lack_the_modality_do_not_fill_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that finds them and the item itself has found too little, and the item is looked up otherwise."""

    def only_missing(rows: torch.Tensor, k: int) -> Iterator[tuple[int, torch.Tensor]]:
        lacking = torch.nonzero(rows.norm(dim=1) == 0).expand(len(rows), 1)
        yield 0, torch.cat([torch.arange(len(rows))[:, None], lacking], dim=1)

    features = small_features(missing=60)
    monkeypatch.setattr(candidates, "nearest_rows", only_missing)
    assert same_edges(semantic_neighbors(features, k=5, candidates="faiss"), semantic_neighbors(features, k=5))


@pytest.mark.parametrize("method", METHODS)
def test_recall_with_missing_content(shop: tuple[Features, SemanticNeighbors], method: str) -> None:
    """Half of the items lack the projected modality, a quarter the other one."""
    random = np.random.default_rng(4)
    features = {}
    for (name, content), share in zip(shop[0].items(), (0.5, 0.25), strict=True):
        values = content.values.copy()
        values[random.random(800) < share] = 0
        features[name] = as_features(values)
    exact = semantic_neighbors(features)
    found = semantic_neighbors(features, candidates=method)
    assert min(recall(found, exact).values()) > (0.999 if method == "projected" else 0.97)
    assert found.items_without_content == exact.items_without_content


@pytest.mark.parametrize("method", METHODS)
def test_more_neighbors_asked_than_there_are_items(method: str) -> None:
    features = small_features(num_items=12)
    found = semantic_neighbors(features, k=50, candidates=method)
    assert same_edges(found, semantic_neighbors(features, k=50))


@pytest.mark.parametrize("method", METHODS)
def test_duplicate_rows_of_a_projected_modality_are_found_first(method: str) -> None:
    """Their cosine is 1, though a projection of noise keeps little of it."""
    random = np.random.default_rng(2)
    values = random.normal(size=(400, 600))
    values[200:] = values[:200]
    found = semantic_neighbors({"visual": as_features(values)}, k=2, candidates=method)
    item = np.arange(200)
    duplicates = np.sort(np.stack([item, item + 200], axis=1)).repeat(1, axis=0)
    expected = np.concatenate([np.repeat(np.arange(400), 2)[None], np.tile(duplicates.reshape(-1), 2)[None]])
    np.testing.assert_array_equal(torch.stack(found.pairs["visual"]).numpy(), expected)


def test_duplicate_rows_are_estimated_at_one() -> None:
    random = np.random.default_rng(2)
    values = random.normal(size=(60, 600))
    values[30:] = values[:30]
    table = CosineTable(as_features(values))
    contents = {"visual": Content(table, Projection(table, k=2))}
    wanted = scan.Wanted(2, False)
    search = scan.Scan(contents, {"visual": scan.DuplicateGroups(table.duplicate_of)}, wanted)
    for _, found in search(torch.arange(60), ["visual"]):
        same = found.items % 30 == found.rows[:, None] % 30
        assert same.sum(1).tolist() == [2] * 60
        assert bool((found.estimates["visual"][same] == 1).all())
        assert float(found.estimates["visual"][~same].max()) < 0.9


@pytest.mark.parametrize("method", METHODS)
def test_of_a_shared_picture_the_lowest_consistent_item_is_kept(method: str) -> None:
    """Items 0 to 99 share a picture, 100 to 119 have nearly that, the rest others; the first 50 have another text."""
    random = np.random.default_rng(3)
    visual = random.normal(0, 1, (240, 8))
    visual[:120] = visual[0]
    visual[100:120] += random.normal(0, 0.05, (20, 8))
    textual = random.normal(0, 0.1, (240, 5)) + np.where(np.arange(240) < 50, -1, 1)[:, None]
    features = {"visual": as_features(visual), "textual": as_features(textual)}
    found = semantic_neighbors(features, k=1, candidates=method)
    assert found.pairs["visual"][1].tolist() == [0] * 50 + [50] * 50 + list(range(100, 240))
    assert same_edges(found, semantic_neighbors(features, k=1))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("missing", [0, 1])
def test_nothing_to_search(method: str, missing: int) -> None:
    values = np.ones((3, 4)) * (1 - missing)
    found = semantic_neighbors({"visual": as_features(values)}, k=1, candidates=method)
    assert torch.stack(found.pairs["visual"]).T.tolist() == [[i, i if missing else 0] for i in range(3)]
    assert semantic_neighbors({}, candidates=method).pairs == {}


@pytest.mark.parametrize("method", METHODS)
def test_same_edges_again_in_other_blocks(
    shop: tuple[Features, SemanticNeighbors], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, _ = shop
    first = semantic_neighbors(features, candidates=method)
    monkeypatch.setattr(scan, "_SCAN_VALUES", 50_000)
    monkeypatch.setattr(candidates, "_LIST_VALUES", 1_000_000)
    assert same_edges(semantic_neighbors(features, candidates=method), first)


@pytest.mark.parametrize("method", METHODS)
def test_same_edges_with_two_threads(method: str) -> None:
    features = {"visual": as_features(np.random.default_rng(0).normal(0.1, 1, (150, 300)))}
    first = semantic_neighbors(features, candidates=method)
    torch.set_num_threads(2)
    try:
        assert same_edges(semantic_neighbors(features, candidates=method), first)
    finally:
        torch.set_num_threads(1)


def test_a_projection_estimates_within_its_margin(shop: tuple[Features, SemanticNeighbors]) -> None:
    features, _ = shop
    table = CosineTable(features["visual"])
    projection = Projection(table, k=10)
    assert projection.rows.shape == (800, 32)
    error = (projection.rows @ projection.rows.T - table.unit @ table.unit.T).abs()
    different = ~table.are_duplicates(torch.arange(800)[:, None], torch.arange(800))
    assert float((error[different] < projection.margin).float().mean()) > 0.999
    assert projection.margin < 0.1
    exact = Projection(CosineTable(features["textual"]), k=10)
    assert (exact.is_exact, exact.margin < 1e-5) == (True, True)


def test_calibration_refines_until_the_edges_are_found() -> None:
    """Noise has no leading directions: the first few find too little."""
    random = np.random.default_rng(0)
    noise = {"visual": as_features(random.normal(0.1, 1, (300, 320))), "textual": as_features(random.random((300, 9)))}
    tables = {name: CosineTable(content) for name, content in noise.items()}
    duplicates = {name: scan.DuplicateGroups(table.duplicate_of) for name, table in tables.items()}
    wanted = scan.Wanted(5, True)
    projection = calibrated(tables, duplicates, wanted)["visual"].projection
    assert projection.rows.shape[1] > Projection(tables["visual"], k=5).rows.shape[1] == 32
    assert not projection.refine()
    found = semantic_neighbors(noise, candidates="projected", k=5)
    assert min(recall(found, semantic_neighbors(noise, k=5)).values()) > 0.98


def test_nearest_rows() -> None:
    rows = torch.randn(2000, 16, generator=torch.Generator().manual_seed(0))
    found = torch.cat([part for _, part in nearest_rows(rows, 5, cells_searched=10**6)])
    expected = torch.topk(rows @ rows.T, 5).indices
    assert float((found.sort().values == expected.sort().values).float().mean()) > 0.999
    few = torch.cat([part for _, part in nearest_rows(rows[:3], 5)])
    assert few.shape == (3, 3)


def test_auto_is_exact_up_to_a_size_and_faiss_beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = synthetic_shop(users=60, items=120, styles=5, seed=0).dataset
    exact = build_graph(dataset, approximate_above=120).summary
    assert exact["parameters"]["candidates"] == "exact"
    assert set(exact["pruned_pairs"]["below_mean"]) == {"visual", "textual"}
    searched = build_graph(dataset, approximate_above=119).summary
    assert searched["parameters"]["candidates"] == "faiss"
    assert searched["pruned_pairs"]["below_mean"] == {}
    with pytest.raises(RecipeError, match=r'candidates is "annoy"; choose one of auto, exact, projected, faiss'):
        build_graph(dataset, candidates="annoy")


def test_without_faiss_there_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    features = small_features(num_items=20)
    with pytest.raises(RecipeError, match=r'graphs\.candidates.*needs faiss.*pip install "damrs-dgl\[scale\]"'):
        semantic_neighbors(features, candidates="faiss")
    assert semantic_neighbors(features, candidates="projected").pairs


def test_progress_counts_every_row_once_per_modality() -> None:
    features = small_features()
    for method in METHODS:
        calls: list[tuple[int, int, str]] = []
        found = semantic_neighbors(features, candidates=method, progress=lambda *call: calls.append(call))  # noqa: B023
        total = 2 * 300 - found.items_without_content["visual"] - found.items_without_content["textual"]
        assert calls[-1] == (total, total, "content graphs")
        assert [call[0] for call in calls] == sorted(call[0] for call in calls)
