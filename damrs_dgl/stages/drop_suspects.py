"""`fit --drop-suspects`: train anew without the clicks that the run's audit suspects most, in a run of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.errors import RunError
from damrs_dgl.files import whole_file, write_text
from damrs_dgl.recipe import recipe_text, with_values
from damrs_dgl.run import change_text
from damrs_dgl.stages.audit import audit_parts
from damrs_dgl.stages.evaluate import current_metrics
from damrs_dgl.stages.fit import fit
from damrs_dgl.stages.workspace import Workspace

SHOWN = ("recall@20", "ndcg@20")


def drop_suspects(
    workspace: Workspace, share: float, *, restart: bool = False, track: Sequence[str] = ()
) -> dict[str, Any]:
    """Train the recipe without the `share` of training clicks that its audit finds most suspect; returns the metrics.

    The new training is a run of its own, `without-suspects-SHARE` in the run's folder, with what it was made from: the
    clicks (`left_out.parquet`) and a recipe that names them (`recipe.toml`). The clicks are out of graphs and training;
    their users still know the items, so that no ranking shows them and the metrics of both runs ask for the same. Each
    user keeps at least one click. Prints both runs' metrics side by side.

    Raises RunError where there is no audit, or it is of another training.
    """
    run, console, dataset = workspace.run, workspace.console, workspace.dataset
    order = suspects(workspace)
    before = current_metrics(workspace)
    count = round(share * len(order))
    chosen = most_suspect(dataset, order, count)
    spared = count - len(chosen)
    if spared:
        console.notice(f"fit: {spared:,} suspects stay, each the last click of its user")
    folder = run.path / f"without-suspects-{share:g}"
    left_out, recipe_file = (folder / "left_out.parquet").absolute(), folder / "recipe.toml"
    _write_pairs(dataset, chosen, left_out)
    recipe = with_values(workspace.recipe, {"data.left_out": str(left_out)})
    write_text(recipe_file, recipe_text(recipe))
    changed = Workspace(recipe, run=folder, device=workspace.device.type, console=console)
    metrics = fit(changed, restart=restart, track=track)
    _compare(workspace, before, metrics, len(chosen))
    console.notice(f"fit: go on with `damrs-dgl --recipe {recipe_file} --run {folder} recommend`")
    return metrics


def suspects(workspace: Workspace) -> np.ndarray:
    """The places of all training clicks in `dataset.train`, the most suspect first, by the audit of this training."""
    run, path = workspace.run, workspace.run.audit / "interactions.parquet"
    made_from = run.made_from("audit")
    if made_from is None or not path.exists():
        raise RunError("there is no audit of this run", where=run.audit, fix="run `audit` first")
    parts = audit_parts(workspace, made_from["--scorer"], made_from["--folds"])
    changed = run.changes("audit", parts, path)
    if changed:
        raise RunError(
            f"the audit is of another training: {change_text(changed)}", where=run.audit, fix="run `audit` again"
        )
    table = pq.read_table(path, columns=["user", "item"])
    dataset = workspace.dataset
    asked = dataset.user_indices(table["user"]) * dataset.num_items + dataset.item_indices(table["item"])
    keys = (dataset.train.users * dataset.num_items + dataset.train.items).numpy()
    if len(asked) != len(keys) or not np.array_equal(np.sort(asked), np.sort(keys)):
        raise RunError("its clicks are not those of the training split", where=path, fix="run `audit` again")
    by_key = np.argsort(keys)
    found: np.ndarray = by_key[np.searchsorted(keys[by_key], asked)]
    return found


def most_suspect(dataset: MultimodalDataset, order: np.ndarray, count: int) -> np.ndarray:
    """The first `count` of the clicks in `order`, but for each user's least suspect one, which stays."""
    users = dataset.train.users.numpy()[order]
    last = np.zeros(len(order), dtype=bool)
    last[len(order) - 1 - np.unique(users[::-1], return_index=True)[1]] = True
    places = np.arange(len(order)) < count
    chosen: np.ndarray = order[places & ~last]
    return chosen


def _write_pairs(dataset: MultimodalDataset, clicks: np.ndarray, path: Path) -> None:
    users, items = (part[torch.from_numpy(clicks)].numpy() for part in (dataset.train.users, dataset.train.items))
    table = {"user": dataset.user_ids.take(pa.array(users)), "item": dataset.item_ids.take(pa.array(items))}
    with whole_file(path) as temporary:
        pq.write_table(pa.table(table), temporary, store_schema=False)


def _compare(workspace: Workspace, before: dict[str, Any], after: dict[str, Any], dropped: int) -> None:
    rows = []
    for split in ("validation", "test"):
        for name in before[split]:
            if name in SHOWN or len(before[split]) < len(SHOWN):
                change = after[split][name] / before[split][name] - 1 if before[split][name] else 0.0
                rows.append([split, name, before[split][name], after[split][name], f"{change:+.1%}"])
    synthetic = ", synthetic data" if workspace.is_synthetic else ""
    title = f"{workspace.recipe.name}: with all clicks and without {dropped:,} suspects{synthetic}"
    workspace.console.table(title, ["split", "metric", "all", "without", "change"], rows)
