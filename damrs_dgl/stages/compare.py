"""`compare`: systems on the recipe's data, over seeds, beside the floor and the paper's Table 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from damrs_dgl.files import write_csv
from damrs_dgl.models.registry import find_model
from damrs_dgl.models.systems import floor_systems, full_name
from damrs_dgl.stages.study import finish, keeping, run_study, seeds_of, show_failures, there
from damrs_dgl.stages.systems_table import StudyFiles, keep_systems, show_beside_accuracy, show_pairs
from damrs_dgl.stages.workspace import Workspace, writing_stage
from damrs_dgl.studies.cells import Cell, Study
from damrs_dgl.studies.published import paper_comparison, paper_dataset
from damrs_dgl.studies.systems import clean_cells, pair_rows, results_of, systems_of


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
    that every comparison shows (`RankingModel.is_floor`) come last. What draws nothing has the first seed alone.
    jobs: trainings side by side.  format: md, latex or csv; a table for the terminal by default.

    Raises DamrsError at the end where a training failed.
    """
    run, dataset = workspace.run, workspace.dataset
    systems = list(dict.fromkeys([*systems_of(workspace.recipe, models), *floor_systems()]))
    study = Study(workspace.recipe, dataset, run.cells, workspace.device)
    published = paper_comparison(paper_dataset(dataset))
    configs = {name: study.recipe_of(Cell(name)).model for name in systems}
    names = {name: full_name(model.model_dump()) for name, model in configs.items()}
    once = [name for name, model in configs.items() if not find_model(model.name).is_random]
    cells = clean_cells(systems, seeds_of(workspace, seeds), once=once)
    paper = {name: published[full] for name, full in names.items() if full in published}
    outcomes = run_study(workspace, "compare", cells, jobs=jobs)
    kept = StudyFiles(run.comparison_table, run.comparison_plot)
    results = results_of(outcomes)
    pairs = pair_rows(results)
    with keeping(workspace, "compare", run.comparison_table, run.comparison_pairs, run.comparison_plot):
        rows = keep_systems(workspace, outcomes, paper, kept, seeds=seeds, format=format)
        write_csv(run.comparison_pairs, pairs)
    if format is None:  # else standard output holds the table alone
        show_beside_accuracy(workspace, results)
        show_pairs(workspace, pairs, systems[0])
        show_failures(workspace, outcomes)
    files = there(run.comparison_table, run.comparison_pairs, run.comparison_plot)
    workspace.console.notice(f"compare: {len(cells)} trainings ({files})")
    finish("compare", outcomes)
    return rows
