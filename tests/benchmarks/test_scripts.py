"""Each script runs on the tiny data set, and its result has a ratio for each side."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from benchmarks import fit_memory
from damrs_dgl.storage.run import RunDirectory


@pytest.mark.parametrize(("name", "sides"), [("training_epoch", 3), ("behavior_graph", 2), ("evaluation", 3)])
def test_a_script_runs(name: str, sides: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    monkeypatch.setattr(sys, "argv", [name, "--data", "tiny", "--repeats", "1", "--json", str(path)])
    importlib.import_module(f"benchmarks.{name}").main()
    results = json.loads(path.read_text())["results"]
    assert len(results) == sides and all(side["ratio"] > 0 for side in results.values())


def test_a_sample_of_rows_stands_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    monkeypatch.setattr(sys, "argv", ["", "--data", "tiny", "--sample", "20", "--repeats", "1", "--json", str(path)])
    importlib.import_module("benchmarks.behavior_graph").main()
    assert json.loads(path.read_text())["rows"] == 20


def test_both_sides_of_fit_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit_memory.prepare(tmp_path, "tiny", ["model.dim=8"])
    for side in fit_memory.SIDES:
        fit_memory.run_side(side, tmp_path, steps=1)
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["peak_gib"] > 0
    assert RunDirectory(tmp_path / "run").history.is_file()


def test_the_gpu_script_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "gpu.json"
    command = ["", "--device", "cpu", "--data", "tiny", "--repeats", "1", "--json", str(path)]
    monkeypatch.setattr(sys, "argv", command)
    importlib.import_module("benchmarks.gpu").main()
    result = json.loads(path.read_text())["results"]["tiny"]
    assert min(result["epoch_seconds"]) > result["seconds_of_bytes"] > 0
    assert result["seconds_of_operations"] > 0
    assert "GSpMM" in (tmp_path / "gpu-profile-tiny.txt").read_text()
