"""Content relations against a slow reference that holds the whole |I| x |I| matrix in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from damrs_dgl.data.parts import ModalityFeatures
from damrs_dgl.errors import RecipeError
from damrs_dgl.graphs.semantic import SemanticNeighbors, semantic_neighbors

Features = dict[str, ModalityFeatures]


def as_features(values: np.ndarray) -> ModalityFeatures:
    missing = ~np.isfinite(values).all(1) | (values == 0).all(1)
    return ModalityFeatures(values if values.dtype == np.float16 else values.astype(np.float32), missing)


def edges(neighbors: SemanticNeighbors, modality: str) -> list[tuple[int, int]]:
    items, others = neighbors.pairs[modality]
    return list(zip(items.tolist(), others.tolist(), strict=True))


def reference(features: Features, k: int, consistency: bool) -> tuple[dict[str, list], dict[str, float], dict, dict]:
    """Eq. 1 as it is written, in units of 1e-9; a modality that one item of a pair lacks has no say on it."""
    similarity, mean, known = {}, {}, {}
    for name, content in features.items():
        rows = np.where(content.missing[:, None], 0, content.values).astype(np.float64)
        norms = np.sqrt((rows * rows).sum(1))
        norms[norms == 0] = 1
        cosine = np.einsum("id,jd->ij", rows, rows) / (norms[:, None] * norms)
        known[name] = ~content.missing[:, None] & ~content.missing
        mean[name] = cosine[known[name]].mean() if known[name].any() else 0.0
        similarity[name] = np.round(cosine * 1e9).astype(np.int64)
    vetoes = {name: known[name] & (part < round(mean[name] * 1e9)) for name, part in similarity.items()}
    vetoed = np.any(list(vetoes.values()), axis=0)
    num_items = len(vetoed)
    found: dict[str, list] = {}
    for name, part in similarity.items():
        found[name] = []
        for i in range(num_items):
            allowed = [j for j in range(num_items) if known[name][i, j] and not (vetoed[i, j] and consistency)]
            best = sorted((j for j in allowed if part[i, j] > 0), key=lambda j: (-part[i, j], j))[:k]
            found[name] += [(i, j) for j in ([i] if features[name].missing[i] else sorted(best))]
    below = {name: int(part.sum()) if consistency else 0 for name, part in vetoes.items()}
    lost = {name: int((known[name] & ~part & vetoed).sum()) if consistency else 0 for name, part in vetoes.items()}
    return found, mean, below, lost


@st.composite
def awkward_features(draw: st.DrawFn) -> Features:
    """Small integers with duplicate rows, multiples, zero and NaN rows: ties everywhere."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    num_items = draw(st.integers(1, 26))
    features = {}
    for name in ("visual", "textual", "acoustic")[: draw(st.integers(1, 3))]:
        low = draw(st.sampled_from([-3, 0]))
        values = random.integers(low, 4, (num_items, draw(st.integers(1, 5)))).astype(np.float64)
        for _ in range(draw(st.integers(0, num_items))):
            target, source = random.integers(0, num_items, 2)
            values[target] = values[source] * random.choice([1, 1, 2, 3, 0.25])
        values[random.random(num_items) < draw(st.sampled_from([0, 0.15, 0.5]))] = 0
        values[random.random(num_items) < draw(st.sampled_from([0, 0.15])), 0] = np.nan
        features[name] = as_features(values)
    return features


@settings(max_examples=150)
@given(awkward_features(), st.integers(1, 30), st.booleans(), st.sampled_from([1, 7, 64]))
def test_equals_the_slow_reference(features: Features, k: int, consistency: bool, block_size: int) -> None:
    result = semantic_neighbors(features, k=k, consistency=consistency, block_size=block_size)
    found, mean, below, lost = reference(features, k, consistency)
    assert list(result.pairs) == list(features)
    for name in features:
        assert edges(result, name) == found[name], name
    assert result.mean_similarity == pytest.approx(mean, abs=1e-12)
    assert (result.below_mean, result.inconsistent) == (below, lost)
    without = [content.missing for content in features.values()]
    assert result.items_without_content == {
        **{name: int(content.missing.sum()) for name, content in features.items()},
        "any": int(np.any(without, axis=0).sum()),
    }


def crowded_features(groups: int = 20) -> Features:
    """Groups of vectors that float32 similarities cannot tell apart, a shared placeholder, and ordinary ones."""
    random = np.random.default_rng(3)
    size = 16 * groups
    values = np.repeat(random.normal(size=(groups, 96)), 16, axis=0) + random.normal(scale=3e-4, size=(size, 96))
    values[::9] = values[0]
    values[5] = np.nan
    return {"visual": as_features(values), "textual": as_features(random.normal(0.1, 1, (size, 40)).astype(np.float16))}


@pytest.mark.parametrize("consistency", [True, False])
@pytest.mark.parametrize(("groups", "sizes"), [(20, (7, 64, 320, 5000)), (4, (1, 3))])  # of one item: slow
def test_same_edges_for_any_block_size_and_number_of_threads(
    consistency: bool, groups: int, sizes: tuple[int, ...]
) -> None:
    features = crowded_features(groups)
    found, mean, below, lost = reference(features, 10, consistency)
    results = [semantic_neighbors(features, consistency=consistency, block_size=size) for size in sizes]
    torch.set_num_threads(2)
    try:
        results.append(semantic_neighbors(features, consistency=consistency))
    finally:
        torch.set_num_threads(1)
    for result in results:
        assert {name: edges(result, name) for name in features} == found
        assert (result.below_mean, result.inconsistent) == (below, lost)
        assert result.mean_similarity == results[0].mean_similarity == pytest.approx(mean)


def test_a_placeholder_shared_by_everybody_ties_by_item_index() -> None:
    features = {"visual": as_features(np.ones((40, 8)))}
    result = semantic_neighbors(features, k=3)
    assert edges(result, "visual") == [(i, j) for i in range(40) for j in range(3)]
    assert result.below_mean == {"visual": 0}


def test_an_item_keeps_itself_only_in_the_modality_that_it_lacks_and_its_edges_in_the_others() -> None:
    visual, textual = np.random.default_rng(0).random((2, 12, 4))
    visual[3], textual[8, 1] = 0, np.inf
    features = {"visual": as_features(visual), "textual": as_features(textual)}
    for consistency in (True, False):
        result = semantic_neighbors(features, k=12, consistency=consistency)
        for modality, lacking, other in (("visual", 3, "textual"), ("textual", 8, "visual")):
            assert [pair for pair in edges(result, modality) if lacking in pair] == [(lacking, lacking)]
            assert len([pair for pair in edges(result, other) if lacking in pair]) > 5
    assert result.items_without_content == {"visual": 1, "textual": 1, "any": 2}


def test_a_lacked_modality_has_no_veto_and_means_are_over_those_that_have_it() -> None:
    """All texts agree; pictures 0 and 1 are opposite to 2 and 3, and item 4 has none, so nothing speaks against it."""
    visual = np.array([[1, 0], [1, 0], [-1, 0], [-1, 0], [0, 0]])
    features = {"visual": as_features(visual), "textual": as_features(np.ones((5, 3)))}
    result = semantic_neighbors(features, k=5)
    assert result.mean_similarity == pytest.approx({"visual": 0.0, "textual": 1.0})
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2), (2, 3), (3, 2), (3, 3)]
    assert edges(result, "visual") == [*pairs, (4, 4)]
    assert edges(result, "textual") == sorted([*pairs, *((i, 4) for i in range(4)), *((4, i) for i in range(5))])
    assert (result.below_mean, result.inconsistent) == ({"visual": 8, "textual": 0}, {"visual": 0, "textual": 8})


def test_a_modality_that_nobody_has_changes_nothing_in_the_others() -> None:
    features = crowded_features()
    expected = semantic_neighbors(features)
    result = semantic_neighbors({**features, "acoustic": as_features(np.zeros((320, 3)))})
    assert all(edges(result, name) == edges(expected, name) for name in features)
    assert edges(result, "acoustic") == [(item, item) for item in range(320)]


def test_memory_mapped_features_and_progress(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    np.save(tmp_path / "visual.npy", values)
    mapped = np.load(tmp_path / "visual.npy", mmap_mode="r", allow_pickle=False)
    calls: list[tuple[int, int, str]] = []
    result = semantic_neighbors(
        {"visual": ModalityFeatures(mapped, np.zeros(30, dtype=bool))},
        block_size=12,
        progress=lambda *call: calls.append(call),
    )
    assert edges(result, "visual") == edges(semantic_neighbors({"visual": as_features(values)}), "visual")
    assert [call[:2] for call in calls] == [(tile, 6) for tile in range(1, 7)]


def test_a_modality_may_have_any_name() -> None:
    features = crowded_features()
    expected = semantic_neighbors(features)
    names = ("allowed", "mask", "transposed")
    for first in names:
        for second in set(names) - {first}:
            named = {first: features["visual"], second: features["textual"]}
            result = semantic_neighbors(named, block_size=64)
            assert [edges(result, name) for name in named] == [edges(expected, name) for name in features]


def test_no_items() -> None:
    result = semantic_neighbors({"visual": as_features(np.zeros((0, 4)))})
    assert edges(result, "visual") == []


def test_no_modalities() -> None:
    result = semantic_neighbors({})
    assert (result.pairs, result.items_without_content) == ({}, {"any": 0})


@pytest.mark.parametrize("setting", ["k", "block_size"])
def test_refuses_values_below_one(setting: str) -> None:
    with pytest.raises(RecipeError, match=rf"{setting} must be at least 1 \(got 0\)"):
        semantic_neighbors({"visual": as_features(np.ones((3, 2)))}, **{setting: 0})


def test_tiktok_has_the_mean_similarities_of_the_paper(real_data: Callable[[str], Path]) -> None:
    folder = real_data("tiktok")
    features = {
        name: as_features(np.load(folder / file, allow_pickle=False))
        for name, file in (("visual", "image_feat.npy"), ("acoustic", "audio_feat.npy"))
    }
    result = semantic_neighbors(features)
    assert result.mean_similarity == pytest.approx({"visual": 0.8556, "acoustic": 0.1245}, abs=5e-5)
    for name, content in features.items():
        items, neighbors = result.pairs[name]
        degrees = torch.bincount(items, minlength=len(content))
        assert 1 <= int(degrees.min()) <= int(degrees.max()) <= 10
        chosen = items[torch.randint(len(items), (5,), generator=torch.Generator().manual_seed(0))].unique().tolist()
        assert {i: neighbors[items == i].tolist() for i in chosen} == whole_rows(features, name, chosen)


def whole_rows(features: Features, modality: str, chosen: list[int]) -> dict[int, list[int]]:
    """Eq. 1 for a few items, in float64 over all others."""
    similarity = {}
    for name, content in features.items():
        rows = content.values.astype(np.float64)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        similarity[name] = rows[chosen] @ rows.T
    means = {"visual": 0.8556, "acoustic": 0.1245}
    allowed = np.all([similarity[name] >= means[name] + 5e-5 for name in features], axis=0)
    masked = np.round(np.where(allowed, similarity[modality], 0), 9)
    best = np.argsort(-masked, axis=1, kind="stable")[:, :10]
    return {i: sorted(j for j in best[n].tolist() if masked[n, j] > 0) for n, i in enumerate(chosen)}
