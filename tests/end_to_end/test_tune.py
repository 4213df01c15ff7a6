"""`tune`: every trial is kept, none is trained twice, a kill costs nothing, and the test split is not looked at."""

from __future__ import annotations

import csv
import itertools
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from damrs_dgl.errors import TrainingError
from damrs_dgl.factory import SplitEvaluator
from damrs_dgl.recipe import load_recipe, with_values
from damrs_dgl.storage.run import RunDirectory
from damrs_dgl.studies.study import Cell
from damrs_dgl.studies.tune.runner import Tuning
from damrs_dgl.studies.tune.search import Trial
from damrs_dgl.studies.tune.trials import Report, TrialOutcome, TrialTrainer, Verdict
from tests.cli_runner import CommandLine, tiny_options

ROOT = Path(__file__).parents[2]
SPACE = """
[space]
"training.learning_rate" = [0.02, 0.001]
"model.regularization" = [0.0, 0.01, 1.0]
"""
RANGES = """
[space]
"training.learning_rate" = {low = 1e-3, high = 0.1, log = true}
"model.dim" = {low = 4, high = 16}
"""
MF = ("-o", "model.name=mf")


@pytest.fixture
def small(tiny: CommandLine) -> CommandLine:
    """`damrs-dgl` with a tiny shop, matrix factorisation, and two spaces beside it."""
    pytest.importorskip("optuna")
    (tiny.folder / "lists.toml").write_text(SPACE)
    (tiny.folder / "ranges.toml").write_text(RANGES)
    return CommandLine(tiny.capsys, tiny.monkeypatch, tiny.folder, (*tiny.options, *MF))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    """The trials that were trained, as they come."""
    cells: list[Cell] = []
    real = TrialTrainer._run

    def run(trainer: TrialTrainer, cell: Cell, report: Report) -> TrialOutcome:
        cells.append(cell)
        return real(trainer, cell, report)

    monkeypatch.setattr(TrialTrainer, "_run", run)
    return cells


def _rows(run: Path) -> list[dict[str, str]]:
    """`tune.csv` but for the seconds."""
    with (run / "tune.csv").open() as lines:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(lines)]


GRID = ("tune", "--search", "grid", "--space", "lists.toml")
OPTUNA = ("tune", "--space", "ranges.toml")


def test_a_grid_is_every_combination_and_the_recipe(small: CommandLine, trained: list[Cell]) -> None:
    said = small.ok(*GRID, "--trials", "50").err
    assert "tune: 6 trials of 6 combinations and the recipe as it is, 3 epochs at most each; grid, seed 0" in said
    rows = _rows(small.folder / "run")
    points = [(row["training.learning_rate"], row["model.regularization"]) for row in rows]
    assert points == [("", ""), *itertools.product(["0.02", "0.001"], ["0.0", "0.01", "1.0"])]
    assert {row["state"] for row in rows} == {"finished"}
    assert {row["budget_trials"] for row in rows} == {"6"}
    assert len(trained) == 7
    assert not (small.folder / "run" / "tune.db").exists()
    small.ok(*GRID, "--trials", "50")
    assert len(trained) == 7
    assert _rows(small.folder / "run") == rows


def test_some_of_a_grid_and_then_more(small: CommandLine, trained: list[Cell]) -> None:
    small.ok(*GRID, "--trials", "2")
    two = _rows(small.folder / "run")
    assert len(two) == 3
    small.ok(*GRID, "--trials", "4")
    assert len(trained) == 5
    assert [row["trial"] for row in _rows(small.folder / "run")[:3]] == ["0", "1", "2"]


def test_a_larger_number_adds_trials(small: CommandLine, trained: list[Cell]) -> None:
    small.ok(*OPTUNA, "--trials", "2")
    first = _rows(small.folder / "run")
    said = small.ok(*OPTUNA, "--trials", "4").err
    assert "tune: 3 trials are there already" in said
    rows = _rows(small.folder / "run")
    assert len(rows) == len(trained) == 5
    keys = [key for key in rows[0] if not key.startswith("budget")]
    assert [[row[key] for key in keys] for row in rows[:3]] == [[row[key] for key in keys] for row in first]


def test_the_test_split_is_never_judged(small: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    real = SplitEvaluator.__init__

    def guarded(evaluator: SplitEvaluator, recipe: Any, dataset: Any, split: str) -> None:
        assert split == "validation", "the test split was looked at"
        real(evaluator, recipe, dataset, split)

    monkeypatch.setattr(SplitEvaluator, "__init__", guarded)
    small.ok(*OPTUNA, "--trials", "2")
    small.ok(*GRID, "--trials", "2")
    trials = [path.read_text() for path in (small.folder / "run" / "trials").glob("*.trial.json")]
    assert len(trials) == 5  # the recipe as it is once
    assert not any("test" in text for text in trials)
    assert "test" not in (small.folder / "run" / "tune.csv").read_text()


KILLED = """
import os, signal, sys
from damrs_dgl.cli import main
from damrs_dgl.studies.tune.optuna_search import OptunaSearch
real = OptunaSearch.report
def report(self, trial, epoch, score):
    verdict = real(self, trial, epoch, score)
    if (trial.number, epoch) == (2, 2):
        os.kill(os.getpid(), signal.SIGKILL)
    return verdict
OptunaSearch.report = report
sys.argv = ["damrs-dgl", *{arguments!r}]
main()
"""


def test_a_killed_search_goes_on_and_ends_the_same(small: CommandLine, trained: list[Cell]) -> None:
    small.ok(*OPTUNA, "--trials", "4")
    whole = _rows(small.folder / "run")
    options = (*tiny_options(small.folder / "killed"), *MF)
    code = KILLED.format(arguments=(*options, *OPTUNA, "--trials", "4"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=small.folder, check=False, timeout=300)
    assert done.returncode == -signal.SIGKILL
    assert [row["state"] for row in _rows(small.folder / "killed")] == ["finished", "finished"]
    trained.clear()
    again = CommandLine(small.capsys, small.monkeypatch, small.folder, options)
    again.ok(*OPTUNA, "--trials", "4")
    assert len(trained) == 3  # the one that it was at, and the two after it
    assert _rows(small.folder / "killed") == whole
    assert not [path for path in (small.folder / "killed" / "trials").iterdir() if path.is_dir()]


def test_ctrl_c_keeps_finished_trials(small: CommandLine, trained: list[Cell], monkeypatch: pytest.MonkeyPatch) -> None:
    real = TrialTrainer._run

    def stopped(trainer: TrialTrainer, cell: Cell, report: Report) -> TrialOutcome:
        if len(trained) == 2:
            raise KeyboardInterrupt
        return real(trainer, cell, report)

    with monkeypatch.context() as patch:
        patch.setattr(TrialTrainer, "_run", stopped)
        result = small(*OPTUNA, "--trials", "3")
    assert result.code == 130
    assert result.err.splitlines()[-1] == "stopped; the same command goes on after what is finished"
    assert len(_rows(small.folder / "run")) == 2
    assert (small.folder / "run" / "tuned.toml").exists()
    small.ok(*OPTUNA, "--trials", "3")
    assert len(trained) == 4


def test_time_that_is_up_keeps_the_training(small: CommandLine, trained: list[Cell]) -> None:
    said = small.ok(*OPTUNA, "--trials", "2", "--timeout", "1e-9").err
    assert "tune: the time is up; the same command goes on from there" in said
    assert trained == []
    small.ok(*OPTUNA, "--trials", "2")
    assert len(trained) == 3
    assert "the time is up" not in small.ok(*OPTUNA, "--trials", "2", "--timeout", "10").err


def test_a_trial_that_was_stopped_goes_on(small: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    from damrs_dgl.studies.tune.optuna_search import OptunaSearch

    small.ok(*OPTUNA, "--trials", "2")
    whole = _rows(small.folder / "run")
    up: list[int] = []
    heard: list[tuple[int, int]] = []
    real = OptunaSearch.report

    def report(search: OptunaSearch, trial: Trial, epoch: int, score: float) -> Verdict:
        heard.append((trial.number, epoch))
        up.extend([epoch] if heard[-1] == (1, 2) else [])
        return real(search, trial, epoch, score)

    monkeypatch.setattr(OptunaSearch, "report", report)
    again = CommandLine(small.capsys, monkeypatch, small.folder, (*tiny_options(small.folder / "again"), *MF))
    with monkeypatch.context() as patch:
        patch.setattr(Tuning, "is_over", property(lambda _: bool(up)))
        said = again.ok(*OPTUNA, "--trials", "2", "--timeout", "10").err
    assert "tune: 1 finished, 1 unfinished" in said
    assert "tune: the time is up" in said
    heard.clear()
    again.ok(*OPTUNA, "--trials", "2")
    assert heard[:3] == [(1, 1), (1, 2), (1, 3)]  # the first two told again, not trained again
    assert _rows(small.folder / "again") == whole


def test_two_jobs_train_what_one_does(small: CommandLine) -> None:
    small.ok(*GRID, "--trials", "3")
    one = _rows(small.folder / "run")
    options = (*tiny_options(small.folder / "two"), *MF)
    CommandLine(small.capsys, small.monkeypatch, small.folder, options).ok(*GRID, "--trials", "3", "--jobs", "2")
    assert _rows(small.folder / "two") == one


def test_optuna_with_two_jobs(small: CommandLine) -> None:
    said = small.ok(*OPTUNA, "--trials", "3", "--jobs", "2").err
    assert "with --jobs 2 what is tried depends on which training ends first" in said
    assert [row["state"] for row in _rows(small.folder / "run")] == ["finished"] * 4


def test_what_another_study_trained_counts(small: CommandLine, trained: list[Cell]) -> None:
    small.ok("compare", "--models", "mf")
    small.ok(*GRID, "--trials", "1")
    assert [bool(cell.changes) for cell in trained] == [True]  # the recipe as it is was there


def test_the_tuned_recipe_loads_and_trains(small: CommandLine) -> None:
    small.ok(*GRID, "--trials", "6")
    rows = _rows(small.folder / "run")
    best = max(rows, key=lambda row: (float(row["validation_recall@20"]), -int(row["trial"])))
    path = small.folder / "run" / "tuned.toml"
    text = path.read_text()
    assert "the test split was not looked at" in text
    assert '# The recipe "demo" (synthetic data) as `damrs-dgl tune` left it: grid, seed 0' in text
    assert "# Budget: 6 trials and the recipe as it was, 3 epochs at most each; 7 finished" in text
    tuned = load_recipe(path)
    values = {key: float(best[key]) for key in ("training.learning_rate", "model.regularization") if best[key]}
    expected = with_values(load_recipe("demo", [text for text in small.options if "=" in text]), values)
    assert tuned == with_values(expected, {"name": "demo-tuned"})
    if values:
        assert f"Best: trial {best['trial']}, validation recall@20" in text
    plain = CommandLine(small.capsys, small.monkeypatch, small.folder, ("--recipe", str(path), "--run", "fitted"))
    plain.ok("fit", "evaluate")
    score = plain.ok("evaluate").out
    assert f"{float(best['validation_recall@20']):.4f}" in score


def test_a_second_search_keeps_the_better_of_the_first(small: CommandLine, trained: list[Cell]) -> None:
    (small.folder / "bad.toml").write_text('[space]\n"training.learning_rate" = [1e-9]\n')
    run = small.folder / "run"
    small.ok(*GRID, "--trials", "6")
    text, rows = (run / "tuned.toml").read_text(), _rows(run)
    (best,) = re.findall(r"# Best: (trial \d), (validation recall@20 [.\d]+)", text)
    result = small.ok("tune", "--search", "grid", "--trials", "1", "--space", "bad.toml")
    assert "tune: 2 finished, and 6 of other searches" in result.err
    assert "no trial was better" not in result.err and "grid, seed 0, lists.toml" in result.out
    after = (run / "tuned.toml").read_text()
    assert f"# Best: {best[0]} of another search (grid, seed 0, lists.toml), {best[1]}" in after
    assert text[text.index("\n\n") :] == after[after.index("\n\n") :]  # the recipe under the header
    merged = _rows(run)
    assert len(merged) == 8 and len(trained) == 8
    points = {row["training.learning_rate"] + row["model.regularization"] for row in rows}
    assert points < {row["training.learning_rate"] + row["model.regularization"] for row in merged}
    assert [row["budget_trials"] for row in merged] == ["1", "1", *[""] * 6]
    first = ["tune", "--trials", "6", "--search", "grid", "--seed", "0", "--space", "lists.toml"]
    second = ["tune", "--trials", "1", "--search", "grid", "--seed", "0", "--space", "bad.toml"]
    assert RunDirectory(run).commands("tune") == [first, second]
    small.ok(*GRID, "--trials", "2")  # fewer than it has asked for: what the table shows takes all six
    assert RunDirectory(run).commands("tune") == [second, first]


def test_a_search_over_another_recipe_says_what_it_replaces(small: CommandLine, trained: list[Cell]) -> None:
    small.ok(*GRID, "--trials", "2")
    before = _rows(small.folder / "run")
    said = small.ok("-o", "training.epochs=2", *GRID, "--trials", "1").err
    assert "tune: training.epochs changed; " in said
    assert "tuned.toml are replaced, the earlier command brings them back" in said
    assert len(_rows(small.folder / "run")) == 2
    trained.clear()
    small.ok(*GRID, "--trials", "2")
    assert _rows(small.folder / "run") == before and not trained


def test_a_damaged_list_of_searches_is_one_line(small: CommandLine) -> None:
    small.ok(*GRID, "--trials", "2")
    (path,) = (small.folder / "run" / "trials").glob("*.searches.json")
    path.write_text("{")
    said = small.ok("tune", "--search", "grid", "--trials", "1", "--space", "lists.toml", "--seed", "1").err
    (warning,) = [line for line in said.splitlines() if line.startswith("warning: ")]
    assert path.name in warning and "nothing is trained twice" in warning


def test_a_piped_search_says_where_it_is(small: CommandLine) -> None:
    def lines(count: int) -> list[str]:
        said = small.ok(*OPTUNA, "--trials", str(count)).err.splitlines()
        return [line for line in said if line.startswith("tune: trials ")]

    assert [line.split()[2] for line in lines(2)] == ["1/3", "2/3", "3/3"]
    assert [line.split()[2] for line in lines(3)] == ["4/4"]  # what was there does not count as done now


def test_the_header_says_a_command_that_works_anywhere(small: CommandLine) -> None:
    folder = small.folder / "my runs"
    cli = CommandLine(small.capsys, small.monkeypatch, small.folder, (*small.options, "--run", "my runs"))
    cli.ok(*GRID, "--trials", "1")
    assert (
        f"judge by `damrs-dgl --recipe '{folder / 'tuned.toml'}' fit evaluate`." in (folder / "tuned.toml").read_text()
    )


def test_a_recipe_that_is_best_is_said_to_be(small: CommandLine) -> None:
    (small.folder / "bad.toml").write_text('[space]\n"training.learning_rate" = [1e-9]\n')
    result = small.ok("tune", "--search", "grid", "--trials", "1", "--space", "bad.toml")
    assert "tune: no trial was better than the recipe as it is" in result.err
    text = (small.folder / "run" / "tuned.toml").read_text()
    assert "# No trial was better than the recipe as it was" in text
    assert load_recipe(small.folder / "run" / "tuned.toml").training.learning_rate == 0.01


@pytest.mark.parametrize(("error", "code"), [(TrainingError("not finite in epoch 2"), 0), (RuntimeError("a shape"), 1)])
def test_a_trial_that_fails_stops_no_other(
    small: CommandLine, monkeypatch: pytest.MonkeyPatch, trained: list[Cell], error: Exception, code: int
) -> None:
    real = TrialTrainer._run

    def run(trainer: TrialTrainer, cell: Cell, report: Report) -> TrialOutcome:
        if dict(cell.changes).get("model.regularization") == 0.01:
            trained.append(cell)
            raise error
        return real(trainer, cell, report)

    monkeypatch.setattr(TrialTrainer, "_run", run)
    result = small(*GRID, "--trials", "6")
    assert result.code == code, result.err
    rows = _rows(small.folder / "run")
    assert [row["state"] for row in rows] == [
        *("finished", "finished", "failed", "finished", "finished", "failed", "finished"),
    ]  # fmt: skip
    assert str(error) in rows[2]["error"]
    assert f"tune: trial 2 failed: {'internal error: RuntimeError: ' if code else ''}{error}" in result.err
    small(*GRID, "--trials", "6")
    assert len(trained) == 7 + (2 if code else 0)  # what always fails is remembered


def test_a_pruned_training_is_over(small: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    from damrs_dgl.studies.tune.optuna_search import OptunaSearch

    def report(search: OptunaSearch, trial: Any, epoch: int, score: float) -> Verdict:
        return Verdict.PRUNE if trial.number == 1 and epoch == 2 else Verdict.GO_ON

    monkeypatch.setattr(OptunaSearch, "report", report)
    small.ok(*OPTUNA, "--trials", "2")
    rows = _rows(small.folder / "run")
    assert [row["state"] for row in rows] == ["finished", "pruned", "finished"]
    assert [row["epochs"] for row in rows] == ["3", "2", "3"]
    assert not [path for path in (small.folder / "run" / "trials").iterdir() if path.is_dir()]


def test_mistakes_are_one_line_each(small: CommandLine, trained: list[Cell], monkeypatch: pytest.MonkeyPatch) -> None:
    (small.folder / "wrong.toml").write_text('[space]\n"training.learning_rat" = [0.1]\n')
    small.refused("tune", "--trials", "1", "--space", "wrong.toml", saying=("wrong.toml", "training.learning_rate?"))
    small.refused("tune", "--trials", "1", "--space", "none.toml", saying=('there is no search space "none.toml"',))
    small.refused("tune", "--trials", "0", saying=("--trials",))
    small.refused("tune", saying=("--trials",))
    small.refused(*GRID[:3], "--trials", "1", "--space", "ranges.toml", saying=("is a range", "--search optuna"))
    run = small.folder / "run"
    run.mkdir(exist_ok=True)
    (run / "tune.db").write_text("not a database")
    small.refused(*OPTUNA, "--trials", "1", saying=("tune.db", "delete it"))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "optuna", None)
        small.refused(*OPTUNA, "--trials", "1", saying=("optuna is not installed", "damrs-dgl[tune]", "--search grid"))
    assert trained == []


def test_a_space_points_at_its_recipe(small: CommandLine) -> None:
    (small.folder / "mine.toml").write_text('recipe = "nowhere.toml"\n[space]\n"graphs.k" = [5]\n')
    small.refused("tune", "--trials", "1", "--space", "mine.toml", saying=("nowhere.toml",))
    small.refused("describe", "tune", "--trials", "1", "--space", "mine.toml", saying=("write --recipe",))


def test_equal_points_are_trained_once(small: CommandLine, trained: list[Cell]) -> None:
    small.ok("tune", "--trials", "25", "--space", "lists.toml")
    rows = _rows(small.folder / "run")
    points = {(row["training.learning_rate"], row["model.regularization"]) for row in rows}
    assert len(trained) == len(points) <= 7
    small.ok(*GRID, "--trials", "6")  # what optuna trained counts for the grid
    assert len(trained) == 7
