"""`describe`: the data set's table, with the columns of the paper's Table 1."""

from __future__ import annotations

from typing import Any

from damrs_dgl.files import write_json
from damrs_dgl.graphs.similarity import CosineTable
from damrs_dgl.stages.workspace import Workspace


def describe(workspace: Workspace) -> dict[str, Any]:
    """Print and store what the data set holds; returns the same as a dictionary (`dataset.json`)."""
    dataset = workspace.dataset
    summary: dict[str, Any] = {"name": workspace.recipe.name, **dataset.describe()}
    summary["synthetic"] = workspace.is_synthetic
    summary["mean_similarity"] = {name: CosineTable(features).mean for name, features in dataset.features.items()}
    summary["findings"] = [vars(finding) for finding in dataset.findings]
    write_json(workspace.run.dataset_summary, summary)
    similarities = [f"avg. sim. {name}" for name in dataset.modalities]
    workspace.console.table(
        f"{workspace.recipe.name}{' (synthetic)' if workspace.is_synthetic else ''}",
        ["observations", "users", "items", "sparsity", "train", "validation", "test", *similarities],
        [
            [
                f"{summary['observations']:,}",
                f"{dataset.num_users:,}",
                f"{dataset.num_items:,}",
                f"{summary['sparsity']:.4f}",
                *(f"{len(split):,}" for split in (dataset.train, dataset.validation, dataset.test)),
                *(f"{value:.4f}" for value in summary["mean_similarity"].values()),
            ]
        ],
        keys=0,
    )
    return summary
