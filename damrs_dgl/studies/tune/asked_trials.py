"""Which searches asked for which trials, so that the best of all of them is the best of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from damrs_dgl.errors import RunError
from damrs_dgl.storage.sealed import read_sealed, write_sealed
from damrs_dgl.studies.study import Study
from damrs_dgl.studies.tune.search import Trial
from damrs_dgl.studies.tune.trials import TrialResult, TrialStore

_FIX = "`tune` counts this search alone; give the commands of earlier ones again, nothing is trained twice"


class AskedTrials:
    """The finished trials of all searches over one recipe, in a file beside what the trials came to.

    path: the file, one for a recipe, its data and its monitored metric.  warn: called where the file is damaged; this
    search then counts as the first.
    """

    def __init__(self, path: Path, study: Study, store: TrialStore, warn: Callable[[str], None]) -> None:
        self.path = path
        self.study = study
        self.store = store
        self._asked: dict[str, dict[str, Any]] = {}  # by the key of the trial's cell: its search, number, values
        self._searches: dict[str, dict[str, Any]] = {}  # by their words: how many trials, and the command
        self._own: dict[int, str] = {}  # the keys of the kept search's trials by their numbers
        try:
            if path.exists():
                stored = read_sealed(path, fix=_FIX)
                self._asked, self._searches = stored["trials"], stored["searches"]
        except RunError as error:
            warn(str(error))
        self._before = {key: self._trial(key, asked) for key, asked in self._asked.items()}

    def keep(self, search: str, command: Sequence[str], count: int, trials: Sequence[Trial]) -> None:
        """Note those trials of a search that have finished; one that another asked for first stays that one's.

        search: in words.  command: that asks for `count` of its trials; the one that asked for most is kept.
        """
        known = len(self._asked), self._searches.get(search)
        if count >= self._searches.get(search, {}).get("count", 0):
            self._searches[search] = {"count": count, "command": list(command)}
        for trial in trials:
            if trial.number not in self._own and isinstance(trial.outcome, TrialResult):
                key = self._own[trial.number] = self.study.key(trial.cell(self.study.recipe))
                self._asked.setdefault(key, {"search": search, "number": trial.number, "params": trial.params})
        if (len(self._asked), self._searches[search]) != known:
            write_sealed(self.path, {"searches": self._searches, "trials": self._asked})

    def others(self) -> list[Trial]:
        """The trials of other searches, but for those that are the kept search's too."""
        own = set(self._own.values())
        return [trial for key, trial in self._before.items() if trial.score is not None and key not in own]

    def commands(self, search: str) -> list[list[str]]:
        """The command of each search that `others` come from, and last that of the kept one."""
        whose = dict.fromkeys(trial.search for trial in self.others() if trial.search != search)
        return [self._searches[name]["command"] for name in (*whose, search)]

    def _trial(self, key: str, asked: dict[str, Any]) -> Trial:
        outcome = self.store.read(key, self.study.recipe.training.monitor)
        return Trial(asked["number"], asked["params"], outcome, asked["search"])
