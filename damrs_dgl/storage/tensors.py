"""Tensors, and facts about them, in one file that carries a checksum of itself. No pickle.

Each is a safetensors file; numbers that are no tensors stand in its metadata as JSON, and beside them a checksum of
everything in the file. It is replaced whole and vouches for itself, so a process killed at any moment leaves the file
before or the file after, never half of one, and never a sound file that looks damaged.
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

from damrs_dgl.errors import RunError
from damrs_dgl.storage.checksums import tensors_digest
from damrs_dgl.storage.files import private_folder, whole_file


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


def load_tensors(path: Path, *, fix: str | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
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
