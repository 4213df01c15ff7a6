"""Noise: the counts, where it may and may not go, that it is seeded and leaves the clean data alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from damrs_dgl.data import MultimodalDataset, add_feedback, corrupt, remove_feedback, swap_content, synthetic_shop
from damrs_dgl.data.parts import Interactions, ModalityFeatures
from damrs_dgl.errors import DataError

ratios = st.sampled_from([0.05, 0.1, 0.2, 0.5])


@pytest.fixture(scope="module")
def clean() -> MultimodalDataset:
    return synthetic_shop(
        users=120, items=80, clicks_per_user=8, styles=4, dims={"visual": 6, "sound": 5}, swapped_share=0
    ).dataset


def pairs(part: Interactions) -> list[tuple[int, int]]:
    return list(zip(part.users.tolist(), part.items.tolist(), strict=True))


@given(ratio=ratios, seed=st.integers(0, 5))
def test_added_feedback(clean: MultimodalDataset, ratio: float, seed: int) -> None:
    before = clean.replace().fingerprint()
    noisy = add_feedback(clean, ratio, seed=seed)
    old = pairs(clean.train)
    new = pairs(noisy.train)[len(old) :]
    assert pairs(noisy.train)[: len(old)] == old
    assert len(new) == len(set(new)) == round(ratio * len(old))
    assert not set(new) & {pair for _, part in clean.splits() for pair in pairs(part)}
    assert noisy.validation is clean.validation
    assert noisy.test is clean.test
    assert clean.replace().fingerprint() == before
    assert noisy.fingerprint() == add_feedback(clean, ratio, seed=seed).fingerprint()
    assert noisy.fingerprint() != add_feedback(clean, ratio, seed=seed + 1).fingerprint()


def test_what_is_left_out_is_not_added(clean: MultimodalDataset) -> None:
    known = Interactions(clean.train.users[:1].repeat(40), torch.arange(40))
    fresh = set(pairs(known)) - {pair for _, part in clean.splits() for pair in pairs(part)}
    known = Interactions.from_numpy(*np.array(sorted(fresh)).T)
    cells = clean.num_users * clean.num_items
    free = cells - sum(len(part) for _, part in clean.splits()) - len(known)
    ratio = min(1.0, free / len(clean.train))
    noisy = add_feedback(clean.replace(left_out=known), ratio, seed=0)
    assert not fresh & set(pairs(noisy.train))


@given(ratio=ratios, seed=st.integers(0, 5))
def test_removed_feedback(clean: MultimodalDataset, ratio: float, seed: int) -> None:
    noisy = remove_feedback(clean, ratio, seed=seed)
    old, left = pairs(clean.train), pairs(noisy.train)
    assert len(left) == len(old) - round(ratio * len(old))
    assert left == [pair for pair in old if pair in set(left)], "in their order"
    assert noisy.test is clean.test
    assert noisy.fingerprint() == remove_feedback(clean, ratio, seed=seed).fingerprint()
    assert noisy.fingerprint() != remove_feedback(clean, ratio, seed=seed + 1).fingerprint()


@given(ratio=ratios, seed=st.integers(0, 5))
def test_swapped_content(clean: MultimodalDataset, ratio: float, seed: int) -> None:
    before = clean.features["visual"].values.copy()
    noisy = swap_content(clean, "visual", ratio, seed=seed)
    after = noisy.features["visual"].values
    changed = np.flatnonzero((after != before).any(axis=1))
    assert len(changed) == round(ratio * clean.num_items), "no item gets its own row"
    known = {row.tobytes() for row in before}
    assert all(row.tobytes() in known for row in after), "rows are clean rows of other items"
    assert np.array_equal(clean.features["visual"].values, before)
    assert noisy.features["sound"] is clean.features["sound"]
    assert noisy.train is clean.train
    assert noisy.fingerprint() == swap_content(clean, "visual", ratio, seed=seed).fingerprint()
    assert noisy.fingerprint() != swap_content(clean, "visual", ratio, seed=seed + 1).fingerprint()


def test_swap_draws_donors_uniformly_and_repairs_nothing(dataset_of: Callable) -> None:
    clean = dataset_of([(0, 0)], users=1, items=5)  # the last row is missing
    values = clean.features["visual"].values
    counts = np.zeros((5, 5))
    for seed in range(600):
        noisy = swap_content(clean, "visual", 1.0, seed=seed).features["visual"]
        assert noisy.missing.tolist() == [False] * 4 + [True]
        for item, row in enumerate(noisy.values):
            counts[item, np.flatnonzero((values == row).all(axis=1))[0]] += 1
    expected = np.array([[0, 1, 1, 1, 0], [1, 0, 1, 1, 0], [1, 1, 0, 1, 0], [1, 1, 1, 0, 0]]) / 3
    assert np.allclose(counts[:4] / 600, expected, atol=0.08)
    assert counts[4, 4] == 600


@given(ratio=ratios, seed=st.integers(0, 5), lacking=st.integers(0, 60))
def test_a_share_of_the_items_that_have_content_is_swapped(
    clean: MultimodalDataset, ratio: float, seed: int, lacking: int
) -> None:
    missing = np.arange(clean.num_items) < lacking
    before = ModalityFeatures(clean.features["visual"].values, missing)
    after = swap_content(clean.replace(features={"visual": before}), "visual", ratio, seed=seed).features["visual"]
    changed = (after.values != before.values).any(axis=1)
    assert changed.sum() == round(ratio * (clean.num_items - lacking))
    assert np.array_equal(after.missing, missing) and not changed[missing].any()
    donors = {row.tobytes() for row in before.values[~missing]}
    assert all(row.tobytes() in donors for row in after.values[changed])


def test_added_feedback_is_uniform_over_free_pairs(dataset_of: Callable) -> None:
    taken = [(u, i) for u in range(4) for i in range(5) if (u + i) % 3 == 0]
    clean = dataset_of(taken, users=4, items=5)
    counts = np.zeros((4, 5))
    for seed in range(800):
        for pair in pairs(add_feedback(clean, 2 / len(taken), seed=seed).train)[len(taken) :]:
            counts[pair] += 1
    free = [pair for pair in np.ndindex(4, 5) if pair not in taken]
    assert counts.sum() == 1600
    assert np.allclose([counts[pair] / 1600 for pair in free], 1 / len(free), atol=0.03)


def test_nearly_full_matrix_does_not_hang(dataset_of: Callable) -> None:
    everything = [(u, i) for u in range(30) for i in range(20)]
    clean = dataset_of(everything[:-3], users=30, items=20)
    noisy = add_feedback(clean, 3 / len(clean.train), seed=0)
    assert sorted(pairs(noisy.train)) == everything
    with pytest.raises(DataError, match="4 new pairs are asked for and 3 are free"):
        add_feedback(clean, 4 / len(clean.train), seed=0)


def test_corrupt_names_its_choices(clean: MultimodalDataset) -> None:
    assert corrupt(clean, "sound", 0, seed=0) is clean
    assert len(corrupt(clean, "feedback", 0.1, seed=0).train) > len(clean.train)
    assert len(corrupt(clean, "feedback-removed", 0.1, seed=0).train) < len(clean.train)
    assert corrupt(clean, "sound", 0.1, seed=3).name == "synthetic shop + sound 0.1 (seed 3)"
    with pytest.raises(DataError, match=r"'tekst'.*feedback, feedback-removed, visual, sound"):
        corrupt(clean, "tekst", 0, seed=0)
    for ratio in (-0.1, 1.5, float("nan")):
        with pytest.raises(DataError, match=r"noise ratio of .*between 0 and 1"):
            corrupt(clean, "feedback", ratio, seed=0)


def test_what_cannot_be_spoilt(clean: MultimodalDataset) -> None:
    with pytest.raises(DataError, match="leaves no training interaction"):
        remove_feedback(clean, 1.0, seed=0)
    with pytest.raises(DataError, match=r"no modality named 'smell'.*visual, sound"):
        swap_content(clean, "smell", 0.1, seed=0)
    bare = np.ones(clean.num_items, dtype=bool)
    bare[0] = False
    features = {"visual": ModalityFeatures(clean.features["visual"].values, bare)}
    with pytest.raises(DataError, match="1 items have content in 'visual', swapping needs two"):
        swap_content(clean.replace(features=features), "visual", 0.1, seed=0)
