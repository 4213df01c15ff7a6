"""The run directory: fixed names, one manifest, one writer, and what each artefact was made from.

Every artefact has parts, the named values that it depends on. The manifest (`run.json`) remembers them, and a checksum
of each file; a stage compares, and either says that its artefact is up to date, or says what changed or is damaged and
makes it anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from damrs_dgl.errors import RunError
from damrs_dgl.storage.locking import RunLock, clear_leftovers
from damrs_dgl.storage.manifest import FORMAT_VERSION, Manifest

_SHOWN_CHANGES = 3


def artefact_key(*parts: Any) -> str:
    """A stable hash (16 hex digits) of JSON-able values."""
    text = json.dumps([FORMAT_VERSION, *parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def change_text(names: Sequence[str]) -> str:
    """What changed, in words: "the data, model.dim changed"."""
    more = f" and {len(names) - _SHOWN_CHANGES} more" if len(names) > _SHOWN_CHANGES else ""
    return f"{', '.join(names[:_SHOWN_CHANGES])}{more} changed"


def _differing(made_from: Mapping[str, Any], parts: Mapping[str, Any]) -> list[str]:
    return [name for name in {**made_from, **parts} if parts.get(name) != made_from.get(name)]


@dataclass(frozen=True)
class StudyFiles:
    """Where a study's rows, its pairs of systems and its picture are kept; not every study has all three."""

    table: Path
    pairs: Path
    plot: Path


class RunDirectory:
    """One directory that stages read and write. Nothing is made on disk before the first artefact is written.

    Raises
    ------
    RunError: the path is a file, its manifest cannot be read, or it holds a training in another file format.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise RunError("is a file, not a run directory", where=path, fix="name a folder with --run")
        self.lock = RunLock(self.path)
        self.fingerprint: str | None = None  # of the data, once they were read; recorded with the next artefact
        self._manifest = self._read_manifest()
        self._claim: tuple[str, dict[str, Any], Callable[[], str]] | None = None

        # The names are part of the contract with users' scripts.
        self.graph = self.path / "graphs" / "graph.bin"
        self.graph_summary = self.path / "graphs" / "summary.json"
        self.user_ids = self.path / "ids" / "users.parquet"
        self.item_ids = self.path / "ids" / "items.parquet"
        self.dataset_summary = self.path / "dataset.json"
        self.history = self.path / "history.csv"
        self.metrics = self.path / "metrics.json"
        self.per_user = self.path / "per_user.parquet"
        self.recommendations = self.path / "recommendations.parquet"
        self.vectors = self.path / "vectors.safetensors"
        self.report = self.path / "report.html"
        self.cells = self.path / "cells"  # the finished trainings of all studies
        self.audit = self.path / "audit"  # the folder of the audit's tables
        self.audit_plot = self.path / "audit.png"
        self.trials = self.path / "trials"  # the finished trials of all searches
        self.tuning_storage = self.path / "tune.db"
        self.tuned_recipe = self.path / "tuned.toml"

    def study(self, name: str) -> StudyFiles:
        """The files of the study whose stage has that name; these names, too, are part of the contract."""
        return StudyFiles(self.path / f"{name}.csv", self.path / f"{name}_pairs.csv", self.path / f"{name}.png")

    def asked_trials(self, parts: Mapping[str, Any]) -> Path:
        """Which searches asked for which trials of a recipe, by what its results are made from."""
        return self.trials / f"{artefact_key('searches', parts)}.searches.json"

    @property
    def outdated(self) -> str | None:
        """The version of the file format that the folder was written in, where it is not today's."""
        return self._manifest.outdated

    def _read_manifest(self) -> Manifest:
        manifest = Manifest(self.path)
        if manifest.outdated and any(self.path.rglob("*.safetensors")):
            raise RunError(
                f"holds a training in file format {manifest.outdated}, and this damrs-dgl reads {FORMAT_VERSION}",
                where=self.path,
                fix="choose another --run, or delete the folder to train anew",
            )
        return manifest

    def claim(self, recipe_name: str, data_section: dict[str, Any], fingerprint: Callable[[], str]) -> None:
        """Make this directory the run of one recipe's data, or check that it is.

        Where [data] is not what it was, as after data or project were moved, the data's `fingerprint` decides; it is
        asked for only then. Raises RunError when it is another data set: its graphs, ids and models would not fit.
        """
        manifest, owner = self._manifest, self._manifest.data
        if owner is not None and owner != data_section:
            differing = sorted(k for k in {*owner, *data_section} if owner.get(k) != data_section.get(k))
            if "format" in differing or manifest.fingerprint is None or fingerprint() != manifest.fingerprint:
                raise RunError(
                    f"holds a run of recipe {manifest.recipe!r} on other data: {', '.join(differing)} of [data] differ",
                    where=self.path,
                    fix="choose another --run",
                )
        if owner != data_section:
            manifest.recipe, manifest.data = recipe_name, data_section
        self._claim = recipe_name, data_section, fingerprint

    def begin_writing(self, command: str) -> str | None:
        """Become the folder's only writer, and read again what the one before wrote.

        Returns what to tell the user where a killed process held the lock. Raises RunBusyError while another process
        writes, StorageError where the folder cannot be written.
        """
        if self.lock.held:
            return None
        taken_over = self.lock.acquire(command)
        clear_leftovers(self.path)
        self._manifest = self._read_manifest()
        if self._claim is not None:
            self.claim(*self._claim)
        return taken_over

    def changes(self, artefact: str, parts: Mapping[str, Any], *files: Path) -> list[str] | None:
        """Names of the parts that differ from what the artefact was made from.

        Empty: it is up to date. None: it is not there, or one of its files or of `files` is not.
        """
        made_from = self._manifest.made_from(artefact)
        if made_from is None or not all(file.exists() for file in files):
            return None
        return _differing(made_from, parts)

    def recorded_parts(self, artefact: str) -> Mapping[str, Any] | None:
        """The parts that an artefact was made from, be its files there or not; None where none was recorded."""
        return self._manifest.recorded_parts(artefact)

    def commands(self, artefact: str) -> list[list[str]]:
        """The words of the commands that make an artefact again, such as ["compare", "--seeds", "3"]; none of most."""
        return self._manifest.commands(artefact)

    def damaged(self, artefact: str) -> Path | None:
        """The first file of a recorded artefact that is not what was written."""
        return self._manifest.damaged(artefact)

    def refusal(self, artefact: str, parts: Mapping[str, Any], *, other: str = "other settings") -> str | None:
        """Why a recorded artefact is not shown, such as "of other settings (model.dim changed)" or "damaged (a.csv)".

        None where it may be: it is made from these parts and as it was written, or nothing is known of it. That one of
        its files is gone speaks against none of the others.
        """
        made_from = self._manifest.recorded_parts(artefact)
        if made_from is None:
            return None
        if changes := _differing(made_from, parts):
            return f"of {other} ({change_text(changes)})"
        damaged = self.damaged(artefact)
        return f"damaged ({damaged.name})" if damaged else None

    def states(self) -> dict[str, str]:
        """Of every recorded file, by its name inside the folder: "sound", "damaged" or "not there"."""
        return self._manifest.states()

    def is_sound(self, artefact: str, parts: Mapping[str, Any], warn: Callable[[str], None]) -> bool:
        """Whether an artefact is there, made from these parts, and as it was written; `warn` is told of damage."""
        if self.changes(artefact, parts) != []:
            return False
        damaged = self.damaged(artefact)
        if damaged is not None:
            warn(f"{damaged}: is damaged (its checksum does not fit); making the {artefact} anew")
        return damaged is None

    @contextmanager
    def making(
        self, artefact: str, parts: Mapping[str, Any], *files: Path, commands: Sequence[Sequence[str]] = ()
    ) -> Iterator[None]:
        """Around the writing of an artefact's files: forgotten before, recorded with checksums when all are whole.

        One of the files may be missing then: a picture of nothing is not drawn.
        """
        self.forget(artefact)
        yield
        self.record(artefact, parts, *(file for file in files if file.exists()), commands=commands)

    def record(
        self, artefact: str, parts: Mapping[str, Any], *files: Path, commands: Sequence[Sequence[str]] = ()
    ) -> None:
        """Note that an artefact is complete, what it was made from (JSON values), and its files' checksums.

        commands: that make it again, the words of each: a stage and the options that its files show. They are for
        people, and say nothing of whether it is up to date.
        """
        self._manifest.enter(artefact, parts, files, commands)
        self._manifest.fingerprint = self.fingerprint or self._manifest.fingerprint
        self._manifest.write()

    def forget(self, *artefacts: str) -> None:
        """Drop artefacts' entries before they are made anew: after a crash, old and new files do not pass as one."""
        if [name for name in artefacts if self._manifest.artefacts.pop(name, None) is not None]:
            self._manifest.write()
