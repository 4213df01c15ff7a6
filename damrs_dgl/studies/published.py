"""What the paper of DA-MRS reports, to stand beside what is found here.

Xv, Li, Lei et al., Improving Multi-modal Recommender Systems by Denoising and Aligning Multi-modal Content and User
Feedback, KDD 2024, Tables 1 to 5. A data set is recognised by its numbers of users, items and interactions (Table 1),
whatever the recipe calls it; a split or content of one's own is not noticed.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from damrs_dgl.data.dataset import MultimodalDataset

_FOLDER = Path(__file__).parent / "paper"
_METRICS = ("recall@20", "precision@20", "ndcg@20")
Figures = Mapping[str, Mapping[str, float]]  # system -> metric -> value


def paper_dataset(dataset: MultimodalDataset) -> str | None:
    """Which of the paper's data sets this is: baby, sports, clothing, tiktok or none."""
    interactions = sum(len(part) for _, part in dataset.splits())
    sizes = (interactions, dataset.num_users, dataset.num_items)
    for row in _rows("table1"):
        if sizes == tuple(int(row[column]) for column in ("observations", "users", "items")):
            return row["dataset"]
    return None


def paper_comparison(dataset: str | None) -> Figures:
    """Table 2 on one of the paper's data sets, by the system's full name; empty for None.

    T-CE, R-CE and DeCA as Table 5 has them, round each backbone: Table 2 has the best of these.
    """
    return {row["system"]: _figures(row) for row in _rows("comparison") if row["dataset"] == dataset}


def paper_ablation(dataset: str | None, whole: str) -> Figures:
    """Tables 3 and 4 by the row's name, where they are of this data set and system (`whole`, its full name)."""
    return {
        row["row"]: _figures(row) for row in _rows("ablation") if (row["dataset"], row["whole"]) == (dataset, whole)
    }


def _rows(table: str) -> list[dict[str, str]]:
    with (_FOLDER / f"{table}.csv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _figures(row: Mapping[str, str]) -> dict[str, float]:
    return {metric: float(row[metric]) for metric in _METRICS}
