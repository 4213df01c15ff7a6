"""Searches on made-up scores: the grid's points, optuna's trials after a stop, pruning."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from damrs_dgl.errors import DamrsError, RunError, TrainingError
from damrs_dgl.models.core.ranges import Range
from damrs_dgl.search_space import SearchSpace
from damrs_dgl.studies.tune.search import GridSearch, Search, Trial, best_of, grid_points, state_of
from damrs_dgl.studies.tune.trials import Pruned, TrialOutcome, TrialResult, Verdict

LISTS = {"a.x": (1, 2, 3), "a.y": ("p", "q"), "a.z": (True, False)}


def test_a_grid_is_every_combination_once() -> None:
    expected = [dict(zip(LISTS, point, strict=True)) for point in itertools.product(*LISTS.values())]
    assert grid_points(LISTS, 12, seed=0) == expected
    assert grid_points(LISTS, 100, seed=5) == expected


def test_fewer_are_drawn_by_the_seed() -> None:
    every = grid_points(LISTS, 12, seed=0)
    five = grid_points(LISTS, 5, seed=0)
    assert len({str(point) for point in five}) == 5
    assert all(point in every for point in five)
    assert five == grid_points(LISTS, 5, seed=0)
    assert five != grid_points(LISTS, 5, seed=1)
    assert grid_points(LISTS, 8, seed=0)[:5] == five  # a larger number adds to it


def test_a_grid_too_large_to_list() -> None:
    large = {f"a.{name}": tuple(range(100)) for name in "uvwxyz"}
    points = grid_points(large, 50, seed=0)
    assert len({str(point) for point in points}) == 50
    assert points[:20] == grid_points(large, 20, seed=0)


def test_a_grid_search_begins_with_the_recipe() -> None:
    search = GridSearch({"a.x": (1, 2)}, 2, 0)
    given = [search.next(), search.next(), search.next()]
    assert [trial.params for trial in given if trial] == [{}, {"a.x": 1}, {"a.x": 2}]
    assert search.next() is None


def _result(score: float, best_epoch: int = 1) -> TrialResult:
    return TrialResult({"recall@20": score}, score, best_epoch, best_epoch, 0.1, ((best_epoch, score),))


def test_the_best_is_the_earliest_of_equals() -> None:
    trials = [Trial(0, {}, _result(0.2)), Trial(1, {"a": 1}, _result(0.3)), Trial(2, {"a": 2}, _result(0.3))]
    trials += [Trial(3, {"a": 3}, Pruned(0.9, 1, 0.1)), Trial(4, {"a": 4}, TrainingError("no")), Trial(5, {"a": 5})]
    best = best_of(trials)
    assert best is not None
    assert best.number == 1
    assert best_of(trials[3:]) is None
    assert [state_of(trial) for trial in trials[2:]] == ["finished", "pruned", "failed", "unfinished"]


SPACE = SearchSpace({"a.x": Range(0.0, 1.0), "a.n": Range(1, 64, log=True), "a.y": ("p", ("q", "r"), True)}, "a test")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    pytest.importorskip("optuna")
    return tmp_path / "run" / "tune.db"


def _optuna(path: Path, count: int, *, space: SearchSpace = SPACE, seed: int = 0, name: str = "s") -> Search:
    from damrs_dgl.studies.tune.optuna_search import OptunaSearch

    return OptunaSearch(path, name, space, count=count, seed=seed, recipe_params=None)


def _score(trial: Trial) -> float:
    return 0.5 if not trial.params else 1 - abs(trial.params["a.x"] - 0.3) - abs(trial.params["a.n"] - 8) / 100


def _run(search: Search, most: int = 1000) -> list[dict[str, object]]:
    """Run trials to their end; the values of all."""
    for _ in range(most):
        trial = search.next()
        if trial is None:
            break
        search.end(trial, _result(_score(trial)))
    return [trial.params for trial in search.trials]


def test_a_search_that_is_stopped_and_goes_on_tries_the_same(path: Path) -> None:
    whole = _run(_optuna(path, 20))
    assert whole[0] == {}
    assert len(whole) == 21
    assert {type(params["a.n"]) for params in whole[1:]} == {int}
    assert all(params["a.y"] in ("p", ("q", "r"), True) for params in whole[1:])
    other = path.with_name("other.db")
    first = _optuna(other, 20)
    _run(first, 13)
    under_way = first.next()
    assert under_way is not None
    resumed = _optuna(other, 20)
    again = resumed.next()
    assert again is not None
    assert (again.number, again.params) == (under_way.number, under_way.params)
    resumed.end(again, _result(_score(again)))
    assert _run(resumed) == whole


def test_a_larger_number_adds_trials(path: Path) -> None:
    five = _run(_optuna(path, 5))
    assert _run(_optuna(path, 5)) == five
    nine = _run(_optuna(path, 9))
    assert len(nine) == 10
    assert nine[:6] == five


def test_another_seed_or_search_tries_other_values(path: Path) -> None:
    assert _run(_optuna(path, 3)) != _run(_optuna(path, 3, seed=1, name="other"))
    assert len(_run(_optuna(path, 3, name="third"))) == 4  # both stand in the file, apart


def test_a_small_space_ends_when_all_of_it_was_tried(path: Path) -> None:
    search = _optuna(path, 200, space=SearchSpace({"a.x": (0.1, 0.2), "a.n": (1, 2)}, "a test"))
    points = {str(params) for params in _run(search)}
    assert len(points) == 5
    assert len(search.trials) < 201


def test_a_trial_below_the_median_of_the_others_is_pruned(path: Path) -> None:
    search = _optuna(path, 20)
    for _ in range(6):
        trial = search.next()
        assert trial is not None
        assert {search.report(trial, epoch, 0.5) for epoch in range(1, 6)} == {Verdict.GO_ON}
        search.end(trial, _result(0.5, best_epoch=4))
    bad = search.next()
    assert bad is not None
    assert search.report(bad, 1, 0.1) is Verdict.GO_ON  # half the way to the first trial's best is left alone
    assert search.report(bad, 2, 0.1) is Verdict.PRUNE
    search.end(bad, Pruned(0.1, 2, 0.1))
    assert state_of(search.trials[bad.number]) == "pruned"
    good = search.next()
    assert good is not None
    assert search.report(good, 2, 0.6) is Verdict.GO_ON
    assert search.pruned_before(Trial(99, bad.params)) == Pruned(0.1, 2, 0.1)
    assert search.pruned_before(good) is None


def test_what_failed_by_chance_is_tried_again_and_what_always_fails_is_not(path: Path) -> None:
    search = _optuna(path, 2)
    outcomes: list[TrialOutcome] = [DamrsError("its process was killed"), TrainingError("not finite")]
    for outcome in outcomes:
        trial = search.next()
        assert trial is not None
        search.end(trial, outcome)
    again = _optuna(path, 2)
    assert [str(trial.outcome) for trial in again.trials] == ["its process was killed", "not finite"]
    params = _run(again)
    assert len(params) == 4
    assert [bool(values) for values in params] == [False, True, False, True]  # the recipe, which was killed, once more


def test_a_fault_in_every_trial_ends_the_search(path: Path) -> None:
    search = _optuna(path, 3)
    begun = 0
    while (trial := search.next()) is not None and begun < 10:
        begun += 1
        search.end(trial, DamrsError("no room left on the disk"))
    assert begun == 4


@pytest.mark.parametrize("damage", [b"no database at all, but text", b""])
def test_a_damaged_file_is_one_line(path: Path, damage: bytes) -> None:
    _run(_optuna(path, 2))
    content = path.read_bytes()
    path.write_bytes(damage or content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(RunError, match=r"tune.db: cannot be read as the trials of a search .*; delete it") as refusal:
        _optuna(path, 2)
    assert "\n" not in str(refusal.value)
