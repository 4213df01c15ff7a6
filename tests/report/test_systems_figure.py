"""The figure of systems: means, standard errors, the paper's figures where there are some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from damrs_dgl.errors import DataError
from damrs_dgl.report.figures.systems import systems_figure

ROWS: list[dict[str, Any]] = [
    {"system": "a", "seed": 0, "recall@20": 0.1, "ndcg@20": 0.05, "paper_recall@20": 0.2, "paper_ndcg@20": 0.1},
    {"system": "a", "seed": 1, "recall@20": 0.3, "ndcg@20": 0.15, "paper_recall@20": 0.2, "paper_ndcg@20": 0.1},
    {"system": "b", "seed": 0, "recall@20": 0.4, "ndcg@20": 0.2},
]


def test_points_bars_and_the_paper(tmp_path: Path, drawn: list[Any]) -> None:
    path = systems_figure(ROWS, tmp_path / "a.png", subtitle="synthetic data")
    assert path.read_bytes().startswith(b"\x89PNG")
    left = drawn[0].axes[0]
    assert [text.get_text() for text in left.get_yticklabels()] == ["a", "b"]
    assert left.get_ylim() == (1.5, -0.5)  # the first on top
    first = left.containers[0]
    assert first[0].get_xdata()[0] == pytest.approx(0.2)
    (segment,) = first[2][0].get_segments()
    assert segment[:, 0].tolist() == pytest.approx([0.1, 0.3])  # s = 0.1414, over sqrt(2)
    paper = [line for line in left.lines if line.get_label() == "the paper"]
    assert list(paper[0].get_xdata()) == [0.2]
    words = " ".join(text.get_text() for text in drawn[0].texts)
    assert "synthetic data" in words
    labels = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert set(labels) == {"found here, mean and standard error over seeds", "the paper"}


def test_one_seed_has_no_bars(tmp_path: Path, drawn: list[Any]) -> None:
    systems_figure(ROWS[2:], tmp_path / "a.png")
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["found here"]


def test_no_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows"):
        systems_figure([], tmp_path / "a.png")
