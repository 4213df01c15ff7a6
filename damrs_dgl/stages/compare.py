"""`compare`: systems on the recipe's data, over seeds, beside the floor and the paper's Table 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from damrs_dgl.errors import RecipeError
from damrs_dgl.files import write_csv
from damrs_dgl.models.systems import floor_systems, full_name
from damrs_dgl.report.systems_figure import systems_figure
from damrs_dgl.stages.study import finish, of_seeds, run_study, seeds_of, show_failures
from damrs_dgl.stages.systems_table import show_pairs, show_systems
from damrs_dgl.stages.workspace import Workspace, writing_stage
from damrs_dgl.studies.cells import Cell, Study
from damrs_dgl.studies.published import paper_comparison, paper_dataset
from damrs_dgl.studies.stress import systems_of
from damrs_dgl.studies.systems import clean_cells, pair_rows, results_of, system_rows


@writing_stage
def compare(
    workspace: Workspace,
    *,
    models: Sequence[str] = (),
    seeds: int = 1,
    jobs: int | None = None,
    format: str | None = None,
) -> list[dict[str, Any]]:
    """Train each system with each seed on the clean data; writes `compare.csv` and `compare.png`, prints the table.

    `compare_pairs.csv` holds every pair of systems: the difference over users, its interval and the p-values.

    models: systems, a wrapper also as `wrapper:backbone`; the recipe's own and what it wraps by default. The systems
    that every comparison shows (`RankingModel.is_floor`) come last.  jobs: trainings side by side.
    format: md, latex or csv; a table for the terminal by default. Raises DamrsError at the end where a training failed.
    """
    run, console, dataset = workspace.run, workspace.console, workspace.dataset
    try:
        asked = systems_of(workspace.recipe, models)
    except ValueError as error:
        raise RecipeError(str(error), where="--models") from None
    systems = list(dict.fromkeys([*asked, *floor_systems()]))
    cells = clean_cells(systems, seeds_of(workspace, seeds))
    study = Study(workspace.recipe, dataset, run.cells, workspace.device)
    published = paper_comparison(paper_dataset(dataset))
    names = {name: full_name(study.recipe_of(Cell(name)).model.model_dump()) for name in systems}
    paper = {name: published[full] for name, full in names.items() if full in published}
    outcomes = run_study(workspace, "compare", cells, jobs=jobs)
    rows = system_rows(outcomes, paper)
    write_csv(run.comparison_table, rows)
    synthetic = ", synthetic data" if workspace.is_synthetic else ""
    sound = [row for row in rows if "error" not in row]
    if sound:
        subtitle = f"{workspace.recipe.name}{synthetic}, {of_seeds(seeds)}"
        systems_figure(sound, run.comparison_plot, subtitle=subtitle)
    title = f"{workspace.recipe.name}: test metrics, {of_seeds(seeds)}{synthetic}"
    results = results_of(outcomes)
    show_systems(workspace, results, paper, title=title, format=format)
    pairs = pair_rows(results)
    write_csv(run.comparison_pairs, pairs)
    if format is None:  # else standard output holds the table alone
        show_pairs(workspace, pairs, systems[0])
        show_failures(workspace, outcomes)
    console.notice(
        f"compare: {len(cells)} trainings ({run.comparison_table}, {run.comparison_pairs}, {run.comparison_plot})"
    )
    finish("compare", outcomes)
    return rows
