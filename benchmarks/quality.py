"""Test quality over seeds: plain backbones and DA-MRS around each, on one recipe's data. Prints a table.

    python -m benchmarks.quality tiktok-paper --seeds 3 --jobs 2
    python -m benchmarks.quality baby --systems mf,lightgcn

A system is a plain backbone (`mf`) or DA-MRS around one (`damrs:mf`). Every run stops early on validation Recall@20;
the test split is read once, at its best epoch. Finished runs stand in the folder and are not run again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.rows import spread
from damrs_dgl.errors import DamrsError
from damrs_dgl.factory import load_dataset, pick_device
from damrs_dgl.recipe import load_recipe
from damrs_dgl.studies.cells import Watch, run_cells
from damrs_dgl.studies.results import CellResult
from damrs_dgl.studies.study import Cell, Outcome, Study

SYSTEMS = ("mf", "lightgcn", "vbpr", "damrs:mf", "damrs:lightgcn", "damrs:vbpr")
REPORTED = ("recall@20", "precision@20", "ndcg@20")


class Lines(Watch):
    """A line on standard error for each run that comes to its end."""

    def finished(self, cell: Cell, outcome: Outcome) -> None:
        shown = str(outcome) if isinstance(outcome, DamrsError) else f"{outcome.test['recall@20']:.4f}"
        print(f"{cell}: {shown}", file=sys.stderr)


def run_all(
    recipe_name: str, overrides: Sequence[str], cells: Sequence[Cell], folder: Path, jobs: int
) -> dict[Cell, CellResult]:
    """The results of the cells on a recipe's data, without those that failed."""
    recipe = load_recipe(recipe_name, overrides)
    study = Study(recipe, load_dataset(recipe), folder, pick_device("auto"))
    outcomes = run_cells(study, cells, jobs=jobs, watch=Lines())
    return {cell: outcome for cell, outcome in outcomes.items() if isinstance(outcome, CellResult)}


def show(results: dict[Cell, CellResult], systems: Sequence[str]) -> None:
    """A Markdown table: mean and standard deviation over seeds."""
    print(f"| system | seeds | validation Recall@20 | {' | '.join(f'test {name}' for name in REPORTED)} | epochs |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for system in systems:
        runs = [result for cell, result in results.items() if cell.system == system]
        if not runs:
            continue
        cells = [spread([result.validation["recall@20"] for result in runs])]
        cells += [spread([result.test[name] for result in runs]) for name in REPORTED]
        epochs = ", ".join(str(result.best_epoch) for result in runs)
        print(f"| {system} | {len(runs)} | {' | '.join(cells)} | {epochs} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="a shipped recipe or a file")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="by commas")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, a core each")
    parser.add_argument("-o", dest="overrides", action="append", default=[], help="a recipe override; repeatable")
    parser.add_argument("--folder", type=Path, help="where results are kept [runs/quality-<recipe>]")
    options = parser.parse_args()
    systems = options.systems.split(",")
    cells = [Cell(system, seed=seed) for seed in range(options.seeds) for system in systems]
    folder = options.folder or Path("runs") / f"quality-{Path(options.recipe).stem}"
    show(run_all(options.recipe, options.overrides, cells, folder, options.jobs), systems)


if __name__ == "__main__":
    main()
