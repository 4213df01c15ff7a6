"""`ablate`: the recipe's system with parts of it taken away, beside the paper's Tables 3 and 4."""

from __future__ import annotations

from typing import Any

from damrs_dgl.errors import RecipeError
from damrs_dgl.models.specification.systems import ablation_systems, full_name
from damrs_dgl.stages.study import run_study, seeds_of
from damrs_dgl.stages.systems_table import finish_systems
from damrs_dgl.stages.workspace import Workspace, writing_stage
from damrs_dgl.studies.published import paper_ablation, paper_dataset
from damrs_dgl.studies.systems import clean_cells


@writing_stage
def ablate(
    workspace: Workspace, *, seeds: int = 1, jobs: int | None = None, format: str | None = None
) -> list[dict[str, Any]]:
    """Train each row of the ablation with each seed; writes `ablate.csv` and `ablate.png`, prints the table.

    `ablate_pairs.csv` holds every pair of rows, as that of `compare`. The rows belong to the system
    (`RankingModel.ablations`); what it wraps, as `backbone`, comes first. Everything else is as in
    `compare`. Raises RecipeError where the recipe's system has no ablation, DamrsError where a training failed.
    """
    table = workspace.recipe.model.model_dump()
    try:
        systems, whole = ablation_systems(table)
    except ValueError as error:
        raise RecipeError(str(error), where="model.name") from None
    cells = clean_cells(systems, seeds_of(workspace, seeds))
    paper = paper_ablation(paper_dataset(workspace.dataset), full_name(table))
    outcomes = run_study(workspace, "ablate", cells, jobs=jobs)
    subject = f"Parts of {whole}"
    command = ["ablate", "--seeds", str(seeds)]
    return finish_systems(
        workspace, command, outcomes, paper, system=whole, seeds=seeds, format=format, subject=subject
    )
