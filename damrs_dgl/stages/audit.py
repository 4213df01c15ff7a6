"""`audit`: which clicks, pictures and texts are likely wrong, in the user's own ids, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from damrs_dgl.audit.content import ContentView, view_content
from damrs_dgl.audit.detection import detection
from damrs_dgl.audit.folds import cross_fitted, fold_of_clicks
from damrs_dgl.audit.interaction_scores import DEFAULT, SCORERS, Clicks, check_scorer, suspicion_of
from damrs_dgl.audit.links import CutLinks, cut_links
from damrs_dgl.audit.model_view import ModelView, has_terms, view_clicks
from damrs_dgl.audit.tables import content_table, interaction_table, link_table
from damrs_dgl.audit.truth import known_noise
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.factory import build_recipe_graph, prepare_training
from damrs_dgl.progress import OnProgress
from damrs_dgl.report.audit_words import click_reason, content_reason, links_by_rule
from damrs_dgl.report.figures.audit import audit_figure
from damrs_dgl.report.inputs import AUDIT_TABLES
from damrs_dgl.stages.workspace import Workspace, writing_stage
from damrs_dgl.storage.files import whole_file
from damrs_dgl.storage.run import RunDirectory, artefact_key
from damrs_dgl.training.checkpoint import CheckpointStore


@dataclass(frozen=True)
class Audit:
    """What was found: the training clicks with the model's view, their suspicion, content, cut links."""

    clicks: Clicks
    suspicion: np.ndarray
    content: ContentView
    links: CutLinks


@writing_stage
def audit(
    workspace: Workspace, *, scorer: str | None = None, folds: int = 0, top: int = 10, truth: Path | None = None
) -> dict[str, pa.Table]:
    """Write `audit/*.parquet` and `audit.png`, print the most suspect, and return the tables by name.

    Parameters
    ----------
    scorer: what judges a click; None: the one that found known noise best (docs/audit.md). "list" prints them all.
    folds: 0 judges by the fitted model, which remembers its training clicks; K trains K models more, each without a
        share of every user's clicks, which it then judges. They are kept in `audit/folds` and resumed.
    top: how many suspects of each kind are printed.
    truth: a table of clicks that are known to be noise (`audit.truth`), by which the suspicions are judged and a line
        of figures printed; no model sees it.

    Raises RunError where nothing is fitted, RecipeError for a scorer that is none, or that system or data cannot serve.
    """
    if scorer == "list":
        workspace.console.table("", ["scorer", "suspicion", "needs"], _scorer_rows())
        return {}
    name = scorer or DEFAULT
    run, console = workspace.run, workspace.console
    check_scorer(name, workspace.dataset, has_terms=lambda: has_terms(workspace.fitted.model, workspace.dataset))
    noise = None if truth is None else known_noise(truth, workspace.dataset)
    judge = ClickJudge(name, folds)
    files = [run.audit / f"{table}.parquet" for table in AUDIT_TABLES]
    found = _judge(workspace, name, folds)
    tables = {
        "interactions": interaction_table(workspace.dataset, found.clicks.view, found.suspicion, _voices(found, name)),
        "content": content_table(workspace.dataset, found.content),
        "links": link_table(workspace.dataset, found.links),
    }
    command = ["audit", "--scorer", name, *(["--folds", str(folds)] if folds else [])]
    with run.making("audit", audit_parts(workspace, judge), *files, run.audit_plot, commands=[command]):
        for file, table in zip(files, tables.values(), strict=True):
            with whole_file(file) as temporary:
                pq.write_table(table, temporary, store_schema=False)
        audit_figure(tables, run.audit_plot, title=_title(workspace), subtitle=f"{name}: {SCORERS[name].meaning}")
    _show(workspace, tables, judge, top)
    if noise is not None:
        _show_detection(workspace, found, noise)
    console.notice(f"audit: {', '.join(str(file) for file in files)} and {run.audit_plot}")
    return tables


@dataclass(frozen=True)
class ClickJudge:
    """By what an audit judges clicks: a scorer, and over how many folds, 0 for none."""

    scorer: str
    folds: int

    @classmethod
    def of(cls, run: RunDirectory) -> ClickJudge | None:
        """That of the audit in a run's folder; None where there is no audit, or one that was written by hand."""
        recorded = run.recorded_parts("audit")
        return None if recorded is None else cls(recorded["--scorer"], recorded["--folds"])

    def __str__(self) -> str:
        return f"by {self.scorer}{f' over {self.folds} folds' if self.folds else ''}"


def audit_parts(workspace: Workspace, judge: ClickJudge) -> dict[str, Any]:
    """What an audit is made from."""
    return {**workspace.model_parts, "--scorer": judge.scorer, "--folds": judge.folds}


def audit_refusal(workspace: Workspace, judge: ClickJudge) -> str | None:
    """Why the audit in the run's folder is not to be used (`RunDirectory.refusal`)."""
    return workspace.run.refusal("audit", audit_parts(workspace, judge), other="another training")


def _voices(found: Audit, scorer: str) -> dict[str, np.ndarray] | None:
    """What the suspicion is the mean of, where it is the mean of several."""
    return found.clicks.voices if scorer == DEFAULT else None


def _scorer_rows() -> list[list[str]]:
    needs = {"": "", "doubt": "a system with f and g, such as the default", "content": "a modality"}
    return [[name, found.meaning, needs[found.needs]] for name, found in SCORERS.items()]


def _judge(workspace: Workspace, scorer: str, folds: int) -> Audit:
    recipe, dataset, console = workspace.recipe, workspace.dataset, workspace.console
    with console.progress("audit", None) as bar:
        view = _view(workspace, folds, bar.step)
        clicks = Clicks(dataset, view, recipe.training.seed)
        suspicion = suspicion_of(scorer, clicks)
        content = view_content(dataset, recipe.graphs, progress=bar.step)
        links = cut_links(dataset, workspace.graph, recipe.graphs, progress=bar.step)
    return Audit(clicks, suspicion, content, links)


def _view(workspace: Workspace, folds: int, progress: OnProgress) -> ModelView:
    """What the fitted model says of its training clicks; with folds, what models say that were trained without them."""
    dataset, seed = workspace.dataset, workspace.recipe.training.seed
    if not folds:
        every = torch.arange(len(dataset.train))
        generator = torch.Generator().manual_seed(seed)
        return view_clicks(workspace.fitted.model, dataset, every, generator=generator, progress=progress)
    fold = fold_of_clicks(dataset.train, folds, generator=torch.Generator().manual_seed(seed))
    with workspace.console.progress("audit: models without a fold", folds, lines_of="fold") as bar, bar.heartbeat():

        def train_and_view(number: int, kept: MultimodalDataset, clicks: Tensor) -> ModelView:
            key = artefact_key("audit fold", workspace.fit_parts, folds, number)
            store = CheckpointStore(workspace.run.audit / "folds" / str(number), key)
            graph = build_recipe_graph(workspace.recipe, kept, device=workspace.device).graph
            trainer = prepare_training(workspace.recipe, kept, graph, device=workspace.device, store=store)
            trainer.resume(exactly=True)  # else one of more epochs would stand for this training
            trainer.fit()
            bar.advance(1)
            return view_clicks(trainer.model, dataset, clicks, generator=torch.Generator().manual_seed(seed))

        return cross_fitted(dataset, fold, train_and_view)


def _title(workspace: Workspace) -> str:
    return f"{workspace.recipe.name}: what is suspect{workspace.synthetic_note}"


def _show(workspace: Workspace, tables: Mapping[str, pa.Table], judge: ClickJudge, top: int) -> None:
    """The most suspect of each kind, and how many links each rule cut."""
    console, title = workspace.console, _title(workspace)
    if top:
        rows = [
            [row["user"], row["item"], row["suspicion"], click_reason(row)]
            for row in tables["interactions"].slice(0, top).to_pylist()
        ]
        console.table(f"{title}, clicks {judge}", ["user", "item", "suspicion", "why"], rows)
        _show_content(workspace, tables["content"].slice(0, top), title)
    if cut := links_by_rule(tables["links"]):
        shown = [[relation, rule, f"{count:,}"] for relation, rule, count in cut]
        console.table(f"{title}, links that were cut", ["relation", "rule", "links"], shown)
    else:
        console.notice("audit: no link of an item to its nearest neighbours was cut")
    if tables["interactions"]["posterior"].null_count:
        console.notice(f"audit: {workspace.recipe.model.name} has no f, g and posterior: those columns are empty")


def _show_detection(workspace: Workspace, found: Audit, noise: np.ndarray) -> None:
    """How well suspicion finds what is known to be noise."""
    train = workspace.dataset.train
    figures = detection(noise, found.suspicion, train.users.numpy(), train.items.numpy())
    columns = ("share", "auc", "average_precision", "precision", "auc_within_users", "auc_within_items")
    title = f"{workspace.recipe.name}: {int(noise.sum()):,} of {len(noise):,} clicks are known noise"
    title += workspace.synthetic_note
    heads = ["share of noise", "AUC", "average precision", "precision at that share", "within users", "within items"]
    workspace.console.table(title, heads, [[figures[name] for name in columns]], keys=0)


def _show_content(workspace: Workspace, table: pa.Table, title: str) -> None:
    if not len(table):
        workspace.console.notice("audit: the data set has no content, so that none is judged")
        return
    rows = [
        [row["item"], row["modality"], row["suspicion"], content_reason(row)]
        for row in table.to_pylist()
        if row["suspicion"] is not None
    ]
    workspace.console.table(f"{title}, content", ["item", "modality", "suspicion", "why"], rows)
