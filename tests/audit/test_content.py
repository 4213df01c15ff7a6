"""Swapped pictures are found, in the modality that was swapped; what is not known is left open."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from damrs_dgl.audit.content import combined, view_content
from damrs_dgl.audit.detection import roc_auc
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.graphs.keys import GraphKeys
from tests.models.builders import tiny_dataset

SHOP = synthetic_shop(users=800, items=400, styles=8, seed=2)


def test_swapped_content_is_found_in_its_own_modality() -> None:
    view = view_content(SHOP.dataset)
    for modality, swapped in SHOP.swapped.items():
        truth = swapped.numpy()
        assert roc_auc(truth, view.suspicion[modality]) > 0.9
        (other,) = (name for name in SHOP.swapped if name != modality)
        alone = truth & ~SHOP.swapped[other].numpy()
        assert (view.odd[alone] == modality).mean() > 0.75
        # the other modality is suspected less: the users' choices speak for it
        assert view.suspicion[modality][alone].mean() > view.suspicion[other][alone].mean() + 0.05


def test_agreement_is_the_cosine_to_the_neighbours_of_another_relation() -> None:
    """Worked out one item at a time for two modalities and four items."""
    visual = np.array([[1, 0], [1, 0.2], [0, 1], [0.1, 1]], dtype=np.float32)
    textual = np.array([[1, 0], [0, 1], [0.1, 1], [1, 0.3]], dtype=np.float32)
    data = MultimodalDataset.from_arrays(
        ["a", "a", "b", "b", "b", "c", "c"],
        ["0", "1", "2", "3", "1", "0", "3"],
        split=[0, 0, 0, 0, 1, 0, 2],
        item_ids=["0", "1", "2", "3"],
        features={"visual": visual, "textual": textual},
    )
    view = view_content(data, GraphKeys(k=1))
    unit = visual / np.linalg.norm(visual, axis=1, keepdims=True)
    nearest_text = [3, 2, 1, 0]
    cosines = np.array([unit[i] @ unit[j] for i, j in enumerate(nearest_text)])
    wanted = (cosines - cosines.mean()) / cosines.std()
    assert np.allclose(view.agreement["visual"]["textual"], wanted, atol=1e-5)
    assert np.isnan(view.agreement["visual"]["behavior"]).all()  # no two items share two users


def test_missing_content_is_not_judged() -> None:
    data = tiny_dataset()
    view = view_content(data, GraphKeys(k=3))
    for modality, features in data.features.items():
        assert np.isnan(view.suspicion[modality][features.missing]).all()
        known = view.suspicion[modality][~np.isnan(view.suspicion[modality])]
        assert ((known >= 0) & (known <= 1)).all() and len(known) > 5


def test_one_modality_is_judged_by_behaviour_and_none_is_no_mistake() -> None:
    view = view_content(SHOP.dataset.replace(features={"visual": SHOP.dataset.features["visual"]}))
    assert roc_auc(SHOP.swapped["visual"].numpy(), np.nan_to_num(view.suspicion["visual"], nan=0.5)) > 0.8
    assert set(view.odd) == {""}  # there is no other to compare with
    assert view_content(SHOP.dataset.replace(features={})).suspicion == {}


def test_a_relation_that_says_nothing_has_no_say() -> None:
    informed, chance = np.array([1.0, -1.0, np.nan]), np.array([-1.0, 1.0, 0.5])
    assert combined([informed, chance], [5.0, 0.0]) == pytest.approx([1.0, -1.0, 0.5], abs=1e-5)
    assert combined([informed, chance], [1.0, 1.0]) == pytest.approx([0.0, 0.0, 0.5])


def test_the_view_is_the_same_again() -> None:
    first, second = view_content(SHOP.dataset), view_content(SHOP.dataset)
    assert torch.equal(torch.tensor(first.suspicion["visual"]), torch.tensor(second.suspicion["visual"]))
