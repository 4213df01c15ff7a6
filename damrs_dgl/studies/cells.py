"""A study is cells: trainings of a system with some changes of the recipe, under noise of a ratio, with a seed.

`run_cells` trains what is missing, side by side where asked, and remembers every finished cell under one key of all
that its numbers depend on: the data, [graphs], [model], [training], [evaluation] without block sizes, the noise, and
the version of the toolkit's files. So all studies of a run share their cells, and a study that was stopped goes on:
finished cells are read, and the one that was under way resumes after its last full epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from damrs_dgl.errors import RunError
from damrs_dgl.studies.results import CellResult
from damrs_dgl.studies.study import Cell, Outcome, Study
from damrs_dgl.studies.workers import train_cells, usable_jobs


class Watch:
    """Told how a study goes; does nothing by itself."""

    def begun(self, remembered: int, total: int) -> None:
        """Before the first training: how many cells are there already."""

    def damaged(self, error: RunError) -> None:
        """A file of a finished cell cannot be believed; the cell is made anew."""

    def adopted(self, cell: Cell) -> None:
        """A cell is the training that the run holds, and was only judged."""

    def finished(self, cell: Cell, outcome: Outcome) -> None:
        """A cell came to its end."""

    def time_left(self, seconds: float | None) -> None:
        """The rest of the study will take so long; None where nothing is known yet."""


Adopt = Callable[[Cell, Study], CellResult | None]


def run_cells(
    study: Study,
    cells: Sequence[Cell],
    *,
    jobs: int | None = None,
    adopt: Adopt | None = None,
    watch: Watch | None = None,
) -> dict[Cell, Outcome]:
    """What each cell came to, in the order given: its result, remembered or made now, or the error that it failed with.

    Parameters
    ----------
    jobs: trainings side by side, in processes of one core each; None: by cores and memory (`workers.usable_jobs`). One
        where the data come through a stream. The numbers do not depend on it.
    adopt: keeps the result of a cell whose training was done elsewhere, and returns it.
    watch: told how it goes.

    A cell that fails stops no other. Raises RecipeError before any training where a cell's recipe does not exist.
    """
    watch = watch or Watch()
    keys = {cell: study.key(cell) for cell in cells}
    found = _remembered(study, keys.values(), watch)
    watch.begun(len(found), len(set(keys.values())))
    missing: dict[str, Cell] = {}  # cells that two names ask for are trained once
    for cell, key in keys.items():
        if key in found or key in missing:
            continue
        adopted = adopt(cell, study) if adopt else None
        if adopted is None:
            missing[key] = cell
        else:
            found[key] = adopted
            watch.adopted(cell)
    waiting = list(missing.values())
    known = [
        (cell.system, result.wall_seconds) for cell in keys if isinstance(result := found.get(keys[cell]), CellResult)
    ]

    def finished(cell: Cell, outcome: Outcome) -> None:
        found[keys[cell]] = outcome
        watch.finished(cell, outcome)

    if waiting:
        jobs = 1 if study.recipe.data.reads_once else jobs or usable_jobs(study.device)
        train_cells(study, waiting, min(jobs, len(waiting)), known=known, finished=finished, time_left=watch.time_left)
    return {cell: found[key] for cell, key in keys.items()}


def _remembered(study: Study, keys: Iterable[str], watch: Watch) -> dict[str, Outcome]:
    """The finished cells that can be believed, by key."""
    found: dict[str, Outcome] = {}
    for key in dict.fromkeys(keys):
        try:
            result = study.results.read(key)
        except RunError as error:
            watch.damaged(error)
            continue
        if result is not None:
            study.results.remove_training(key)  # of a process that was killed just after it had kept the result
            found[key] = result
    return found
