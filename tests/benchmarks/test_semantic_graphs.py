"""The slow form that the content graphs are measured against makes the same graphs, and the benchmark runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.semantic_graphs import dense_neighbors, recall
from damrs_dgl.data.parts import ModalityFeatures
from damrs_dgl.graphs.semantic import semantic_neighbors

ROOT = Path(__file__).parents[2]


def random_features(num_items: int = 90) -> dict[str, ModalityFeatures]:
    """Well separated vectors, some missing in either modality."""
    random = np.random.default_rng(4)
    features = {}
    for name, width in (("visual", 12), ("textual", 7)):
        values = random.normal(0.4, 1, (num_items, width)).astype(np.float32)
        values[random.integers(0, num_items, 4)] = 0
        features[name] = ModalityFeatures(values, ~values.any(1))
    return features


@pytest.mark.parametrize("k", [1, 10, 200])
def test_the_dense_form_makes_the_same_edges(k: int) -> None:
    features = random_features()
    dense = dense_neighbors(features, k=k, dtype=torch.float64)
    for name, pairs in semantic_neighbors(features, k=k).pairs.items():
        assert torch.equal(torch.stack(dense[name]), torch.stack(pairs)), name


def test_recall() -> None:
    exact = {"visual": (torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 2]))}
    found = {"visual": (torch.tensor([0, 1, 1, 2]), torch.tensor([1, 0, 1, 2]))}
    assert recall(found, exact, 3) == {"visual": 0.75}


def test_the_script_compares_ways(tmp_path: Path) -> None:
    kept = tmp_path / "new" / "result.json"
    command = [
        sys.executable,
        "-m",
        "benchmarks.semantic_graphs",
        "--items",
        "60",
        "--dims",
        "visual=300,textual=8",
        "--k",
        "4",
    ]
    command += ["--ways", "exact,projected"]
    done = subprocess.run([*command, "--json", str(kept)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(kept.read_text())
    assert list(result["ways"]) == ["exact", "projected"]
    for way, row in result["ways"].items():
        assert row["recall"] == {"visual": 1.0, "textual": 1.0}, way
        assert 0 < row["peak_gib_before"] <= row["peak_gib"]
        assert f"| {way} |" in done.stdout
    assert result["machine"]["cores"] >= 1
