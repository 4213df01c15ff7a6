"""`stress`: what growing noise does to the recipe's model, its plain backbone and others."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from damrs_dgl.data.noise import corrupt
from damrs_dgl.evaluation.labels import HEADLINE
from damrs_dgl.report.figures.stress import stress_figure
from damrs_dgl.stages.study import (
    existing,
    finish,
    mean_text,
    of_seeds,
    run_study,
    seeds_of,
    show_failures,
    trainings_of,
)
from damrs_dgl.stages.workspace import Workspace, writing_stage
from damrs_dgl.storage.files import write_csv
from damrs_dgl.studies.stress import plan_cells, stress_rows
from damrs_dgl.studies.systems import systems_of


@writing_stage
def stress(
    workspace: Workspace,
    *,
    noises: Sequence[str] = (),
    ratios: Sequence[float] = (),
    models: Sequence[str] = (),
    seeds: int | None = None,
    jobs: int | None = None,
    format: str | None = None,
) -> list[dict[str, Any]]:
    """Train each system on each corrupted data set; writes `stress.csv` and `stress.png`, prints the table.

    What is not given is taken from the recipe's [stress]. Ratio 0, the clean data, is always included. Recall@20 and
    NDCG@20 are always computed, whatever evaluation.ks says. `jobs`: trainings side by side. `format`: md, latex or
    csv. Raises DamrsError at the end where a training failed.
    """
    files, console = workspace.run.study("stress"), workspace.console
    settings = workspace.recipe.stress
    noises = list(dict.fromkeys(noises)) or list(settings.noise)
    count = seeds or settings.seeds
    systems = systems_of(workspace.recipe, models or settings.models)
    ratios = ratios or settings.ratios
    cells = plan_cells(systems, noises, ratios, seeds_of(workspace, count))
    for noise in noises:  # what cannot work is refused before hours of training
        corrupt(workspace.dataset, noise, 0.0, seed=0)
    outcomes = run_study(workspace, "stress", cells, jobs=jobs)
    rows = stress_rows(outcomes, noises)
    sound = [row for row in rows if "error" not in row]
    command = _command(noises, ratios, systems, count)
    with workspace.run.making("stress", workspace.study_parts, files.table, files.plot, commands=[command]):
        write_csv(files.table, rows)
        if sound:
            subtitle = f"{workspace.recipe.name}{workspace.synthetic_note}, {of_seeds(count)}"
            stress_figure(sound, files.plot, subtitle=subtitle)
        else:
            files.plot.unlink(missing_ok=True)  # an earlier study's
    _show(workspace, rows, format)
    if format is None:  # else standard output holds the table alone
        show_failures(workspace, outcomes)
    console.notice(f"stress: {trainings_of(outcomes)} trainings ({existing(files.table, files.plot)})")
    finish("stress", outcomes)
    return rows


def _command(noises: Sequence[str], ratios: Sequence[float], systems: Sequence[str], seeds: int) -> list[str]:
    """The stage with all of its options: [stress] may say something else when the table is looked at."""
    command = ["stress"]
    for noise in noises:
        command += ["--noise", noise]
    for ratio in ratios:
        command += ["--ratio", str(ratio)]
    return [*command, "--models", ",".join(systems), "--seeds", str(seeds)]


def _show(workspace: Workspace, rows: Sequence[dict[str, Any]], format: str | None) -> None:
    """A row per (noise, ratio, system): mean over seeds, its standard error, the change of the mean against ratio 0."""
    groups: dict[tuple[str, float, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["noise"], row["ratio"], row["system"]), []).append(row)
    table: list[list[Any]] = []
    for (noise, ratio, system), members in groups.items():
        cells: list[Any] = [noise, f"{100 * ratio:g}%", system]
        for metric in HEADLINE:
            values = [row[metric] for row in members if metric in row]
            before = [row[metric] for row in groups.get((noise, 0.0, system), []) if metric in row]
            cells.append(mean_text(values))
            cells.append(f"{fmean(values) / fmean(before) - 1:+.1%}" if ratio and values and any(before) else None)
        table.append(cells)
    columns = ["noise", "ratio", "system", "test Recall@20", "change", "test NDCG@20", "change"]
    title = f"{workspace.recipe.name}: test metrics under noise{workspace.synthetic_note}"
    workspace.console.table(title, columns, table, keys=3, format=format)
