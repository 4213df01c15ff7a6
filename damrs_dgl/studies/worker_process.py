"""A process that works on a study: how it is started and ended, what it is told and tells, and how it died.

It ignores Ctrl-C, which is for the process that started it, and ends with that process, however it ends.
"""

from __future__ import annotations

import json
import pkgutil
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from damrs_dgl.errors import DamrsError, DataError, InternalError
from damrs_dgl.factory import load_dataset
from damrs_dgl.processes import live_with_parent
from damrs_dgl.recipe import recipe_from
from damrs_dgl.studies.study import Study
from damrs_dgl.studies.training import one_thread

_GRACE_SECONDS = 5.0  # that a worker has to end when it is told to

Work = Callable[[Connection, Callable[[], Study]], None]  # given its line, and what opens the study


class WorkerProcess:
    """A process that runs `work(line, open_study)`, and the line to it; `work` is a function of a module."""

    def __init__(self, study: Study, work: Work) -> None:
        context = get_context("spawn")
        self.line, theirs = context.Pipe()
        recipe = json.dumps(study.recipe.model_dump(mode="json", exclude_unset=True))
        settings = (recipe, study.dataset.fingerprint(), str(study.folder), str(study.device))
        lives = (f"{__name__}:{_live.__name__}", f"{work.__module__}:{work.__qualname__}")
        self.process = context.Process(target=live_with_parent, args=(*lives, *settings, theirs), daemon=True)
        with _ctrl_c_ignored():
            self.process.start()
        theirs.close()

    def send(self, value: object) -> None:
        """Tell it something; that it died meanwhile is found by whoever listens."""
        try:
            self.line.send(value)
        except OSError:
            return

    def death(self) -> DamrsError:
        """What to say of it after it ended before its work did."""
        self.process.join(_GRACE_SECONDS)
        if self.process.exitcode == -signal.SIGKILL:
            return DamrsError("its process was killed, as the system does when memory runs out", fix="lower --jobs")
        return InternalError(f"its process ended by itself (exit code {self.process.exitcode})", fix="try --jobs 1")


def end_workers(workers: Sequence[WorkerProcess]) -> None:
    """End them, by force where they do not end themselves."""
    for worker in workers:
        worker.line.close()
        worker.process.terminate()
    for worker in workers:
        worker.process.join(_GRACE_SECONDS)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def received(line: Connection) -> Iterator[Any]:
    """What the other end sends, one after the other, until it is gone."""
    while True:
        try:
            value = line.recv()
        except (EOFError, OSError):
            return
        yield value


def _live(work: str, recipe: str, fingerprint: str, folder: str, device: str, line: Connection) -> None:
    """The life of a worker; `work`: the `module:name` of a `Work`, imported here."""
    warnings.simplefilter("ignore")  # the process that started this one has said them

    def open_study() -> Study:
        loaded = recipe_from(json.loads(recipe))
        study = Study(loaded, load_dataset(loaded), Path(folder), torch.device(device))
        if study.dataset.fingerprint() != fingerprint:
            raise DataError("the files changed while they were read", where=study.dataset.name, fix="run it again")
        return study

    with one_thread():
        pkgutil.resolve_name(work)(line, open_study)


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """A process that is started meanwhile ignores Ctrl-C from its first moment."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
