"""SHA-256 of files and of tensors: what is read back is what was written. Processors have instructions for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

_PART = 1 << 20  # bytes read at a time


def file_digest(path: Path, size: int | None = None) -> bytes:
    """SHA-256 of a file, or of its first `size` bytes. Raises OSError where it cannot be read."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_PART))
    left = size
    with path.open("rb") as file:
        while (wanted := _PART if left is None else min(left, _PART)) and (count := file.readinto(buffer[:wanted])):
            digest.update(buffer[:count])
            left = None if left is None else left - count
    return digest.digest()


def tensors_digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """Hex SHA-256 of tensors on the CPU, with their names, types and shapes, and of a text beside them."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name} {tensor.dtype} {list(tensor.shape)};".encode())
        if tensor.numel():
            digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
