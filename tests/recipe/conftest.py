"""A recipe file from a few lines of TOML."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def recipe_file(tmp_path: Path) -> Callable[[str], Path]:
    """Write TOML to a file whose ``[data]`` is synthetic unless the text has its own, and return its path."""

    def write(text: str) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(text if "[data]" in text else f'{text}\n[data]\nformat = "synthetic"\n', encoding="utf-8")
        return path

    return write
