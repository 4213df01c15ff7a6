"""What training leaves on disk: the last full epoch to resume from, and the best epoch's weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from damrs_dgl.errors import RunError
from damrs_dgl.storage.tensors import load_tensors, save_tensors

RESTART = "run `fit --restart` to train anew"


class CheckpointStore:
    """The two files of a training in a run directory.

    Parameters
    ----------
    folder: where they stand.
    key: hash of everything that training depends on; a checkpoint with another key is not resumed.
    member_keys: the same of the systems inside the model, which may depend on less; by default the key.
    """

    def __init__(self, folder: Path, key: str, member_keys: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.last_path = folder / "checkpoint.safetensors"
        self.best_path = folder / "model.safetensors"
        self.key = key
        self.member_keys = member_keys or {}

    def of_member(self, name: str) -> CheckpointStore:
        """The store of a system inside the model, in a folder below."""
        return CheckpointStore(self.folder / "members" / name, self.member_keys.get(name, self.key))

    def save_best(self, weights: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Keep the best epoch's weights and what is known of it."""
        save_tensors(self.best_path, weights, {**facts, "key": self.key})

    def load_best(self, *, fix: str = "run `fit` first") -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The best epoch's weights. Raises RunError when they are missing, damaged or of another training."""
        weights, facts = load_tensors(self.best_path, fix=RESTART)
        if facts.get("key") != self.key:
            raise RunError("belongs to a training with other settings or data", where=self.best_path, fix=fix)
        return weights, facts

    def save_last(self, parts: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, Any]) -> None:
        """Keep the state after a full epoch: named groups of tensors, and the facts that resuming needs."""
        tensors = {f"{part}:{name}": tensor for part, group in parts.items() for name, tensor in group.items()}
        save_tensors(self.last_path, tensors, {**facts, "key": self.key})

    def load_last(self) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
        """The state after the last full epoch, or None without one of this training. Raises RunError if damaged."""
        if not self.last_path.exists():
            return None
        tensors, facts = load_tensors(self.last_path, fix=RESTART)
        if facts.get("key") != self.key:
            return None
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            part, _, key = name.partition(":")
            parts.setdefault(part, {})[key] = tensor
        return parts, facts

    def clear(self) -> None:
        """Remove both files, to train anew."""
        for path in (self.last_path, self.best_path):
            path.unlink(missing_ok=True)
        for folder in self.folder.glob("members/*"):
            CheckpointStore(folder, self.key).clear()
