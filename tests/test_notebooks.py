"""The notebooks of docs/: their outputs are stored, small and without errors, and the code of the first one runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))
LARGEST = 200_000  # bytes


def code_cells(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stored(path: Path) -> None:
    """`make notebooks` runs them anew."""
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1)), "not run from top to bottom"
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert outputs
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert path.stat().st_size < LARGEST


def test_the_shop_s_notebook_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.setattr(pyplot, "show", lambda: None)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (path,) = [path for path in NOTEBOOKS if path.stem == "shop"]
    names: dict[str, Any] = {}
    for number, cell in enumerate(code_cells(path), 1):
        source = "".join(cell["source"]).replace("training__epochs=15", "training__epochs=2")
        exec(compile(source, f"shop.ipynb [{number}]", "exec"), names)
    assert names["best"].shape == (2, 5)
    assert (tmp_path / names["folder"].relative_to(tmp_path) / "shop.safetensors").is_file()
