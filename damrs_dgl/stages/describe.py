"""`describe`: the data set's table, with the columns of the paper's Table 1, and whether its content can help."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from damrs_dgl.graphs.agreement import ContentAgreement, content_agreement
from damrs_dgl.graphs.agreement_words import measure_texts, verdict
from damrs_dgl.stages.workspace import Workspace
from damrs_dgl.storage.files import write_json


def describe(workspace: Workspace) -> dict[str, Any]:
    """Print and store what the data set holds; returns the same as a dictionary (`dataset.json`)."""
    dataset, summary = workspace.dataset, summary_of(workspace)
    similarities = [f"avg. sim. {name}" for name in dataset.modalities]
    workspace.console.table(
        f"{workspace.recipe.name}{workspace.synthetic_note}",
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
    _show_content(workspace, summary["content"], summary["verdicts"])
    return summary


def summary_of(workspace: Workspace) -> dict[str, Any]:
    """What the data set holds, stored as `dataset.json` where that can be."""
    dataset = workspace.dataset
    found = _agreement(workspace)
    summary = dataset.describe()
    summary["synthetic"] = workspace.is_synthetic
    summary["mean_similarity"] = {name: agreement.mean_similarity for name, agreement in found.items()}
    summary["content"] = {name: asdict(agreement) for name, agreement in found.items()}
    summary["verdicts"] = [verdict(name, vars(agreement)) for name, agreement in found.items()]
    summary["findings"] = [vars(finding) for finding in dataset.findings]
    _store(workspace, summary)
    return summary


def _store(workspace: Workspace, summary: dict[str, Any]) -> None:
    """Write `dataset.json`; where that cannot be, on a read-only disk or beside another writer, the table is enough."""
    path = workspace.run.dataset_summary
    with workspace.writing_if_possible("describe") as refusal:
        if refusal is not None:
            workspace.console.notice(f"describe: shown, not stored ({refusal.where}: {refusal.what})")
            return
        with workspace.run.making("describe", workspace.summary_parts, path):
            write_json(path, summary)


def _agreement(workspace: Workspace) -> dict[str, ContentAgreement]:
    """What the content is like and how it goes with behaviour, looked at with a bar."""
    recipe = workspace.recipe
    with workspace.console.progress("describe", None) as bar:
        return content_agreement(
            workspace.dataset,
            k=recipe.graphs.k,
            seed=recipe.training.seed,
            device=workspace.device,
            progress=lambda done, total, name: bar.step(done, total, f"neighbours by {name}"),
        )


def _show_content(workspace: Workspace, found: Mapping[str, Mapping[str, Any]], verdicts: list[str]) -> None:
    """A row a modality, and what it means in words."""
    if not found:
        return
    rows = [
        [
            name,
            f"{agreement['missing']:,}",
            f"{agreement['duplicated']:,}",
            _shares(agreement["overlap"], agreement["overlap_by_chance"]),
            *measure_texts(agreement),
            None if agreement["lift"] is None else f"{agreement['lift']:.2f}",
        ]
        for name, agreement in found.items()
    ]
    first = next(iter(found.values()))
    which = f"a sample of {first['sampled_items']:,} items" if first["is_sample"] else "all items"
    workspace.console.table(
        f"content and behaviour: the {first['k']} nearest of {which}",
        ["modality", "without", "duplicated", "also near in", "share a user", "by chance", "lift"],
        rows,
    )
    for line in verdicts:
        workspace.console.info(line)


def _shares(overlap: Mapping[str, float | None], chance: float) -> str | None:
    """Such as "textual 27.8% (by chance 0.8%)"; None without another modality that some item has, too."""
    known = {other: share for other, share in overlap.items() if share is not None and not math.isnan(share)}
    shares = ", ".join(f"{other} {share:.1%}" for other, share in known.items())
    return f"{shares} (by chance {chance:.1%})" if shares else None
