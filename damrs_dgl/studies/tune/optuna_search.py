"""A search that learns from its trials: optuna's TPE sampler, and its median pruner on validation scores.

Everything is in one SQLite file, which several searches may share: each goes by the key of its space, recipe and data.
A search that was killed goes on with the trial that it was at. What a trial tries depends on the seed, its number and
the trials before it, so that one that was resumed ends as one that was not.
"""

from __future__ import annotations

import hashlib
import math
import sqlite3
import warnings
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from damrs_dgl.errors import DamrsError, RunError
from damrs_dgl.models.core.ranges import Range, Values
from damrs_dgl.search_space import SearchSpace
from damrs_dgl.studies.tune.search import Search, Trial
from damrs_dgl.studies.tune.trials import LastOutcome, Pruned, TrialResult, Verdict, from_json, to_json
from damrs_dgl.toml import toml_value

_UNPRUNED = 5  # finished trials before any is pruned


def require_optuna() -> None:
    """Raise DamrsError where the optional package is not there."""
    try:
        import optuna  # noqa: F401
    except ImportError:
        fix = "pip install 'damrs-dgl[tune]', or take --search grid"
        raise DamrsError("the package optuna is not installed", where="--search optuna", fix=fix) from None


class OptunaSearch(Search):
    """`count` trials of a space besides the recipe as it is.

    Parameters
    ----------
    path: the SQLite file.  name: the search's key in it.
    recipe_params: the recipe's own values where they lie in the space; None where they do not.

    A trial is pruned where its best score so far is below the median of the others' at that epoch, but not before half
    the epochs that the first finished trial (the recipe as it is) took to its best: a low learning rate begins slowly.

    Raises RunError where the file is damaged, or a search's that this version cannot read.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        space: SearchSpace,
        *,
        count: int,
        seed: int,
        recipe_params: dict[str, Any] | None,
    ) -> None:
        self.path = path
        self.space = space
        self.count = count
        self.seed = seed
        self.recipe_params = recipe_params
        self._active: dict[int, Any] = {}  # optuna's own object of each trial that is under way here
        self._told: dict[int, set[int]] = {}  # the epochs that it has heard of
        self._ended: set[int] = set()
        self._study = _opened(path, name)

    @property
    def trials(self) -> Sequence[Trial]:
        return [self._trial(found) for found in self._found()]

    def next(self) -> Trial | None:
        """The next trial to train: one that a stopped search left, else one that the sampler proposes."""
        found = self._found()
        waiting = [one for one in found if not one.state.is_finished() and one.number not in self._active]
        running = [one for one in waiting if one.state.name == "RUNNING"]
        if running:
            return self._begun(_again(self._study, running[0]))
        lasting = [one for one in found if one.state.is_finished() and (_is_lasting(one) or one.number in self._ended)]
        tried = {_point(one) for one in [*lasting, *(one for one in found if one.number in self._active)]}
        size = self.space.size
        if len(lasting) + len(self._active) > self.count or (size is not None and len(tried - {()}) >= size):
            return None
        recipe = not any(_is_recipe(one) for one in found if one in lasting or one.number in self._active)
        if recipe and self.recipe_params is not None and not waiting:
            self._study.enqueue_trial(
                {key: _stored(self.space.entries[key], value) for key, value in self.recipe_params.items()}
            )
        self._study.sampler = _sampler(self.seed, len(found))
        trial = self._study.ask()
        if recipe:
            trial.set_user_attr("recipe", True)
        return self._begun(trial)

    def report(self, trial: Trial, epoch: int, score: float) -> Verdict:
        own, told = self._active[trial.number], self._told[trial.number]
        if epoch not in told:
            own.report(score, epoch)
            told.add(epoch)
        prune = trial.params and epoch >= self._patience and own.should_prune()
        return Verdict.PRUNE if prune else Verdict.GO_ON

    def end(self, trial: Trial, outcome: LastOutcome) -> None:
        from optuna.trial import TrialState

        own = self._active.pop(trial.number)
        self._ended.add(trial.number)
        own.set_user_attr("outcome", to_json(outcome))
        if isinstance(outcome, TrialResult):
            self._study.tell(own, outcome.score)
        else:
            self._study.tell(own, state=TrialState.PRUNED if isinstance(outcome, Pruned) else TrialState.FAIL)
        trial.outcome = outcome

    def pruned_before(self, trial: Trial) -> Pruned | None:
        equal = (one.outcome for one in self.trials if one.params == trial.params and one.number != trial.number)
        return next((outcome for outcome in equal if isinstance(outcome, Pruned)), None)

    def close(self) -> None:
        self._study._storage.remove_session()

    @property
    def _patience(self) -> float:
        """The epoch before which no trial is pruned."""
        finished = (trial.outcome for trial in self.trials if isinstance(trial.outcome, TrialResult))
        first = next(finished, None)
        return math.inf if first is None else first.best_epoch / 2

    def _begun(self, own: Any) -> Trial:
        """A trial with all its values, those of a killed one as they were."""
        self._active[own.number] = own
        frozen = self._frozen(own.number)
        self._told[own.number] = set(frozen.intermediate_values)
        if not _is_recipe(frozen) or self.recipe_params is not None:
            for key, values in self.space.entries.items():
                _suggested(own, key, values)
        return self._trial(self._frozen(own.number))

    def _trial(self, found: Any) -> Trial:
        read = {} if _is_recipe(found) else found.params
        params = {key: _read(self.space.entries[key], value) for key, value in read.items()}
        return Trial(found.number, params, _outcome(found) if found.state.is_finished() else None)

    def _found(self) -> list[Any]:
        return self._study.get_trials(deepcopy=False)

    def _frozen(self, number: int) -> Any:
        return self._found()[number]


def _opened(path: Path, name: str) -> Any:
    import optuna

    optuna.logging.disable_default_handler()  # what there is to say, the console says
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    path.parent.mkdir(parents=True, exist_ok=True)
    _require_sound(path)
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}})
        pruner = optuna.pruners.MedianPruner(_UNPRUNED)
        return optuna.create_study(
            storage=storage, pruner=pruner, study_name=name, direction="maximize", load_if_exists=True
        )
    except Exception as error:  # of sqlalchemy, alembic or optuna: whatever is wrong with the file
        raise _unreadable(path, error) from error


def _require_sound(path: Path) -> None:
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path)) as file:
            (said,) = file.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error
    if said != "ok":
        raise _unreadable(path, sqlite3.DatabaseError(said))


def _unreadable(path: Path, error: Exception) -> RunError:
    lines = str(error).splitlines() or [type(error).__name__]
    fix = "delete it: finished trials are kept beside it and not trained again"
    return RunError(f"cannot be read as the trials of a search ({lines[0]})", where=path, fix=fix)


def _sampler(seed: int, number: int) -> Any:
    import optuna

    digest = hashlib.sha256(f"{seed}/{number}".encode()).digest()
    return optuna.samplers.TPESampler(seed=int.from_bytes(digest[:4], "big"), constant_liar=True)


def _again(study: Any, found: Any) -> Any:
    import optuna

    return optuna.trial.Trial(study, found._trial_id)


def _outcome(found: Any) -> LastOutcome:
    written = found.user_attrs.get("outcome")
    return DamrsError("nothing is known of it") if written is None else from_json(written)


def _is_recipe(found: Any) -> bool:
    return found.number == 0 or bool(found.user_attrs.get("recipe"))


def _is_lasting(found: Any) -> bool:
    """Whether a trial counts for a later call: one that failed by chance, as where memory ran out, does not."""
    return found.state.name != "FAIL" or found.user_attrs.get("outcome", {}).get("kind") == "training"


def _point(found: Any) -> tuple[Any, ...]:
    return () if _is_recipe(found) else tuple(sorted(found.params.items()))


def _suggested(own: Any, key: str, values: Values) -> None:
    if not isinstance(values, Range):
        own.suggest_categorical(key, [toml_value(value) for value in values])
    elif values.integers:
        own.suggest_int(key, values.low, values.high, log=values.log)
    else:
        own.suggest_float(key, values.low, values.high, log=values.log)


def _stored(values: Values, value: Any) -> Any:
    """A value as optuna holds it: one of a list by its text, for a list may hold anything."""
    return value if isinstance(values, Range) else toml_value(value)


def _read(values: Values, stored: Any) -> Any:
    return stored if isinstance(values, Range) else next(value for value in values if toml_value(value) == stored)
