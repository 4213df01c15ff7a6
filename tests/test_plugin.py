"""A system of another package, found through the entry point group `damrs_dgl.models`: see tests/plugin."""

from __future__ import annotations

import csv
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.factory import build_recipe_graph, prepare_training
from damrs_dgl.models import registry
from damrs_dgl.recipe import load_recipe, model_text, recipe_mistakes
from tests.cli_runner import history_without_times, tiny_options, without_times

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "tests" / "plugin"
ENTRY = EntryPoint("biased_mf", "damrs_plugin:BiasedMF", registry.ENTRY_POINTS)


def offer(monkeypatch: pytest.MonkeyPatch, *entries: EntryPoint) -> None:
    """Let installed packages offer these systems, and the registry look again."""
    real = importlib.metadata.entry_points

    def entry_points(**chosen: Any) -> Any:
        return list(entries) if chosen.get("group") == registry.ENTRY_POINTS else real(**chosen)

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    registry._load_all.cache_clear()


@pytest.fixture
def clean_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The registry, put back as it was after the test."""
    registry.models()
    monkeypatch.setattr(registry, "_MODELS", dict(registry._MODELS))
    monkeypatch.setattr(registry, "_UNUSABLE", {})
    monkeypatch.syspath_prepend(str(PLUGIN))
    yield monkeypatch
    monkeypatch.undo()
    registry._load_all.cache_clear()
    sys.modules.pop("damrs_plugin", None)


def test_an_offered_system_is_one_among_the_others(clean_registry: pytest.MonkeyPatch) -> None:
    offer(clean_registry, ENTRY)
    assert "biased_mf" in registry.models()
    recipe = load_recipe("demo", ["model.name=biased_mf", "model.dim=8"])
    assert (recipe.model.dim, recipe.model.decay) == (8, 1e-3)
    assert "Weight of the squared norms" in model_text("biased_mf")
    assert "did you mean model.decay?" in recipe_mistakes("demo", ["model.name=biased_mf", "model.dekay=1"])[0]
    assert 'did you mean "biased_mf"?' in recipe_mistakes("demo", ["model.name=biased-mf"])[0]


def test_it_trains_and_may_be_wrapped(clean_registry: pytest.MonkeyPatch) -> None:
    offer(clean_registry, ENTRY)
    data = synthetic_shop(users=80, items=50, clicks_per_user=8, styles=4, dims={"visual": 6}, seed=1).dataset
    small = ["model.dim=8", "training.epochs=8", "training.learning_rate=0.02", "training.batch_size=128"]
    for names in (["model.name=biased_mf"], ["model.backbone=biased_mf"]):
        recipe = load_recipe("demo", [*names, *small])
        graph = build_recipe_graph(recipe, data).graph
        history = prepare_training(recipe, data, graph, device=torch.device("cpu")).fit().history
        assert history[-1]["feedback"] < 0.95 * history[0]["feedback"], names


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("no_such_package:Model", "(ModuleNotFoundError: No module named 'no_such_package')"),
        ("damrs_plugin:Nothing", "(AttributeError: "),
        ("os:getcwd", "(ValueError: it is no RankingModel)"),
        ("damrs_dgl.models.base:RankingModel", "(ValueError: it has no name and no Config)"),
    ],
)
def test_a_broken_one_is_left_out_and_named(clean_registry: pytest.MonkeyPatch, value: str, said: str) -> None:
    offer(clean_registry, EntryPoint("broken", value, registry.ENTRY_POINTS), ENTRY)
    (error,) = registry.unusable_systems()
    line = str(error)
    assert line.startswith(f"{value}: the system 'broken' of another package is left out (") and said in line
    assert line.endswith("; mend or uninstall that package")
    assert {"biased_mf", "damrs"} <= set(registry.models()) and "broken" not in registry.models()
    assert said in recipe_mistakes("demo", ["model.name=broken"])[0]  # only who asks for it is troubled
    assert recipe_mistakes("demo") == []


def test_two_of_one_name_are_refused(clean_registry: pytest.MonkeyPatch) -> None:
    offer(clean_registry, ENTRY)
    plugin = registry.models()["biased_mf"]
    other = type("Other", (plugin,), {"name": "mf"})
    with pytest.raises(ValueError, match=r"two systems are called 'mf': damrs_dgl.models.mf and "):
        registry.register(other)
    assert registry.register(plugin) is plugin  # twice the same is no harm


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin, installed by pip into a folder of its own."""
    if importlib.util.find_spec("pip") is None or importlib.util.find_spec("setuptools") is None:
        pytest.skip("pip and setuptools are not here")
    folder = tmp_path_factory.mktemp("plugin")
    source = folder / "source"
    shutil.copytree(PLUGIN, source)  # setuptools builds beside the source
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    target = folder / "target"
    done = subprocess.run([*pip, "--target", str(target), str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def test_an_installed_system_trains_resumes_evaluates_and_recommends(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{installed}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}

    def run(folder: str, *arguments: str, epochs: int = 4) -> subprocess.CompletedProcess[str]:
        options = (
            *tiny_options(tmp_path / folder, epochs=epochs),
            "-o",
            "model.name=biased_mf",
            "-o",
            "model.decay=0.01",
        )
        command = [sys.executable, "-m", "damrs_dgl", *options, *arguments]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done

    run("whole", "fit")
    run("parts", "fit", epochs=2)
    resumed = run("parts", "fit", "evaluate", "recommend", "--top", "3", "--export-vectors")
    assert "fit: resuming after epoch 2" in resumed.stderr
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert history_without_times(parts / "history.csv") == history_without_times(whole / "history.csv")
    assert without_times(parts / "metrics.json") == without_times(whole / "metrics.json")
    with (parts / "history.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 4 and float(rows[-1]["feedback"]) < float(rows[0]["feedback"])
    assert json.loads((parts / "metrics.json").read_text())["recipe"]["model"]["decay"] == 0.01
    table = pq.read_table(parts / "recommendations.parquet")
    assert len(table) == 3 * 150 and (parts / "vectors.safetensors").is_file()
    listed = subprocess.run(
        [sys.executable, "-m", "damrs_dgl", "recipes", "show", "biased_mf"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "s_ui = u . i + b_i, trained by BPR." in listed.stdout and "decay = 0.001" in listed.stdout


@pytest.mark.parametrize("name", ["BiasedMF", "biased mf", "a:b", ""])
def test_a_name_that_no_recipe_could_say_is_refused(clean_registry: pytest.MonkeyPatch, name: str) -> None:
    offer(clean_registry, ENTRY)
    other = type("Other", (registry.models()["biased_mf"],), {"name": name})
    with pytest.raises(ValueError, match="a system's name is of small letters"):
        registry.register(other)
