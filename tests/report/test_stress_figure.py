"""The stress plot is a readable PNG, written whole; what is drawn is checked on the figure's own objects."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from damrs_dgl.errors import DataError, StorageError
from damrs_dgl.report.figures import drawing
from damrs_dgl.report.figures.stress import stress_figure


def make_rows(
    noises: tuple[str, ...] = ("visual",), seeds: tuple[int, ...] = (1, 2), models: int = 2
) -> list[dict[str, Any]]:
    return [
        {"system": f"model {m}", "noise": noise, "ratio": ratio, "seed": seed, "recall@20": value, "ndcg@20": value / 2}
        for noise in noises
        for m in range(models)
        for seed in seeds
        for ratio in (0.1, 0.0, 0.2)
        for value in [0.1 - 0.01 * m - 0.1 * ratio + 0.002 * seed]
    ]


def test_a_png_of_the_expected_size(tmp_path: Path) -> None:
    path = stress_figure(make_rows(("visual", "feedback")), tmp_path / "plots" / "stress.png")
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", head[16:24]) == (1260, 1035)
    assert [file.name for file in path.parent.iterdir()] == ["stress.png"]


def test_lines_bands_and_words(tmp_path: Path, drawn: list[Any]) -> None:
    noises = ("visual", "textual", "feedback", "feedback-removed")
    stress_figure(make_rows(noises), tmp_path / "a.png", subtitle="synthetic data")
    (figure,) = drawn
    assert len(figure.axes) == 8
    first, second = figure.axes[:2]
    assert (first.get_ylabel(), second.get_ylabel()) == ("Test Recall@20", "Test NDCG@20")
    titles = [axes.get_title() for axes in figure.axes[::2]]
    assert titles == ["Swapped visual content", "Swapped textual content", "Added wrong feedback", "Removed feedback"]
    assert all("%" in axes.get_xlabel() for axes in figure.axes)
    np.testing.assert_allclose(first.lines[1].get_xdata(), [0, 10, 20])
    np.testing.assert_allclose(first.lines[1].get_ydata(), [0.093, 0.083, 0.073])
    band = first.collections[1].get_paths()[0].vertices
    spread = 0.001  # of two values 0.002 apart: s = 0.002 / sqrt(2), over sqrt(2)
    assert band[:, 1].max() == pytest.approx(0.093 + spread)
    assert band[:, 1].min() == pytest.approx(0.073 - spread)
    words = " ".join(text.get_text() for text in figure.texts)
    assert "synthetic data; line: mean over seeds, band: its standard error" in words
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["model 0", "model 1"]
    assert len({(line.get_color(), line.get_marker()) for line in first.lines}) == 2


def test_one_seed_has_no_band_and_a_model_may_lack_a_noise(tmp_path: Path, drawn: list[Any]) -> None:
    rows = [
        row
        for row in make_rows(("visual", "audio"), seeds=(7,))
        if (row["system"], row["noise"]) != ("model 1", "audio")
    ]
    stress_figure(rows, tmp_path / "a.png")
    (figure,) = drawn
    assert not any(axes.collections for axes in figure.axes)
    assert [axes.get_title() for axes in figure.axes] == [
        *["Swapped visual content"] * 2,
        *["Swapped audio content"] * 2,
    ]
    for axes in figure.axes[2:]:
        assert [len(line.get_xdata()) for line in axes.lines] == [3, 0]


def test_the_name_of_a_long_modality_stays_on_the_sheet(tmp_path: Path, drawn: list[Any]) -> None:
    name = "a_modality_whose_name_has_39_letters_xy"
    stress_figure(make_rows((name,)), tmp_path / "a.png")
    (figure,) = drawn
    for axes in figure.axes:
        box = axes.title.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
        assert axes.get_title().replace("\n", "") == f"Swapped {name} content"


def test_many_models_keep_distinct_looks(tmp_path: Path, drawn: list[Any]) -> None:
    stress_figure(make_rows(models=14, seeds=(1,)), tmp_path / "a.png")
    assert len({(line.get_color(), line.get_marker()) for line in drawn[0].axes[0].lines}) == 14


def test_no_state_of_pyplot_is_touched(tmp_path: Path) -> None:
    stress_figure(make_rows(), tmp_path / "a.png")
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []


def test_bad_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows"):
        stress_figure([], tmp_path / "a.png")
    rows = make_rows()
    del rows[3]["ndcg@20"], rows[3]["ratio"]
    with pytest.raises(DataError, match="row 3 has no ratio, ndcg@20"):
        stress_figure(rows, tmp_path / "a.png")


def test_an_old_file_survives_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_text("old")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(StorageError, match="no room"):
        stress_figure(make_rows(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_importing_the_report_imports_no_matplotlib() -> None:
    files = sorted(Path(drawing.__file__).parents[1].rglob("*.py"))
    lines = [line for file in files for line in file.read_text().splitlines()]
    assert {"stress.py", "html.py"} <= {file.name for file in files}
    assert not [line for line in lines if line.startswith(("import matplotlib", "from matplotlib"))]
