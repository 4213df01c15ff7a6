"""JSON files that carry a checksum of themselves, so that what is read back is what was written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from damrs_dgl.errors import RunError
from damrs_dgl.storage.files import read_json, without_nan, write_json


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object with its checksum, whole or not at all; NaN and infinity become null. Raises StorageError."""
    content = without_nan(content)
    write_json(path, {**content, "checksum": _checksum(content)})


def read_sealed(path: Path, *, fix: str = "it is made anew") -> dict[str, Any]:
    """Read what `write_sealed` wrote. Raises RunError, with `fix` as the cure, where it is missing or damaged."""
    return unsealed(read_json(path, fix=fix), path, fix=fix)


def unsealed(stored: Mapping[str, Any], path: Path, *, fix: str) -> dict[str, Any]:
    """The content of a sealed file that is read already. Raises RunError where its checksum does not fit."""
    content = {name: value for name, value in stored.items() if name != "checksum"}
    if stored.get("checksum") != _checksum(content):
        raise RunError("is damaged (its checksum does not fit)", where=path, fix=fix)
    return content


def soundness(path: Path, read: Callable[[Path], object]) -> str:
    """Whether a file that carries its own checksum can be read: "sound" or "damaged"."""
    try:
        read(path)
    except RunError:
        return "damaged"
    return "sound"


def _checksum(content: Mapping[str, Any]) -> str:
    """Hex SHA-256 of JSON values, whatever the order of keys."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
