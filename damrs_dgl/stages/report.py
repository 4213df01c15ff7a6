"""`report`: one page of all that stands in a run's folder, for people to read."""

from __future__ import annotations

import importlib.metadata
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from damrs_dgl.audit.interaction_scores import SCORERS
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.errors import RunError
from damrs_dgl.factory import prepare_training
from damrs_dgl.graphs.build import load_graph
from damrs_dgl.graphs.schema import ITEM, item_relations
from damrs_dgl.models.base import ClosedFormModel, RankingModel
from damrs_dgl.models.specification.systems import whole_system
from damrs_dgl.models.wrapper import WrapperModel
from damrs_dgl.recipe import recipe_text, written_text
from damrs_dgl.report.html import write_report
from damrs_dgl.report.inputs import ReportInputs, Row, audit_tables
from damrs_dgl.report.item_vectors import VectorView, vector_views
from damrs_dgl.report.pictures import PictureFolder
from damrs_dgl.report.sections.studies import STUDIES, pair_tables, study_tables
from damrs_dgl.scoring import DotProduct
from damrs_dgl.stages.audit import ClickJudge, audit_refusal
from damrs_dgl.stages.describe import summary_of
from damrs_dgl.stages.evaluate import current_metrics
from damrs_dgl.stages.workspace import Workspace, writing_stage
from damrs_dgl.storage.files import read_json

_NO_TRAINING = "of another training (none is there now)"
_AGAIN = "run `damrs-dgl report` again after what made it"


@writing_stage
def report(workspace: Workspace, *, pictures: Path | None = None) -> Path:
    """Write `report.html`, a page that needs nothing else, of what the run's folder holds; returns its path.

    What was not made yet is left out and named on the page. `pictures`: a folder of the items' pictures, each called
    by its item's id, for thumbnails beside the audit's suspects. Raises DataError where that is no folder.
    """
    if pictures is not None:
        PictureFolder(pictures)  # refused before a minute of drawing
    run, recipe, console = workspace.run, workspace.recipe, workspace.console
    fitted = _is_fitted(workspace)
    graph, graph_summary = _graph(workspace)
    with console.progress("report", None) as bar:
        bar.advance(0, step="metrics")
        metrics = current_metrics(workspace) if fitted else None
        tables = _studies(workspace, fitted=fitted)
        audit, audit_judge = _audit(workspace, fitted=fitted)
        bar.advance(0, step="item vectors")
        views = _views(workspace) if fitted else []
        bar.advance(0, step="page")
        inputs = ReportInputs(
            name=recipe.name,
            synthetic=workspace.is_synthetic,
            system=recipe.model.name,
            recipe_text=recipe_text(recipe),
            written=written_text(recipe),
            dataset=workspace.dataset,
            summary=_summary(workspace),
            graph_summary=graph_summary,
            degrees=_degrees(graph) if graph is not None else {},
            histories=_histories(workspace) if fitted else {},
            closed_form=_closed_form(workspace) if fitted else frozenset(),
            monitor=recipe.training.monitor,
            metrics=metrics,
            tables=tables,
            pairs=pair_tables(run, tables),
            whole=whole_system(recipe.model.model_dump()),
            audit=audit,
            audit_judge=audit_judge,
            views=views,
            pictures=pictures,
        )
        inputs.commands = _commands(workspace, inputs)
        with run.making("report", workspace.study_parts, run.report):
            write_report(inputs, run.report, version=importlib.metadata.version("damrs-dgl"))
    if not fitted:
        what = "data and studies" if tables else "data"
        why = "no trained model fits" if workspace.checkpoints.best_path.exists() else "nothing is trained in this run"
        console.warning(f"{why}: the page has the {what} alone; `fit` and `evaluate` add more")
    console.notice(f"report: {run.report} (one file; open it in a browser)")
    return run.report


def _is_fitted(workspace: Workspace) -> bool:
    """Whether the run has a trained model that fits the recipe; says so where it has another."""
    if not workspace.checkpoints.best_path.exists():
        return False
    try:
        workspace.checkpoints.load_best()
    except RunError as error:
        workspace.console.warning(f"{error}; it is left out")
        return False
    return True


def _summary(workspace: Workspace) -> Mapping[str, Any]:
    """`dataset.json`, made first where it is not there or is of another data set or seed."""
    run = workspace.run
    if run.is_sound("describe", workspace.summary_parts, workspace.console.warning):
        return read_json(run.dataset_summary, fix="delete it and run `describe` again")
    return summary_of(workspace)


def _graph(workspace: Workspace) -> tuple[dgl.DGLGraph | None, Mapping[str, Any] | None]:
    """The stored graph and its summary, neither where they are not there, no longer fit or cannot be read here."""
    run = workspace.run
    if not run.is_sound("graphs", workspace.graphs_parts, workspace.console.warning):
        return None, None
    try:
        return load_graph(run.graph, verified=True), read_json(run.graph_summary, fix=_AGAIN)
    except RunError as error:
        workspace.console.warning(f"{error.where}: {error.what}; the page leaves the graphs out")
        return None, None


def _studies(workspace: Workspace, *, fitted: bool) -> dict[str, list[Row]]:
    """The studies' tables; says of one that is damaged, or of other settings than the recipe's, that it is left out."""
    run, shown = workspace.run, []
    for study in STUDIES:
        if not run.study(study.name).table.exists():
            continue
        if study.of_the_model and not fitted:
            reason = None if run.recorded_parts(study.name) is None else _NO_TRAINING
        else:
            of_the_model = workspace.model_parts if study.of_the_model else {}
            reason = run.refusal(study.name, {**workspace.study_parts, **of_the_model})
        if reason:
            workspace.console.warning(f"the study `{study.name}` is {reason}; it is left out: run it again")
        else:
            shown.append(study.name)
    return study_tables(run, shown)


def _audit(workspace: Workspace, *, fitted: bool) -> tuple[dict[str, pa.Table], str]:
    """The audit's tables and how it judged; an audit that is damaged, or of another training, is left out, and said."""
    run = workspace.run
    judge = ClickJudge.of(run)
    if judge is None or not any(run.audit.glob("*.parquet")):  # written by hand, or not there
        return audit_tables(run.path), ""
    reason = audit_refusal(workspace, judge) if fitted else _NO_TRAINING
    if reason is None:
        return audit_tables(run.path), f"{judge}: {SCORERS[judge.scorer].meaning}"
    workspace.console.warning(f"the audit is {reason}; it is left out: run `audit` again")
    return {}, ""


def _degrees(graph: dgl.DGLGraph) -> dict[str, Tensor]:
    """{item-item relation: how many other items keep each item as a neighbour}."""
    found = {}
    for relation in item_relations(graph):
        neighbors, items = graph.edges(etype=relation)
        others = neighbors[neighbors != items].long()
        found[relation] = torch.bincount(others, minlength=graph.num_nodes(ITEM))
    return found


def _histories(workspace: Workspace) -> dict[str, Sequence[Row]]:
    """The epochs of the system, and before it those of each member that was trained inside it."""
    found: dict[str, Sequence[Row]] = {}
    for name in workspace.fitted.model.members():
        stored = workspace.checkpoints.of_member(name).load_last()
        if stored is not None:
            found[name] = stored[1]["progress"]["history"]
    found[workspace.recipe.model.name] = workspace.fitted.progress.history
    return {name: rows for name, rows in found.items() if rows}


def _closed_form(workspace: Workspace) -> frozenset[str]:
    """Which of the system and its members were computed and not trained, by the names that `_histories` has."""
    model = workspace.fitted.model
    parts = {**model.members(), workspace.recipe.model.name: model}
    return frozenset(name for name, part in parts.items() if isinstance(part, ClosedFormModel))


@torch.no_grad()
def _views(workspace: Workspace) -> list[VectorView]:
    """Item vectors before training, of the wrapped system alone, and as they rank."""
    model = workspace.fitted.model.eval()
    fresh = prepare_training(workspace.recipe, workspace.dataset, workspace.graph, device=workspace.device).model.eval()
    named: list[tuple[str, str, Tensor]] = []
    for name, part in {"": model, **model.members()}.items():
        start = fresh if not name else fresh.members()[name]
        called = f"{part.name}, a member of the {model.name}" if name else part.name
        named = _stages_of(part, start, called=called, start_is=workspace.recipe.training.start)
        if named:
            break
    return vector_views(named, workspace.dataset, seed=workspace.recipe.training.seed)


def _stages_of(
    model: RankingModel, start: RankingModel, *, called: str, start_is: str
) -> list[tuple[str, str, Tensor]]:
    """(name, meaning, item vectors) of a system that ranks by vectors and is trained by steps; none of another."""
    if isinstance(model, ClosedFormModel):
        return []
    last = _item_vectors(model)
    first = _item_vectors(start)
    if last is None or first is None:
        return []
    spectral = ", from the spectrum of the training clicks" if start_is == "spectral" and model.tables() else ""
    found = [("before training", f"{called} as it starts: the same seed, no step taken{spectral}.", first)]
    if isinstance(model, WrapperModel):
        backbone = model.backbone
        inner = _item_vectors(backbone)
        if inner is not None and not (inner.shape == last.shape and torch.equal(inner, last)):
            meaning = f"The trained {backbone.name} inside {model.name}: no item-item relation has been joined to it."
            found.append(("without the relations", meaning, inner))
    found.append(("as they rank", f"All of the trained {called}: what it recommends with.", last))
    return found


def _item_vectors(model: RankingModel) -> Tensor | None:
    scorer = model.scorer()
    return scorer.item_emb if isinstance(scorer, DotProduct) else None


def _commands(workspace: Workspace, inputs: ReportInputs) -> list[str]:
    """What makes again what the page shows, from the recipe that it holds."""
    stages = ["describe"]
    stages += ["build-graphs"] if inputs.graph_summary is not None else []
    stages += ["fit"] if inputs.histories else []
    stages += ["evaluate"] if inputs.metrics is not None else []
    shown = [*inputs.tables, *(["audit"] if inputs.audit else [])]
    chains = [stages, *(words for artefact in shown for words in workspace.run.commands(artefact)), ["report"]]
    start = f"damrs-dgl --recipe recipe.toml --run {shlex.quote(f'runs/{workspace.recipe.name}-again')}"
    install = f"pip install .  # in a copy of the repository of version {importlib.metadata.version('damrs-dgl')}"
    return [install, *(f"{start} {shlex.join(words)}" for words in chains)]
