"""The table of systems side by side, for the terminal or to paste."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from damrs_dgl.report.figures import METRIC_LABELS
from damrs_dgl.report.tables import Marked
from damrs_dgl.stages.shown_table import show_table
from damrs_dgl.stages.study import mean_text
from damrs_dgl.stages.workspace import Workspace
from damrs_dgl.studies.results import CellResult
from damrs_dgl.studies.statistics import Marks
from damrs_dgl.studies.systems import HEADLINE, marks_of

_SIGNS = {1: " **", 2: " *"}  # in the terminal's table


def show_systems(
    workspace: Workspace,
    results: Mapping[str, Sequence[CellResult]],
    paper: Mapping[str, Mapping[str, float]],
    *,
    title: str,
    format: str | None,
) -> None:
    """A row per system: the mean over seeds with its standard error, the best and second best marked, the paper's.

    Marked is what the paired test over users says, corrected over the table (`studies.statistics.best_and_second`).
    format: md, latex or csv; None for the terminal.
    """
    marks = marks_of(results)
    columns = ["system", "seeds", *(f"test {METRIC_LABELS[metric]}" for metric in HEADLINE)]
    columns += [f"paper {METRIC_LABELS[metric]}" for metric in HEADLINE] if paper else []
    table = [_row(system, runs, marks, paper, plain=format is None) for system, runs in results.items()]
    show_table(workspace.console, title, columns, table, format)
    if format is not None:
        return
    marked = any(mark.best for mark in marks.values())
    said = "** best, * second best" if marked else "no system is marked best"
    workspace.console.notice(f"{said}: paired Wilcoxon test over users, Holm's correction over the table, p < 0.05")


def show_pairs(workspace: Workspace, pairs: Sequence[Mapping[str, Any]], system: str) -> None:
    """How a system differs from each other one, user by user, on the first headline metric."""
    metric = HEADLINE[0]
    table = []
    for pair in pairs:
        if pair["metric"] != metric or system not in (pair["system"], pair["against"]):
            continue
        sign, other = (1, pair["against"]) if pair["system"] == system else (-1, pair["system"])
        low, high = sorted((sign * pair["low"], sign * pair["high"]))
        difference = f"{sign * pair['difference']:+.4f}"
        table.append([other, difference, f"{low:+.4f} to {high:+.4f}", pair["p_value_holm"]])
    if table:
        columns = ["against", "difference", "95 % interval", "p (Wilcoxon, Holm)"]
        workspace.console.table(f"{system}: test {METRIC_LABELS[metric]} over users", columns, table)


def _row(
    system: str,
    runs: Sequence[CellResult],
    marks: Mapping[str, Marks],
    paper: Mapping[str, Mapping[str, float]],
    *,
    plain: bool,
) -> list[Any]:
    row: list[Any] = [system, len(runs)]
    for metric in HEADLINE:
        text = mean_text([run.test[metric] for run in runs])
        place = _place(system, marks[metric])
        row.append(text + _SIGNS.get(place, "") if plain else Marked(text, place) if place else text)
    return row + [paper.get(system, {}).get(metric) for metric in HEADLINE] if paper else row


def _place(system: str, marks: Marks) -> int:
    """1 for the best, 2 for the second, 0 for the others."""
    return 1 if system == marks.best else 2 if system == marks.second else 0
