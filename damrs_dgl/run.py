"""The run directory: fixed names, one manifest, and what each artefact was made from.

Every artefact has parts, the named values that it depends on. The manifest (`run.json`) remembers them; a stage
compares, and either says that its artefact is up to date, or says what changed and makes it anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from damrs_dgl.errors import RunError
from damrs_dgl.files import read_json, write_json

FORMAT_VERSION = 3  # of the artefacts; raised when what a stage writes changes its meaning
_SHOWN_CHANGES = 3


def artefact_key(*parts: Any) -> str:
    """A stable hash (16 hex digits) of JSON-able values."""
    text = json.dumps([FORMAT_VERSION, *parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def change_text(names: Sequence[str]) -> str:
    """What changed, in words: "the data, model.dim changed"."""
    more = f" and {len(names) - _SHOWN_CHANGES} more" if len(names) > _SHOWN_CHANGES else ""
    return f"{', '.join(names[:_SHOWN_CHANGES])}{more} changed"


class RunDirectory:
    """One directory that stages read and write. Nothing is made on disk before the first artefact is written.

    Raises
    ------
    RunError: the path is a file, or its manifest cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise RunError("is a file, not a run directory", where=path, fix="name a folder with --run")
        self._manifest = self._read_manifest()

    # Where everything stands. The names are part of the contract with users' scripts.
    @property
    def graph(self) -> Path:
        return self.path / "graphs" / "graph.bin"

    @property
    def graph_summary(self) -> Path:
        return self.path / "graphs" / "summary.json"

    @property
    def user_ids(self) -> Path:
        return self.path / "ids" / "users.parquet"

    @property
    def item_ids(self) -> Path:
        return self.path / "ids" / "items.parquet"

    @property
    def dataset_summary(self) -> Path:
        return self.path / "dataset.json"

    @property
    def history(self) -> Path:
        return self.path / "history.csv"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def per_user(self) -> Path:
        return self.path / "per_user.parquet"

    @property
    def groups_table(self) -> Path:
        return self.path / "groups.csv"

    @property
    def groups_plot(self) -> Path:
        return self.path / "groups.png"

    @property
    def recommendations(self) -> Path:
        return self.path / "recommendations.parquet"

    @property
    def vectors(self) -> Path:
        return self.path / "vectors.safetensors"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def cells(self) -> Path:
        """The finished trainings of all studies."""
        return self.path / "cells"

    @property
    def stress_table(self) -> Path:
        return self.path / "stress.csv"

    @property
    def stress_plot(self) -> Path:
        return self.path / "stress.png"

    @property
    def comparison_table(self) -> Path:
        return self.path / "compare.csv"

    @property
    def comparison_pairs(self) -> Path:
        return self.path / "compare_pairs.csv"

    @property
    def comparison_plot(self) -> Path:
        return self.path / "compare.png"

    @property
    def ablation_table(self) -> Path:
        return self.path / "ablate.csv"

    @property
    def ablation_plot(self) -> Path:
        return self.path / "ablate.png"

    @property
    def audit(self) -> Path:
        """The folder of the audit's tables."""
        return self.path / "audit"

    @property
    def audit_plot(self) -> Path:
        return self.path / "audit.png"

    @property
    def trials(self) -> Path:
        """The finished trials of all searches."""
        return self.path / "trials"

    @property
    def tuning_storage(self) -> Path:
        return self.path / "tune.db"

    @property
    def tuning_table(self) -> Path:
        return self.path / "tune.csv"

    @property
    def tuned_recipe(self) -> Path:
        return self.path / "tuned.toml"

    @property
    def _manifest_path(self) -> Path:
        return self.path / "run.json"

    def _read_manifest(self) -> dict[str, Any]:
        fix = "delete it to make everything anew, or choose another --run"
        if not self._manifest_path.exists():
            return {"recipe": None, "data": None, "artefacts": {}}
        manifest = read_json(self._manifest_path, fix=fix)
        artefacts = manifest.get("artefacts")
        sound = isinstance(artefacts, dict) and all(isinstance(parts, dict) for parts in artefacts.values())
        if not sound or not isinstance(manifest.get("data"), dict):
            raise RunError("is not the manifest of a run", where=self._manifest_path, fix=fix)
        return manifest

    def claim(self, recipe_name: str, data_section: dict[str, Any]) -> None:
        """Make this directory the run of one recipe's data, or check that it is.

        Raises RunError when it belongs to a recipe with another data set: its graphs, ids and models would not fit.
        """
        owner = self._manifest["data"]
        if owner is not None and owner != data_section:
            differing = sorted(k for k in {*owner, *data_section} if owner.get(k) != data_section.get(k))
            raise RunError(
                f"holds a run of recipe {self._manifest.get('recipe')!r}, whose [data] differs: {', '.join(differing)}",
                where=self.path,
                fix="choose another --run",
            )
        if owner is None:
            self._manifest.update(recipe=recipe_name, data=data_section)

    def changes(self, artefact: str, parts: Mapping[str, Any], *files: Path) -> list[str] | None:
        """Names of the parts that differ from what the artefact was made from.

        Empty: it is up to date. None: it is not there, or one of its files is not.
        """
        made_from = self._manifest["artefacts"].get(artefact)
        if made_from is None or not all(file.exists() for file in files):
            return None
        return [name for name in {**made_from, **parts} if parts.get(name) != made_from.get(name)]

    def made_from(self, artefact: str) -> Mapping[str, Any] | None:
        """The parts that an artefact was made from; None where it is not there."""
        found: Mapping[str, Any] | None = self._manifest["artefacts"].get(artefact)
        return found

    def record(self, artefact: str, parts: Mapping[str, Any]) -> None:
        """Note that an artefact is complete and what it was made from (JSON values)."""
        self._manifest["artefacts"][artefact] = dict(parts)
        write_json(self._manifest_path, self._manifest)

    def forget(self, artefact: str) -> None:
        """Note that an artefact is about to be made anew (its files may be of two minds until `record`)."""
        if self._manifest["artefacts"].pop(artefact, None) is not None:
            write_json(self._manifest_path, self._manifest)
