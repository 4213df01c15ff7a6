"""The manifest of a run (`run.json`): whose data it is of, what each artefact was made from, and its checksums.

This is the one place where that is written down. Files that are written while the manifest is not, checkpoints and
saved vectors, carry both inside them (`training.checkpoint`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from damrs_dgl.errors import RunError
from damrs_dgl.storage.checksums import file_digest
from damrs_dgl.storage.files import read_json, storage_error
from damrs_dgl.storage.sealed import unsealed, write_sealed

FORMAT_VERSION = 7  # of the artefacts; raised when what a stage writes changes its meaning
_FIX = "delete it (graphs and metrics are then made anew, a training is kept), or choose another --run"


class Manifest:
    """What `run.json` in a folder says.

    outdated: the version of the toolkit's file format where it is another one; all the rest is then as of a new run.

    Raises RunError when it is damaged or something else.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "run.json"
        self.outdated: str | None = None
        self.recipe: str | None = None
        self.data: dict[str, Any] | None = None
        self.fingerprint: str | None = None
        self.artefacts: dict[str, dict[str, Any]] = {}
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        stored = read_json(self.path, fix=_FIX)
        version, artefacts, data = stored.get("format", "3 or older"), stored.get("artefacts"), stored.get("data")
        if not isinstance(data, dict) or not _is_table_of_tables(artefacts):
            raise RunError("is not the manifest of a run", where=self.path, fix=_FIX)
        if version != FORMAT_VERSION:
            self.outdated = str(version)
            return
        content = unsealed(stored, self.path, fix=_FIX)
        self.recipe, self.data, self.fingerprint = content["recipe"], data, content["fingerprint"]
        self.artefacts = content["artefacts"]

    def write(self) -> None:
        """Write it, whole or not at all. Raises StorageError."""
        content = {
            "format": FORMAT_VERSION,
            "recipe": self.recipe,
            "data": self.data,
            "fingerprint": self.fingerprint,
            "artefacts": self.artefacts,
        }
        write_sealed(self.path, content)

    def enter(
        self, artefact: str, parts: Mapping[str, Any], files: Sequence[Path], commands: Sequence[Sequence[str]] = ()
    ) -> None:
        """Note an artefact: what it was made from, its files, whose checksums are taken, and the commands' words."""
        try:
            digests = {self._name(file): file_digest(file).hex() for file in files}
        except OSError as error:
            raise storage_error(self.folder, error) from error
        told = {"commands": [list(words) for words in commands]} if commands else {}
        self.artefacts[artefact] = {"parts": dict(parts), "files": digests, **told}

    def made_from(self, artefact: str) -> dict[str, Any] | None:
        """What an artefact was made from; None where it is not there or one of its files is not."""
        missing = artefact in self.artefacts and any(self._missing(name) for name in self.artefacts[artefact]["files"])
        return None if missing else self.recorded_parts(artefact)

    def recorded_parts(self, artefact: str) -> dict[str, Any] | None:
        """What an artefact was made from, be its files there or not; None where none was recorded."""
        entry = self.artefacts.get(artefact)
        return None if entry is None else entry["parts"]

    def commands(self, artefact: str) -> list[list[str]]:
        """The words of each command that an artefact was made by; none where nobody noted any."""
        return list(self.artefacts.get(artefact, {}).get("commands", []))

    def damaged(self, artefact: str) -> Path | None:
        """The first file of an artefact that is not what was written; None where all that are there are."""
        for name, digest in self.artefacts[artefact]["files"].items():
            if not self._missing(name) and not self._is_sound(name, digest):
                return self.folder / name
        return None

    def states(self) -> dict[str, str]:
        """Of every file by its name: "sound", "damaged" or "not there"."""
        files = {name: digest for entry in self.artefacts.values() for name, digest in entry["files"].items()}
        return {
            name: "not there" if self._missing(name) else "sound" if self._is_sound(name, digest) else "damaged"
            for name, digest in files.items()
        }

    def _missing(self, name: str) -> bool:
        return not (self.folder / name).is_file()

    def _is_sound(self, name: str, digest: str) -> bool:
        try:
            return file_digest(self.folder / name).hex() == digest
        except OSError:
            return False

    def _name(self, file: Path) -> str:
        return file.relative_to(self.folder).as_posix()


def _is_table_of_tables(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(entry, dict) for entry in value.values())
