"""`groups`: the metrics by users' activity and by items' popularity, for the trained model and the floor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from damrs_dgl.evaluation.labels import floor_label, span_text
from damrs_dgl.evaluation.spread import with_error
from damrs_dgl.report.figures.groups import groups_figure
from damrs_dgl.report.sections.groups import COLUMNS
from damrs_dgl.scoring import Scorer
from damrs_dgl.stages.workspace import Workspace, writing_stage
from damrs_dgl.storage.files import write_csv
from damrs_dgl.studies.groups import (
    AUTHORS_GROUPS,
    ITEMS,
    USERS,
    Group,
    group_rows,
    groups_at,
    item_counts,
    popularity_thirds,
)
from damrs_dgl.studies.judging import Judge, trained_floor


@writing_stage
def groups(
    workspace: Workspace, *, cuts: Sequence[int] = (), item_cuts: Sequence[int] = (), format: str | None = None
) -> list[dict[str, Any]]:
    """Judge the trained model and the floor group by group; writes `groups.csv` and `groups.png`, prints the table.

    `cuts`: users between these numbers of training interactions; without them the groups of the authors' cold-start
    study. `item_cuts`: items between these; without them three groups of about as many items.
    """
    recipe, dataset, files = workspace.recipe, workspace.dataset, workspace.run.study("groups")
    chosen = [
        *(groups_at(cuts, USERS) if cuts else AUTHORS_GROUPS),
        *(groups_at(item_cuts, ITEMS) if item_cuts else popularity_thirds(item_counts(dataset))),
    ]
    judge = Judge(recipe, dataset)
    rows: list[dict[str, Any]] = []
    for name, scorer in _systems(workspace):
        rows += group_rows(name, judge(scorer), dataset, chosen, recipe.evaluation.ks)
    monitor = recipe.training.monitor
    drawn = monitor if monitor.startswith("recall@") else f"recall@{monitor.partition('@')[2]}"  # items have no other
    command = ["groups"]
    for option, given in (("--cuts", cuts), ("--item-cuts", item_cuts)):
        command += [option, ",".join(map(str, given))] if given else []
    parts = {**workspace.study_parts, **workspace.model_parts}
    with workspace.run.making("groups", parts, files.table, files.plot, commands=[command]):
        write_csv(files.table, rows, COLUMNS)
        groups_figure(rows, files.plot, metric=drawn, subtitle=f"{recipe.name}{workspace.synthetic_note}")
    title = f"{recipe.name}: test {drawn} by group{workspace.synthetic_note}"
    columns, shown = _table(chosen, rows, drawn)
    workspace.console.table(title, columns, shown, format=format)
    workspace.console.notice(f"groups: {len(chosen)} groups ({files.table}, {files.plot})")
    return rows


def _systems(workspace: Workspace) -> Iterator[tuple[str, Scorer]]:
    """The trained model and the floor, one after the other, each under its name."""
    own = workspace.recipe.model.name
    yield own, workspace.fitted.scorer
    for system in trained_floor(workspace.recipe, workspace.dataset, workspace.graph, workspace.device):
        if not system.is_own:
            yield floor_label(system.name, own), system.scorer


def _table(chosen: Sequence[Group], rows: Sequence[dict[str, Any]], metric: str) -> tuple[list[str], list[list[Any]]]:
    """(columns, cells): a row per group, a column per system."""
    systems = list(dict.fromkeys(row["system"] for row in rows))
    found = {(row["by"], row["group"], row["system"]): row for row in rows if row["metric"] == metric}
    cells = []
    for group in chosen:
        own = [found[group.by, group.name, system] for system in systems]
        bounds = f"{span_text(own[0]['low'], own[0]['high'])}, {group.counted}"
        cells.append([group.by, group.name, bounds, f"{own[0]['users']:,}", *map(_with_error, own)])
    return ["by", "group", "interactions", "users", *systems], cells


def _with_error(row: dict[str, Any]) -> str | None:
    return None if row["value"] is None else with_error(row["value"], row["standard_error"], " ±")
