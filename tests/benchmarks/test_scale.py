"""The scale benchmark from one end to the other, at a tiny size and in one process: its table, its JSON, its figure."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import scale


def here(stage: str, folder: Path, options: argparse.Namespace, items: int) -> dict[str, Any]:
    if stage == "make":
        scale.make(folder, items, options.dim)
        return {}
    return {**scale.STAGES[stage](folder, options), "peak_gib": 1.0}


@pytest.mark.parametrize("content", ["none", "exact"])
def test_a_tiny_run(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scale, "in_own_process", here)
    paths = ["--json", str(tmp_path / "a.json"), "--plot", str(tmp_path / "a.png")]
    changes = [
        "-o",
        "model.sampled_softmax_above=300",
        "-o",
        "model.softmax_sample=20",
        "-o",
        "training.batch_size=64",
    ]
    arguments = ["scale", "--items", "400", "--steps", "1", "--dim", "8", "--semantic", content, *paths, *changes]
    monkeypatch.setattr(sys, "argv", arguments)
    scale.main()
    printed = capsys.readouterr().out
    assert printed.count("| 400 |") == 1 and "extrapolated" in printed
    assert ("not built" in printed) == (content == "none")
    (row,) = json.loads((tmp_path / "a.json").read_text())["rows"]
    step = row["step"]
    assert step["softmax_sample"] == 20
    assert step["steps"] == -(-row["graphs"]["interactions"] // 64)
    assert step["extrapolated_epoch_hours"] == pytest.approx(step["steps"] * step["seconds"] / 3600)
    assert step["parameters"] == (400 + 2000) * 64
    assert (tmp_path / "a.png").stat().st_size > 10_000
