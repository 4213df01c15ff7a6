"""`compare`: systems on the recipe's data, over seeds, beside the floor and the paper's Table 2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from damrs_dgl.models.registry import find_model
from damrs_dgl.models.specification.systems import floor_systems, full_name
from damrs_dgl.stages.study import run_study, seeds_of
from damrs_dgl.stages.systems_table import finish_systems
from damrs_dgl.stages.workspace import Workspace, writing_stage
from damrs_dgl.studies.published import paper_comparison, paper_dataset
from damrs_dgl.studies.study import Cell, Study
from damrs_dgl.studies.systems import clean_cells, systems_of


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
    dataset = workspace.dataset
    asked = systems_of(workspace.recipe, models)
    systems = list(dict.fromkeys([*asked, *floor_systems()]))
    study = Study(workspace.recipe, dataset, workspace.run.cells, workspace.device)
    published = paper_comparison(paper_dataset(dataset))
    configs = {name: study.recipe_of(Cell(name)).model for name in systems}
    names = {name: full_name(model.model_dump()) for name, model in configs.items()}
    once = [name for name, model in configs.items() if not find_model(model.name).is_random]
    cells = clean_cells(systems, seeds_of(workspace, seeds), once=once)
    paper = {name: published[full] for name, full in names.items() if full in published}
    outcomes = run_study(workspace, "compare", cells, jobs=jobs)
    command = ["compare", "--models", ",".join(asked), "--seeds", str(seeds)]
    return finish_systems(workspace, command, outcomes, paper, system=systems[0], seeds=seeds, format=format)
