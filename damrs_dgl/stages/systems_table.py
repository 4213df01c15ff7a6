"""The table of systems side by side, for the terminal or to paste."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from damrs_dgl.files import write_csv
from damrs_dgl.report.drawing import METRIC_LABELS
from damrs_dgl.report.systems_figure import systems_figure
from damrs_dgl.report.tables import Marked
from damrs_dgl.stages.shown_table import show_table
from damrs_dgl.stages.study import mean_text, of_seeds
from damrs_dgl.stages.workspace import Workspace
from damrs_dgl.studies.cells import Cell, Outcome
from damrs_dgl.studies.results import PER_USER_K, CellResult
from damrs_dgl.studies.statistics import Marks
from damrs_dgl.studies.systems import HEADLINE, beside_accuracy, marks_of, results_of, system_rows

_SIGNS = {1: " **", 2: " *"}  # in the terminal's table


@dataclass(frozen=True)
class StudyFiles:
    """Where a study's rows and its picture are kept."""

    table: Path
    plot: Path


def keep_systems(
    workspace: Workspace,
    outcomes: Mapping[Cell, Outcome],
    paper: Mapping[str, Mapping[str, float]],
    files: StudyFiles,
    *,
    seeds: int,
    format: str | None,
    subject: str = "Systems",
) -> list[dict[str, Any]]:
    """Write the rows of a study and their picture, print the table; returns the rows.

    seeds: how many there were.  format: md, latex or csv; None for the terminal.  subject: what the rows are.
    """
    rows = system_rows(outcomes, paper)
    write_csv(files.table, rows)
    sound = [row for row in rows if "error" not in row]
    if sound:
        subtitle = f"{workspace.recipe.name}{workspace.synthetic_note}, {of_seeds(seeds)}"
        systems_figure(sound, files.plot, title=subject, subtitle=subtitle)
    else:
        files.plot.unlink(missing_ok=True)  # an earlier study's
    title = f"{workspace.recipe.name}: {subject[0].lower()}{subject[1:]}, test metrics, {of_seeds(seeds)}"
    title += workspace.synthetic_note
    _show_systems(workspace, results_of(outcomes), paper, title=title, format=format)
    return rows


def _show_systems(
    workspace: Workspace,
    results: Mapping[str, Sequence[CellResult]],
    paper: Mapping[str, Mapping[str, float]],
    *,
    title: str,
    format: str | None,
) -> None:
    """A row per system: the mean over seeds with its standard error, the best and second best marked, the paper's.

    Marked is what the paired test over users says, corrected over the table (`studies.statistics.best_and_second`).
    """
    marks = marks_of(results)
    columns = ["system", "seeds", *(f"test {METRIC_LABELS[metric]}" for metric in HEADLINE)]
    columns += [f"paper {METRIC_LABELS[metric]}" for metric in HEADLINE] if paper else []
    table = [_row(system, runs, marks, paper, plain=format is None) for system, runs in results.items()]
    show_table(workspace.console, title, columns, table, format)
    if format is not None or sum(map(bool, results.values())) < 2:  # nothing was tested
        return
    marked = any(mark.best for mark in marks.values())
    said = "** best, * second best" if marked else "no system is marked best"
    workspace.console.notice(f"{said}: paired Wilcoxon test over users, Holm's correction over the table, p < 0.05")


def show_beside_accuracy(workspace: Workspace, results: Mapping[str, Sequence[CellResult]]) -> None:
    """A row per system: what its lists are like beside their accuracy, means over seeds."""
    found = {system: [beside_accuracy(run) for run in runs] for system, runs in results.items() if runs}
    names = list(dict.fromkeys(name for runs in found.values() for name in runs[0]))
    table = [[system, *(_mean([run.get(name) for run in runs]) for name in names)] for system, runs in found.items()]
    if table:
        columns = ["system", *(name.partition("@")[0].replace("_", " ") for name in names)]
        workspace.console.table(f"{workspace.recipe.name}: test lists of {PER_USER_K}", columns, table)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


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
