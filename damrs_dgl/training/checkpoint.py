"""What training leaves on disk: the last full epoch to resume from, and the best epoch's weights. No pickle.

Both are safetensors files; numbers that are no tensors stand in the file's metadata as JSON, and beside them a checksum
of everything in the file. Each is replaced whole and vouches for itself, so a process killed at any moment leaves the
epoch before or the epoch after, never half of one, and never a sound file that looks damaged.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from damrs_dgl.checksums import tensors_digest
from damrs_dgl.errors import RunError
from damrs_dgl.files import private_folder, whole_file

RESTART = "run `fit --restart` to train anew"


def save_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and JSON-able facts as one safetensors file with a checksum, whole or not at all.

    Raises StorageError when there is no room or no permission.
    """
    written = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(facts, allow_nan=False)
    with whole_file(path) as temporary, private_folder(temporary) as folder:
        try:
            save_file(written, folder / "file", {"facts": text, "checksum": tensors_digest(written, text)})
        except SafetensorError as error:  # it has the system's error in its text alone; `whole_file` words all of them
            full = f"os error {errno.ENOSPC}" in str(error)
            raise OSError(errno.ENOSPC if full else errno.EIO, str(error)) from error
        (folder / "file").replace(temporary)


def load_tensors(path: Path, *, fix: str = RESTART) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote. Raises RunError when it is missing, damaged, cut short or something else."""
    if not path.is_file():
        raise RunError("not there", where=path, fix=fix)
    try:
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no iterator)
        text = metadata["facts"]
        facts = json.loads(text)
    except (SafetensorError, KeyError, ValueError, OSError, RecursionError) as error:
        raise RunError(f"is damaged or cut short ({type(error).__name__}: {error})", where=path, fix=fix) from error
    if "checksum" not in metadata:
        raise RunError("has no checksum; an older damrs-dgl or another program wrote it", where=path, fix=fix)
    if tensors_digest(tensors, text) != metadata["checksum"]:
        raise RunError("is damaged (its checksum does not fit)", where=path, fix=fix)
    return tensors, facts


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
        weights, facts = load_tensors(self.best_path)
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
        tensors, facts = load_tensors(self.last_path)
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
