"""`stress`: what growing noise does to the recipe's model, its plain backbone and others."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev
from typing import Any

from damrs_dgl.data.noise import corrupt
from damrs_dgl.errors import RecipeError
from damrs_dgl.files import write_csv
from damrs_dgl.recipe import with_values
from damrs_dgl.report.figures import degradation_figure
from damrs_dgl.stages.workspace import Workspace
from damrs_dgl.studies.stress import StressStudy, plan_cells, stress_rows, systems_of

HEADLINE = ("recall@20", "ndcg@20")


def stress(
    workspace: Workspace,
    *,
    noises: Sequence[str] = (),
    ratios: Sequence[float] = (),
    models: Sequence[str] = (),
    seeds: int | None = None,
) -> list[dict[str, Any]]:
    """Train each system on each corrupted data set; writes `stress.csv` and `stress.png`, prints the table.

    What is not given is taken from the recipe's [stress]. Ratio 0, the clean data, is always included. Recall@20 and
    NDCG@20 are always computed, whatever evaluation.ks says.
    """
    run, console = workspace.run, workspace.console
    settings = workspace.recipe.stress
    noises = list(dict.fromkeys(noises)) or list(settings.noise)
    seed_list = _seeds(workspace, seeds or settings.seeds)
    systems = _systems(workspace, models or settings.models)
    cells = plan_cells(systems, noises, ratios or settings.ratios, seed_list)
    for noise in noises:  # what cannot work is refused before hours of training
        corrupt(workspace.dataset, noise, 0.0, seed=0)
    ks = tuple(sorted({*workspace.recipe.evaluation.ks, 20}))
    recipe = with_values(workspace.recipe, {"evaluation.ks": ks})
    study = StressStudy(recipe, workspace.dataset, run.stress_cells, workspace.device)
    remembered = study.finished(cells)
    if remembered:
        console.notice(f"stress: {_share(remembered, len(cells))}")
    results = []
    with console.progress("stress", len(cells)) as bar:
        for cell, result in study.run(cells):
            results.append((cell, result))
            bar.advance(1, cell=f"{cell.model} {cell.noise} {cell.ratio:g}", recall=f"{result['recall@20']:.4f}")
    rows = stress_rows(results, noises)
    write_csv(run.stress_table, rows)
    synthetic = " (synthetic data)" if workspace.is_synthetic else ""
    of_seeds = f"{len(seed_list)} seed{'s' if len(seed_list) > 1 else ''}"
    degradation_figure(rows, run.stress_plot, subtitle=f"{workspace.recipe.name}{synthetic}, {of_seeds}")
    _show(workspace, rows)
    console.notice(f"stress: {len(cells)} trainings ({run.stress_table}, {run.stress_plot})")
    return rows


def _systems(workspace: Workspace, models: Sequence[str]) -> list[str]:
    """The systems to compare. Raises RecipeError for a name that is none."""
    try:
        return systems_of(workspace.recipe, models)
    except ValueError as error:
        raise RecipeError(str(error), where="--models") from None


def _seeds(workspace: Workspace, count: int) -> range:
    first = workspace.recipe.training.seed
    return range(first, first + count)


def _share(done: int, of: int) -> str:
    return "up to date" if done == of else f"{done} of {of} trainings are there already"


def _show(workspace: Workspace, rows: Sequence[dict[str, Any]]) -> None:
    """A row per (noise, ratio, model), averaged over seeds, with its spread and the drop against ratio 0."""
    groups: dict[tuple[str, float, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["noise"], row["ratio"], row["model"]), []).append(row)
    table: list[list[Any]] = []
    for (noise, ratio, model), members in groups.items():
        cells: list[Any] = [noise, f"{100 * ratio:g}%", model]
        for metric in HEADLINE:
            values = [row[metric] for row in members]
            spread = f" ±{stdev(values):.4f}" if len(values) > 1 else ""
            change = f"{0.0 - mean(row[f'drop_{metric}'] for row in members):+.1%}" if ratio else None
            cells += [f"{mean(values):.4f}{spread}", change]
        table.append(cells)
    synthetic = ", synthetic data" if workspace.is_synthetic else ""
    columns = ["noise", "ratio", "model", "test Recall@20", "change", "test NDCG@20", "change"]
    workspace.console.table(f"{workspace.recipe.name}: test metrics under noise{synthetic}", columns, table, keys=3)
