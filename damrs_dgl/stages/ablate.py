"""`ablate`: the recipe's system with parts of it taken away, beside the paper's Tables 3 and 4."""

from __future__ import annotations

from typing import Any

from damrs_dgl.errors import RecipeError
from damrs_dgl.files import write_csv
from damrs_dgl.models.systems import ablation_systems, full_name
from damrs_dgl.report.systems_figure import systems_figure
from damrs_dgl.stages.study import finish, of_seeds, run_study, seeds_of, show_failures
from damrs_dgl.stages.systems_table import show_systems
from damrs_dgl.stages.workspace import Workspace, writing_stage
from damrs_dgl.studies.published import paper_ablation, paper_dataset
from damrs_dgl.studies.systems import clean_cells, results_of, system_rows


@writing_stage
def ablate(
    workspace: Workspace, *, seeds: int = 1, jobs: int | None = None, format: str | None = None
) -> list[dict[str, Any]]:
    """Train each row of the ablation with each seed; writes `ablate.csv` and `ablate.png`, prints the table.

    The rows belong to the system (`RankingModel.ablations`); what it wraps comes first. Everything else is as in
    `compare`. Raises RecipeError where the recipe's system has no ablation, DamrsError where a training failed.
    """
    run, console, recipe = workspace.run, workspace.console, workspace.recipe
    table = recipe.model.model_dump()
    try:
        systems, whole = ablation_systems(table)
    except ValueError as error:
        raise RecipeError(str(error), where="model.name") from None
    cells = clean_cells(systems, seeds_of(workspace, seeds))
    paper = paper_ablation(paper_dataset(workspace.dataset), full_name(table))
    outcomes = run_study(workspace, "ablate", cells, jobs=jobs)
    rows = system_rows(outcomes, paper)
    write_csv(run.ablation_table, rows)
    synthetic = ", synthetic data" if workspace.is_synthetic else ""
    sound = [row for row in rows if "error" not in row]
    if sound:
        subtitle = f"{recipe.name}{synthetic}, {of_seeds(seeds)}"
        systems_figure(sound, run.ablation_plot, title=f"Parts of {whole}", subtitle=subtitle)
    title = f"{recipe.name}: parts of {whole}, test metrics, {of_seeds(seeds)}{synthetic}"
    show_systems(workspace, results_of(outcomes), paper, title=title, format=format)
    if format is None:  # else standard output holds the table alone
        show_failures(workspace, outcomes)
    console.notice(f"ablate: {len(cells)} trainings ({run.ablation_table}, {run.ablation_plot})")
    finish("ablate", outcomes)
    return rows
