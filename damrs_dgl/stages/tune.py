"""`tune`: keys of the recipe chosen on validation, by a grid or by optuna; the best as a recipe of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from damrs_dgl.console import Console, ProgressBar
from damrs_dgl.errors import DamrsError, InternalError
from damrs_dgl.provenance import result_parts
from damrs_dgl.search_space import SearchSpace, check_space, own_space, recipe_values
from damrs_dgl.stages.workspace import Workspace, writing_stage
from damrs_dgl.storage.files import write_csv, write_text
from damrs_dgl.storage.run import artefact_key, change_text
from damrs_dgl.studies.results import ResultStore
from damrs_dgl.studies.study import Study
from damrs_dgl.studies.tune.asked_trials import AskedTrials
from damrs_dgl.studies.tune.optuna_search import OptunaSearch, require_optuna
from damrs_dgl.studies.tune.output import told_states, trial_rows, tuned_text
from damrs_dgl.studies.tune.runner import TuneWatch, Tuning
from damrs_dgl.studies.tune.search import GridSearch, Search, Trial, best_of
from damrs_dgl.studies.tune.trials import TrialStore

GRID, OPTUNA = "grid", "optuna"


@writing_stage
def tune(
    workspace: Workspace,
    *,
    trials: int,
    search: str = OPTUNA,
    space: SearchSpace | None = None,
    seed: int | None = None,
    minutes: float | None = None,
    jobs: int = 1,
) -> list[dict[str, Any]]:
    """Train the recipe as it is and `trials` points of a space; writes `tune.csv` and `tuned.toml`, returns the rows.

    Both files, and the rows, are of what earlier searches over the same recipe and data have finished too.

    search: `optuna` learns from trials and prunes bad ones, and keeps them in `tune.db`; `grid` tries combinations, all
    of them or so many drawn by the seed.  space: the system's own by default.  seed: of the search; the recipe's by
    default. Each trial trains with the recipe's seed.  minutes: no trial goes on after so many; its training is kept.
    jobs: trials side by side.

    Validation decides, and the test split is not looked at. Raises RecipeError for a space that does not fit the
    recipe, DamrsError where optuna is not installed or no trial could be trained.
    """
    recipe, console = workspace.recipe, workspace.console
    grid = search == GRID
    space_option = [] if space is None else ["--space", Path(space.where).name]  # its folder is this machine's matter
    space = space or own_space(recipe, grid=grid)
    check_space(recipe, space, grid=grid)
    if not grid:
        require_optuna()
    seed = recipe.training.seed if seed is None else seed
    count = min(trials, space.size) if grid and space.size else trials
    study = Study(recipe, workspace.dataset, workspace.run.trials, workspace.device)
    if jobs > 1 and recipe.data.reads_once:
        console.notice("tune: one trial at a time: the data come through a stream, which no second process can read")
        jobs = 1
    chosen = _search(workspace, study, space, count=count, seed=seed, grid=grid)
    _state_budget(workspace, space, count=count, seed=seed, search=search, minutes=minutes, jobs=jobs)
    store = TrialStore(workspace.run.trials, ResultStore(workspace.run.cells))
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    if changed := workspace.run.changes("tune", workspace.study_parts):
        files = f"{workspace.run.study('tune').table} and {workspace.run.tuned_recipe}"
        console.notice(f"tune: {change_text(changed)}; {files} are replaced, the earlier command brings them back")
    asked = AskedTrials(workspace.run.asked_trials(workspace.study_parts), study, store, console.warning)
    command = ["tune", "--trials", str(count), "--search", search, "--seed", str(seed), *space_option]
    record = _Record(workspace, chosen, asked, f"{search}, seed {seed}, {space.where}", command, count)
    try:
        with console.progress("tune", count + 1, lines_of="trials") as bar, bar.heartbeat():
            watch = _ConsoleWatch(console, bar, record)
            tuning = Tuning(study, chosen, store, count, deadline, watch)
            watch.begun()
            tuning.run(jobs)
        rows = record.write()
        found = list(chosen.trials)
    finally:
        chosen.close()
    unfinished = tuning.ran_out and sum(one.outcome is not None for one in found) <= count
    _show(workspace, [*found, *asked.others()], unfinished=unfinished)
    _finish(found)
    return rows


def _search(workspace: Workspace, study: Study, space: SearchSpace, *, count: int, seed: int, grid: bool) -> Search:
    if grid:
        return GridSearch(space.entries, count, seed)
    parts = result_parts(workspace.recipe, study.dataset.fingerprint())
    name = artefact_key("tune", parts, space.as_json(), seed)
    return OptunaSearch(
        workspace.run.tuning_storage,
        name,
        space,
        count=count,
        seed=seed,
        recipe_params=recipe_values(workspace.recipe, space),
    )


def _state_budget(
    workspace: Workspace,
    space: SearchSpace,
    *,
    count: int,
    seed: int,
    search: str,
    minutes: float | None,
    jobs: int,
) -> None:
    """Say before the start what the search may take."""
    say, training = workspace.console.notice, workspace.recipe.training
    of = f" of {space.size:,} combinations" if search == GRID else ""
    limit = f", {minutes:g} minutes at most" if minutes is not None else ""
    say(
        f"tune: {count} trials{of} and the recipe as it is, {training.epochs} epochs at most each{limit}; "
        f"{search}, seed {seed}, {space.where}: {', '.join(space.entries)}"
    )
    if jobs > 1 and search == OPTUNA:
        say(f"tune: with --jobs {jobs} what is tried depends on which training ends first; --jobs 1 repeats exactly")


class _Record:
    """`tune.csv` and `tuned.toml`, written anew after each trial, so that whatever ends the search leaves them."""

    def __init__(
        self, workspace: Workspace, search: Search, asked: AskedTrials, how: str, command: Sequence[str], count: int
    ) -> None:
        self.workspace = workspace
        self.search = search
        self.asked = asked
        self.how = how
        self.command = command
        self.count = count

    def write(self) -> list[dict[str, Any]]:
        """Put down what is known now, with the trials of earlier searches; returns the rows of `tune.csv`."""
        run, recipe = self.workspace.run, self.workspace.recipe
        table = run.study("tune").table
        own = list(self.search.trials)
        self.asked.keep(self.how, self.command, self.count, own)
        trials = [*own, *self.asked.others()]
        rows = trial_rows(trials, recipe, self.how, self.count)
        parts = self.workspace.study_parts
        with run.making("tune", parts, table, commands=self.asked.commands(self.how)):
            write_csv(table, rows)
        if best_of(trials) is not None:
            with run.making("tuned", parts, run.tuned_recipe):  # apart: who edits it has not damaged the table
                write_text(run.tuned_recipe, tuned_text(recipe, trials, self.how, self.count, run.tuned_recipe))
        return rows


class _ConsoleWatch(TuneWatch):
    def __init__(self, console: Console, bar: ProgressBar, record: _Record) -> None:
        self.console = console
        self.bar = bar
        self.record = record
        self.best: Trial | None = None
        self.timed = False

    def begun(self) -> None:
        """Show what earlier calls have done."""
        done = [trial for trial in self.record.search.trials if trial.outcome is not None]
        if done:
            there = "1 trial is" if len(done) == 1 else f"{len(done)} trials are"
            self.console.notice(f"tune: {there} there already")
            self.best = best_of(done)
            self.bar.skip(len(done))
            self.bar.advance(0, **self._shown())

    def evaluated(self, trial: Trial, epoch: int, score: float) -> None:
        self.bar.advance(0, trial=trial.number, epoch=epoch, **self._shown())

    def ended(self, trial: Trial, *, remembered: bool) -> None:
        if isinstance(trial.outcome, DamrsError):
            self.console.warning(f"tune: trial {trial.number} failed: {trial.outcome}")
        self.best = best_of([found for found in (self.best, trial) if found is not None])
        if remembered:
            self.bar.skip(1)
        self.bar.advance(0 if remembered else 1, **self._shown())
        self.record.write()

    def time_left(self, seconds: float | None) -> None:
        self.bar.expect(seconds)
        if seconds and not self.timed:
            self.timed = True
            self.console.notice(f"tune: by this training, the rest takes about {_duration(seconds)}")

    def _shown(self) -> dict[str, str]:
        if self.best is None or self.best.score is None:
            return {}
        return {"best": f"{self.best.score:.4f} (trial {self.best.number})"}


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{round(seconds)} s" if minutes < 2 else f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _show(workspace: Workspace, trials: list[Trial], *, unfinished: bool) -> None:
    """The best trials as a table, and where everything is. unfinished: the time was up before the trials were."""
    run, console, monitor = workspace.run, workspace.console, workspace.recipe.training.monitor
    finished = sorted((trial for trial in trials if trial.score is not None), key=lambda trial: -(trial.score or 0))
    rows = [[trial.number, trial.score, _params(trial), trial.search or "this one"] for trial in finished[:5]]
    shown = 4 if any(trial.search for trial in finished) else 3
    if rows:
        title = f"{workspace.recipe.name}: best trials by validation{workspace.synthetic_note}"
        columns = ["trial", f"validation {monitor}", "values", "search"]
        console.table(title, columns[:shown], [row[:shown] for row in rows])
    files = [run.study("tune").table, *([run.tuned_recipe] if finished else [])]
    console.notice(f"tune: {told_states(trials)} ({', '.join(map(str, files))})")
    if finished and not finished[0].params:
        console.notice("tune: no trial was better than the recipe as it is")
    if unfinished:
        console.notice("tune: the time is up; the same command goes on from there")


def _params(trial: Trial) -> str:
    return ", ".join(f"{key} = {value}" for key, value in trial.params.items()) or "the recipe as it is"


def _finish(trials: list[Trial]) -> None:
    """Raise where a trial failed by our fault, or where none could be trained."""
    errors = [trial.outcome for trial in trials if isinstance(trial.outcome, DamrsError)]
    ours = [error for error in errors if isinstance(error, InternalError)]
    if ours:
        raise InternalError(
            f"{len(ours)} of {len(trials)} trials failed by a fault of ours", where="tune", fix=ours[0].fix
        )
    if errors and len(errors) == len(trials):
        raise DamrsError(f"none of {len(trials)} trials could be trained", where="tune", fix=f"the first: {errors[0]}")
