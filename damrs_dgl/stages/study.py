"""What the studies have in common: cells run with one progress display, failures told, seeds averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from damrs_dgl.console import Console, ProgressBar
from damrs_dgl.errors import DamrsError, InternalError, RunError
from damrs_dgl.evaluation.spread import with_error
from damrs_dgl.factory import build_recipe_graph, restored_model
from damrs_dgl.provenance import fit_parts, graphs_parts
from damrs_dgl.stages.fitted import early_best, load_weights
from damrs_dgl.stages.workspace import Workspace
from damrs_dgl.storage.run import artefact_key
from damrs_dgl.studies.cells import Watch, run_cells
from damrs_dgl.studies.results import CellResult
from damrs_dgl.studies.statistics import summarise
from damrs_dgl.studies.study import CLEAN, Cell, Outcome, Study
from damrs_dgl.studies.training import keep_result
from damrs_dgl.training.checkpoint import CheckpointStore
from damrs_dgl.training.setup import schedule_of


def run_study(workspace: Workspace, name: str, cells: Sequence[Cell], *, jobs: int | None) -> dict[Cell, Outcome]:
    """What each cell came to; `name` is the stage's.

    A clean cell equal to what `fit` did in this run is judged and not trained again. Each failure is a warning, and
    `finish` ends the stage where there was one. Trainings that were best after their first epoch are one more warning.
    """
    study = Study(workspace.recipe, workspace.dataset, workspace.run.cells, workspace.device)

    def adopt(cell: Cell, study: Study) -> CellResult | None:
        return _of_the_run(workspace, cell, study)

    trainings = len({study.key(cell) for cell in cells})
    with workspace.console.progress(name, trainings, lines_of="trainings") as bar, bar.heartbeat():
        outcomes = run_cells(study, cells, jobs=jobs, adopt=adopt, watch=_ConsoleWatch(workspace.console, bar, name))
    results = {cell: outcome for cell, outcome in outcomes.items() if isinstance(outcome, CellResult)}
    doubts = {
        cell: doubt
        for cell, run in results.items()
        if (doubt := early_best(run.best_epoch, run.epochs, study.recipe_of(cell).training.epochs))
    }
    if doubts:
        first, doubt = next(iter(doubts.items()))
        more = trainings_of({cell: results[cell] for cell in doubts}) - 1
        others = f" (and {more} more of {trainings} trainings alike)" if more else ""
        workspace.console.warning(f"{name}: {first}{others}: {doubt}")
    return outcomes


def existing(*files: Path) -> str:
    """Those of the files that exist, by commas: a picture of nothing is not drawn."""
    return ", ".join(str(file) for file in files if file.exists())


def finish(name: str, outcomes: Mapping[Cell, Outcome]) -> None:
    """Raise where a cell failed: InternalError where one did by our fault, else DamrsError."""
    failed = {cell: outcome for cell, outcome in outcomes.items() if isinstance(outcome, DamrsError)}
    if not failed:
        return
    codes = {error.exit_code for error in failed.values()}
    kind = InternalError if InternalError.exit_code in codes else DamrsError
    raise kind(
        f"{trainings_of(failed)} of {trainings_of(outcomes)} trainings failed, the others are kept",
        where=name,
        fix="see the warnings above; the same command tries only those again",
    )


def trainings_of(outcomes: Mapping[Cell, Outcome]) -> int:
    """How many trainings the cells are from: under noise that a system does not read it shares its clean one."""
    return len({id(outcome) for outcome in outcomes.values()})


def seeds_of(workspace: Workspace, count: int) -> range:
    """So many seeds, counting up from the recipe's."""
    first = workspace.recipe.training.seed
    return range(first, first + count)


def of_seeds(count: int) -> str:
    """The number of seeds in words."""
    return f"{count} seed{'s' if count > 1 else ''}"


def mean_text(values: Sequence[float]) -> str:
    """The mean over seeds with its standard error, "failed" where there is no value."""
    if not values:
        return "failed"
    found = summarise(values)
    return with_error(found.mean, found.standard_error)


def show_failures(workspace: Workspace, outcomes: Mapping[Cell, Outcome]) -> None:
    """A table of the cells that failed, with the reason of each; nothing where none did."""
    failed = [[str(cell), str(error)] for cell, error in outcomes.items() if isinstance(error, DamrsError)]
    if failed:
        workspace.console.table("Failed", ["training", "reason"], failed)


class _ConsoleWatch(Watch):
    def __init__(self, console: Console, bar: ProgressBar, name: str) -> None:
        self.console = console
        self.bar = bar
        self.name = name

    def begun(self, remembered: int, total: int) -> None:
        if remembered:
            done = "up to date" if remembered == total else f"{remembered} of {total} trainings are there already"
            self.console.notice(f"{self.name}: {done}")
            self.bar.skip(remembered)

    def damaged(self, error: RunError) -> None:
        self.console.warning(str(error))

    def adopted(self, cell: Cell) -> None:
        self.console.notice(f"{self.name}: {cell} is what `fit` trained")
        self.bar.skip(1)

    def finished(self, cell: Cell, outcome: Outcome) -> None:
        if isinstance(outcome, DamrsError):
            self.console.warning(f"{self.name}: {cell} failed: {outcome}")
            self.bar.advance(1)
        else:
            self.bar.advance(1, last=str(cell), recall=f"{outcome.test['recall@20']:.4f}")

    def time_left(self, seconds: float | None) -> None:
        self.bar.expect(seconds)


def _of_the_run(workspace: Workspace, cell: Cell, study: Study) -> CellResult | None:
    """A clean cell's result from the model that `fit` left; None where that is another training, or not a whole one."""
    if cell.noise != CLEAN:
        return None
    run, recipe, dataset = workspace.run, study.recipe_of(cell), study.dataset
    parts = fit_parts(recipe, dataset.fingerprint())
    store = CheckpointStore(run.path, artefact_key("fit", parts))
    if run.changes("fit", parts, store.best_path, store.last_path) != []:
        return None
    try:
        weights, progress = load_weights(store)
    except RunError:
        return None
    if not progress.is_whole(schedule_of(recipe.training, len(dataset.train), recipe.model)):
        return None
    same = graphs_parts(recipe, dataset.fingerprint()) == workspace.graphs_parts
    graph = workspace.graph if same else build_recipe_graph(recipe, dataset, device=study.device).graph
    model = restored_model(weights, recipe, dataset, graph, study.device)
    return keep_result(study, cell, model, progress, dataset=dataset, wall_seconds=progress.seconds)
