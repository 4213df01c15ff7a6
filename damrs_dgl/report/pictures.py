"""Thumbnails of a user's own pictures, which stand in a folder and are named by item id."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from damrs_dgl.errors import DataError
from damrs_dgl.report.blocks import Picture

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif")
_SIDE = 72  # pixels; twice what is shown, for sharp screens


class PictureFolder:
    """Pictures called `<item id>.jpg` (or .jpeg, .png, .webp, .gif); `missing` counts those asked for in vain.

    Raises DataError where there is no such folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError("no such folder", where=folder, fix="name a folder of pictures called <item id>.jpg")
        self._files = {path.name: path for path in sorted(folder.iterdir()) if path.suffix.lower() in _SUFFIXES}
        self.missing = 0

    def of(self, item: Any) -> Picture | None:
        """The item's thumbnail; None where it has no picture, or one that cannot be read."""
        path = next((self._files[name] for suffix in _SUFFIXES if (name := f"{item}{suffix}") in self._files), None)
        address = _thumbnail(path) if path is not None else None
        if address is None:
            self.missing += 1
            return None
        return Picture(address, f"picture of item {item}")


def _thumbnail(path: Path) -> str | None:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB")
            small.thumbnail((_SIDE, _SIDE))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError):
        return None
    data = io.BytesIO()
    small.save(data, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
