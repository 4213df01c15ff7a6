"""`fit --drop-suspects` and `--reweight-suspects`: train anew by what the audit suspects, in a run of its own."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.parts import Interactions
from damrs_dgl.errors import RunError, refusal
from damrs_dgl.evaluation.labels import headline
from damrs_dgl.models.specification.needs import unweighed
from damrs_dgl.recipe import Recipe, with_values, written_text
from damrs_dgl.stages.audit import ClickJudge, audit_refusal
from damrs_dgl.stages.evaluate import current_metrics
from damrs_dgl.stages.fit_with_metrics import fit_with_metrics
from damrs_dgl.stages.workspace import Workspace
from damrs_dgl.storage.files import whole_file, write_text


def drop_suspects(
    workspace: Workspace, share: float, *, restart: bool = False, track: Sequence[str] = ()
) -> dict[str, Any]:
    """Train the recipe without the `share` of training clicks that its audit finds most suspect; returns the metrics.

    The new training is a run of its own, `without-suspects-SHARE` in the run's folder, with what it was made from: the
    clicks (`left_out.parquet`) and a recipe that names them (`recipe.toml`). The clicks are out of graphs and training;
    their users still know the items, so that no ranking shows them and the metrics of both runs ask for the same. Each
    user keeps at least one click. What the recipe leaves out already stays out. Prints both runs' metrics side by side.

    Raises RunError where there is no audit, or it is of another training.
    """
    console, dataset = workspace.console, workspace.dataset
    order = suspects(workspace)
    before = current_metrics(workspace)
    count = round(share * len(order))
    chosen = most_suspect(dataset, order, count)
    spared = count - len(chosen)
    if spared:
        console.notice(f"fit: {spared:,} suspects stay, each the last click of its user")
    table = pa.concat_tables([_pairs(dataset, dataset.left_out), _pairs(dataset, _some(dataset, chosen))])
    title = f"without {len(chosen):,} suspects {ClickJudge.of(workspace.run)}"
    return _own_run(
        workspace, f"without-suspects-{share:g}", "left_out", table, before, title, restart=restart, track=track
    )


def reweight_suspects(workspace: Workspace, *, restart: bool = False, track: Sequence[str] = ()) -> dict[str, Any]:
    """Train the recipe with each click weighed by 1 - suspicion; returns the metrics.

    As `drop_suspects`, in `reweighted-suspects`, with the weights in `click_weights.parquet`. The weights are the
    losses' alone: all clicks stay in the graphs. Raises RecipeError for a system that is not trained by steps.
    """
    if found := list(unweighed(workspace.recipe.model)):
        raise refusal(found)
    order = suspects(workspace)
    before = current_metrics(workspace)
    suspicion = pq.read_table(workspace.run.audit / "interactions.parquet", columns=["suspicion"])["suspicion"]
    table = _pairs(workspace.dataset, _some(workspace.dataset, order)).append_column(
        "weight", pa.array(1.0 - suspicion.to_numpy(), pa.float32())
    )
    return _own_run(
        workspace,
        "reweighted-suspects",
        "click_weights",
        table,
        before,
        f"by 1 - suspicion {ClickJudge.of(workspace.run)}",
        restart=restart,
        track=track,
    )


def _own_run(
    workspace: Workspace,
    name: str,
    key: str,
    table: pa.Table,
    before: dict[str, Any],
    title: str,
    *,
    restart: bool,
    track: Sequence[str],
) -> dict[str, Any]:
    """Write the table and a recipe whose `data.key` names it into a folder of the run, and train there."""
    folder, console = workspace.run.path / name, workspace.console
    path, recipe_file = folder / f"{key}.parquet", folder / "recipe.toml"
    recipe = with_values(workspace.recipe, {f"data.{key}": str(path.absolute())})
    changed = Workspace(recipe, run=folder, device=workspace.device.type, console=console)
    with workspace.writing("fit"), changed.writing("fit"), changed.run.making(key, {}, path):
        with whole_file(path) as temporary:
            pq.write_table(table, temporary, store_schema=False)
        write_text(recipe_file, written_text(with_values(recipe, _beside(recipe, folder.absolute()))))
    metrics = fit_with_metrics(changed, restart=restart, track=track)
    _compare(workspace, before, metrics, title)
    command = shlex.join(["damrs-dgl", "--recipe", str(recipe_file), "--run", str(folder), "recommend"])
    console.notice(f"fit: go on with `{command}`; stages behind it in this line are of {workspace.run.path}")
    return metrics


def _beside(recipe: Recipe[Any], folder: Path) -> dict[str, object]:
    """The [data] files of a folder, or of a run around it, by where they are from there: a run may be moved."""
    found: dict[str, object] = {}
    for key in ("left_out", "click_weights"):
        file = getattr(recipe.data, key)
        home = Path(file).parent if file else None
        if home is not None and folder.is_relative_to(home) and (home == folder or (home / "run.json").exists()):
            found[f"data.{key}"] = os.path.relpath(file, folder)
    return found


def suspects(workspace: Workspace) -> np.ndarray:
    """The places of all training clicks in `dataset.train`, the most suspect first, by the audit of this training."""
    run, path = workspace.run, workspace.run.audit / "interactions.parquet"
    judge = ClickJudge.of(run)
    if judge is None or not path.exists():
        raise RunError("there is no audit of this run", where=run.audit, fix="run `audit` first")
    if reason := audit_refusal(workspace, judge):
        raise RunError(f"the audit is {reason}", where=run.audit, fix="run `audit` again")
    table = pq.read_table(path, columns=["user", "item"])
    dataset = workspace.dataset
    judged = dataset.pairs_of(table)
    asked, keys = judged.keys(dataset.num_items).numpy(), dataset.train.keys(dataset.num_items).numpy()
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


def _some(dataset: MultimodalDataset, clicks: np.ndarray) -> Interactions:
    return dataset.train.take(torch.from_numpy(clicks))


def _pairs(dataset: MultimodalDataset, clicks: Interactions) -> pa.Table:
    """The clicks in the user's own ids."""
    users, items = clicks.users.numpy(), clicks.items.numpy()
    return pa.table({"user": dataset.user_ids.take(pa.array(users)), "item": dataset.item_ids.take(pa.array(items))})


def _compare(workspace: Workspace, before: dict[str, Any], after: dict[str, Any], how: str) -> None:
    rows = []
    for split in ("validation", "test"):
        for name in headline(before[split]):
            change = after[split][name] / before[split][name] - 1 if before[split][name] else 0.0
            rows.append([split, name, before[split][name], after[split][name], f"{change:+.1%}"])
    title = f"{workspace.recipe.name}: all clicks alike, and {how}{workspace.synthetic_note}"
    workspace.console.table(title, ["split", "metric", "all alike", how, "change"], rows)
