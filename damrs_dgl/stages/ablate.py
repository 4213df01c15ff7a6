"""`ablate`: the recipe's system with parts of it taken away, beside the paper's Tables 3 and 4."""

from __future__ import annotations

from typing import Any

from damrs_dgl.errors import RecipeError
from damrs_dgl.files import write_csv
from damrs_dgl.models.systems import ablation_systems, full_name
from damrs_dgl.stages.study import finish, keeping, run_study, seeds_of, show_failures, there
from damrs_dgl.stages.systems_table import StudyFiles, keep_systems, show_pairs
from damrs_dgl.stages.workspace import Workspace, writing_stage
from damrs_dgl.studies.published import paper_ablation, paper_dataset
from damrs_dgl.studies.systems import clean_cells, pair_rows, results_of


@writing_stage
def ablate(
    workspace: Workspace, *, seeds: int = 1, jobs: int | None = None, format: str | None = None
) -> list[dict[str, Any]]:
    """Train each row of the ablation with each seed; writes `ablate.csv` and `ablate.png`, prints the table.

    `ablate_pairs.csv` holds every pair of rows, as that of `compare`. The rows belong to the system
    (`RankingModel.ablations`); what it wraps, as `backbone`, comes first. Everything else is as in
    `compare`. Raises RecipeError where the recipe's system has no ablation, DamrsError where a training failed.
    """
    run = workspace.run
    table = workspace.recipe.model.model_dump()
    try:
        systems, whole = ablation_systems(table)
    except ValueError as error:
        raise RecipeError(str(error), where="model.name") from None
    cells = clean_cells(systems, seeds_of(workspace, seeds))
    paper = paper_ablation(paper_dataset(workspace.dataset), full_name(table))
    outcomes = run_study(workspace, "ablate", cells, jobs=jobs)
    kept = StudyFiles(run.ablation_table, run.ablation_plot)
    pairs = pair_rows(results_of(outcomes))
    with keeping(workspace, "ablate", run.ablation_table, run.ablation_pairs, run.ablation_plot):
        rows = keep_systems(workspace, outcomes, paper, kept, seeds=seeds, format=format, subject=f"Parts of {whole}")
        write_csv(run.ablation_pairs, pairs)
    if format is None:  # else standard output holds the table alone
        show_pairs(workspace, pairs, whole)
        show_failures(workspace, outcomes)
    files = there(run.ablation_table, run.ablation_pairs, run.ablation_plot)
    workspace.console.notice(f"ablate: {len(cells)} trainings ({files})")
    finish("ablate", outcomes)
    return rows
