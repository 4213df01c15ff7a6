"""The paper's figures: whole tables, names that are systems here, data sets known by their sizes."""

from __future__ import annotations

import numpy as np
import pytest

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.models.specification.systems import ablation_systems, check_system
from damrs_dgl.studies.published import paper_ablation, paper_comparison, paper_dataset

DATASETS = ("baby", "sports", "clothing", "tiktok")


def _dataset(users: int, items: int, interactions: int) -> MultimodalDataset:
    """A data set of these sizes, every user and item with an interaction."""
    pairs = np.arange(interactions)
    ids = {"item_ids": np.arange(items)}
    split = np.zeros(interactions, dtype=np.int64)
    split[-20:-10], split[-10:] = 1, 2
    return MultimodalDataset.from_arrays(pairs % users, pairs % items, split=split, **ids)


def test_a_data_set_is_known_by_its_sizes() -> None:
    assert paper_dataset(_dataset(9308, 6710, 68722)) == "tiktok"
    assert paper_dataset(_dataset(9308, 6710, 68721)) is None


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_row_of_the_paper_s_comparisons_is_a_system(dataset: str) -> None:
    rows = paper_comparison(dataset)
    assert len(rows) == 25
    assert [check_system(name) for name in rows] == list(rows)
    assert all(0 < figures["ndcg@20"] < figures["recall@20"] < 0.2 for figures in rows.values())


def test_what_denoises_has_the_figures_of_its_own_backbone() -> None:
    rows = paper_comparison("tiktok")
    assert [rows[f"tce:{name}"]["recall@20"] for name in ("mf", "lightgcn", "vbpr")] == [0.0302, 0.0647, 0.0699]


def test_no_data_set_of_the_paper_no_figures() -> None:
    assert paper_comparison(None) == {}
    assert paper_ablation(None, "damrs:lightgcn") == {}
    assert paper_ablation("baby", "damrs:mf") == {}


def test_every_row_of_the_ablation_is_one_here() -> None:
    rows = paper_ablation("baby", "damrs:lightgcn")
    systems, whole = ablation_systems({"name": "damrs"})
    assert list(rows) == systems
    assert whole == "da-mrs"
    assert rows[whole]["recall@20"] == max(figures["recall@20"] for figures in rows.values()) == 0.0994
    assert rows[whole] == paper_comparison("baby")["damrs:lightgcn"]
