"""What a search tries, and in what order: the recipe as it is (trial 0), then points of a space.

`Search` is what the runner knows of any search; `GridSearch` tries combinations of lists in order, or some of them
drawn by seed. The one that learns from trials is `studies.tune.optuna_search`.
"""

from __future__ import annotations

import itertools
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from damrs_dgl.errors import DamrsError
from damrs_dgl.models.core.ranges import Values
from damrs_dgl.recipe import Recipe
from damrs_dgl.studies.study import Cell, changes_of
from damrs_dgl.studies.tune.trials import LastOutcome, Pruned, TrialResult, Verdict

_LISTED = 1_000_000  # combinations that may be listed to draw some of them


@dataclass
class Trial:
    """One point of a search.

    number: 0 is the recipe as it is.  outcome: None while it is under way.  search: whose it is, where not this one's.
    """

    number: int
    params: dict[str, Any] = field(default_factory=dict)
    outcome: LastOutcome | None = None
    search: str = ""

    def cell(self, recipe: Recipe[Any]) -> Cell:
        """The training that it is, with the recipe's own seed."""
        return Cell(recipe.model.name, changes_of(self.params), seed=recipe.training.seed)

    @property
    def score(self) -> float | None:
        """The validation score of a finished trial."""
        return self.outcome.score if isinstance(self.outcome, TrialResult) else None


class Search(ABC):
    """Gives trials one by one, hears what they came to, and knows all of them."""

    @property
    @abstractmethod
    def trials(self) -> Sequence[Trial]:
        """All trials that were given, in order of their numbers."""

    @abstractmethod
    def next(self) -> Trial | None:
        """The next trial; None where none is left to begin."""

    @abstractmethod
    def report(self, trial: Trial, epoch: int, score: float) -> Verdict:
        """Hear of an evaluation; say whether the trial goes on."""

    @abstractmethod
    def end(self, trial: Trial, outcome: LastOutcome) -> None:
        """Hear what a trial came to."""

    def pruned_before(self, trial: Trial) -> Pruned | None:
        """What an equal trial came to that was ended early."""
        return None

    def close(self) -> None:  # noqa: B027 (most have nothing to do)
        """Let go of files."""


class GridSearch(Search):
    """`count` combinations of lists besides the recipe as it is: all of them in order, or so many drawn by `seed`."""

    def __init__(self, entries: Mapping[str, Values], count: int, seed: int) -> None:
        self._points = [{}, *grid_points(entries, count, seed)]
        self._given: list[Trial] = []

    @property
    def trials(self) -> Sequence[Trial]:
        return self._given

    def next(self) -> Trial | None:
        number = len(self._given)
        if number == len(self._points):
            return None
        self._given.append(Trial(number, dict(self._points[number])))
        return self._given[-1]

    def report(self, trial: Trial, epoch: int, score: float) -> Verdict:
        return Verdict.GO_ON

    def end(self, trial: Trial, outcome: LastOutcome) -> None:
        trial.outcome = outcome


def grid_points(entries: Mapping[str, Values], count: int, seed: int) -> list[dict[str, Any]]:
    """Combinations of lists, the last key changing fastest: all, or `count` different ones drawn by seed, in order.

    A larger count with the same seed draws the smaller one's points and more.
    """
    lists = [list(values) for values in entries.values()]  # type: ignore[arg-type]
    total = math.prod(map(len, lists))
    if count >= total:
        chosen: Sequence[int] = range(total)
    else:
        chosen = list(itertools.islice(_drawn(total, seed), count))
    return [dict(zip(entries, _point(lists, position), strict=True)) for position in chosen]


def _drawn(total: int, seed: int) -> Iterator[int]:
    """Numbers below `total` in random order, each once."""
    draw = random.Random(seed)
    if total <= _LISTED:
        yield from draw.sample(range(total), total)
        return
    seen: set[int] = set()
    while True:
        position = draw.randrange(total)
        if position not in seen:
            seen.add(position)
            yield position


def _point(lists: Sequence[Sequence[Any]], position: int) -> list[Any]:
    """The combination of that number."""
    values = []
    for choices in reversed(lists):
        position, place = divmod(position, len(choices))
        values.append(choices[place])
    return values[::-1]


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the highest score, of equals the earliest; None where none has finished."""
    finished = [trial for trial in trials if trial.score is not None]
    return max(finished, key=lambda trial: (trial.score, -trial.number), default=None)


def state_of(trial: Trial) -> str:
    """What became of a trial, in a word."""
    if isinstance(trial.outcome, TrialResult):
        return "finished"
    if isinstance(trial.outcome, Pruned):
        return "pruned"
    return "failed" if isinstance(trial.outcome, DamrsError) else "unfinished"
