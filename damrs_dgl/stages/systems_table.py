"""What a study of systems side by side comes to: its files, and its tables for the terminal or to paste."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from damrs_dgl.console import Marked
from damrs_dgl.evaluation.labels import HEADLINE, metric_label
from damrs_dgl.evaluation.spread import SIGNIFICANT
from damrs_dgl.report.figures.systems import systems_figure
from damrs_dgl.stages.study import existing, finish, mean_text, of_seeds, show_failures, trainings_of
from damrs_dgl.stages.workspace import Workspace
from damrs_dgl.storage.files import write_csv
from damrs_dgl.studies.results import PER_USER_K, CellResult
from damrs_dgl.studies.statistics import Marks, Pair, best_and_second
from damrs_dgl.studies.study import Cell, Outcome
from damrs_dgl.studies.systems import beside_accuracy, pair_rows, pairs_of, results_of, system_rows

_SIGNS = {1: " **", 2: " *"}  # in the terminal's table
_PASTED = "bold: best, underlined: second best"
_LEGENDS: Mapping[str | None, str] = {None: "** best, * second best", "md": _PASTED, "latex": _PASTED}  # csv has none


def finish_systems(
    workspace: Workspace,
    command: Sequence[str],
    outcomes: Mapping[Cell, Outcome],
    paper: Mapping[str, Mapping[str, float]],
    *,
    system: str,
    seeds: int,
    format: str | None,
    subject: str = "Systems",
) -> list[dict[str, Any]]:
    """Write the rows of a study, its pairs and picture, print what they say; returns the rows.

    command: the stage and its options.  system: whose differences from the others are shown.  seeds: how many there
    were.  format: md, latex or csv; None for the terminal.  subject: what the rows are.  Raises DamrsError, when all is
    kept, where a training failed.
    """
    stage, results = command[0], results_of(outcomes)
    files = workspace.run.study(stage)
    rows, pairs = system_rows(outcomes, paper), pairs_of(results)
    every = (files.table, files.pairs, files.plot)
    with workspace.run.making(stage, workspace.study_parts, *every, commands=[command]):
        write_csv(files.table, rows)
        write_csv(files.pairs, pair_rows(pairs))
        _draw(workspace, rows, files.plot, seeds=seeds, subject=subject)
    title = f"{workspace.recipe.name}: {subject[0].lower()}{subject[1:]}, test metrics, {of_seeds(seeds)}"
    title += workspace.synthetic_note
    _show_systems(workspace, results, best_and_second(pairs), paper, title=title, format=format)
    if format is None:  # else standard output holds the table alone
        _show_beside_accuracy(workspace, results)
        _show_pairs(workspace, pairs, system)
        show_failures(workspace, outcomes)
    written = existing(files.table, files.pairs, files.plot)
    workspace.console.notice(f"{stage}: {trainings_of(outcomes)} trainings ({written})")
    finish(stage, outcomes)
    return rows


def _draw(workspace: Workspace, rows: Sequence[Mapping[str, Any]], plot: Path, *, seeds: int, subject: str) -> None:
    sound = [row for row in rows if "error" not in row]
    if sound:
        subtitle = f"{workspace.recipe.name}{workspace.synthetic_note}, {of_seeds(seeds)}"
        systems_figure(sound, plot, title=subject, subtitle=subtitle)
    else:
        plot.unlink(missing_ok=True)  # an earlier study's


def _show_systems(
    workspace: Workspace,
    results: Mapping[str, Sequence[CellResult]],
    marks: Mapping[str, Marks],
    paper: Mapping[str, Mapping[str, float]],
    *,
    title: str,
    format: str | None,
) -> None:
    """A row per system: the mean over seeds with its standard error, the best and second best marked, the paper's."""
    columns = ["system", "seeds", *(f"test {metric_label(metric)}" for metric in HEADLINE)]
    columns += [f"paper {metric_label(metric)}" for metric in HEADLINE] if paper else []
    table = [_row(system, runs, marks, paper, plain=format is None) for system, runs in results.items()]
    workspace.console.table(title, columns, table, format=format)
    if format == "csv" or sum(map(bool, results.values())) < 2:  # nothing is marked, or was tested
        return
    marked = any(mark.best for mark in marks.values())
    said = _LEGENDS[format] if marked else "no system is marked best"
    workspace.console.notice(
        f"{said}: paired Wilcoxon test over users, Holm's correction over the table, p < {SIGNIFICANT:g}"
    )


def _show_beside_accuracy(workspace: Workspace, results: Mapping[str, Sequence[CellResult]]) -> None:
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


def _show_pairs(workspace: Workspace, pairs: Sequence[Pair], system: str) -> None:
    """How a system differs from each other one, user by user, on the first headline metric."""
    metric = HEADLINE[0]
    table = []
    for pair in pairs:
        if pair.metric != metric or system not in (pair.first, pair.second):
            continue
        found = pair.comparison
        sign, other = (1, pair.second) if pair.first == system else (-1, pair.first)
        low, high = sorted((sign * found.low, sign * found.high))
        signed = [f"{round(value, 4) + 0.0:+.4f}" for value in (sign * found.difference, low, high)]  # 0, not -0
        table.append([other, signed[0], f"{signed[1]} to {signed[2]}", pair.corrected])
    if table:
        columns = ["against", "difference", "95 % interval", "p (Wilcoxon, Holm)"]
        workspace.console.table(f"{system}: test {metric_label(metric)} over users", columns, table)


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
        place = _place(system, marks.get(metric, Marks()))
        row.append(text + _SIGNS.get(place, "") if plain else Marked(text, place) if place else text)
    return row + [paper.get(system, {}).get(metric) for metric in HEADLINE] if paper else row


def _place(system: str, marks: Marks) -> int:
    """1 for the best, 2 for the second, 0 for the others."""
    return 1 if system == marks.best else 2 if system == marks.second else 0
