"""`evaluate` and `groups`: the floor beside, users one by one, metrics of other packages, tables to be pasted."""

from __future__ import annotations

import csv
import importlib.metadata
import io
import json
import re
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from damrs_dgl.evaluation import list_metrics as module
from damrs_dgl.storage.manifest import Manifest
from damrs_dgl.storage.run import RunDirectory
from damrs_dgl.studies import judging
from tests.cli_runner import CommandLine

BESIDE = ("coverage", "gini", "novelty", "average_popularity", "diversity")


def metrics_of(line: CommandLine) -> dict[str, Any]:
    return json.loads((line.folder / "run" / "metrics.json").read_text())


def test_the_floor_and_what_is_beside_accuracy_stand_in_the_metrics(fitted: CommandLine) -> None:
    result = fitted.ok("evaluate")
    metrics = metrics_of(fitted)
    assert list(metrics["floor"]) == ["itemknn", "popularity"]
    for found in (metrics, *metrics["floor"].values()):
        assert list(found["validation"]) == list(found["test"])
        assert list(found["beyond_accuracy"]) == [f"{name}@{k}" for name in BESIDE for k in (5, 10, 20, 50)]
    assert metrics["floor"]["popularity"]["beyond_accuracy"]["coverage@5"] < metrics["beyond_accuracy"]["coverage@5"]
    table = result.out[result.out.index("beside the floor") :].splitlines()
    assert [line.split()[0] for line in table[1:]] == ["system", "damrs", "itemknn", "popularity"]
    shown = dict(zip(table[1].split(), table[4].split(), strict=False))
    assert float(shown["coverage"]) == pytest.approx(
        metrics["floor"]["popularity"]["beyond_accuracy"]["coverage@20"], abs=1e-4
    )


def test_the_floor_is_what_such_a_model_comes_to(fitted: CommandLine) -> None:
    floor = metrics_of(fitted)["floor"]
    for name in floor:
        fitted.without("model.dim").ok("-o", f"model.name={name}", "--run", str(fitted.folder / name), "fit")
        own = json.loads((fitted.folder / name / "metrics.json").read_text())
        assert {key: own[key] for key in floor[name]} == floor[name]


def test_the_floor_has_its_defaults_whatever_the_model_has(fitted: CommandLine) -> None:
    """A model that is a system of the floor stands once, and twice where its keys are its own."""
    run, other = fitted.folder / "other", fitted.without("model.dim")
    result = other.ok("-o", "model={name='itemknn', k=1}", "--run", str(run), "fit", "evaluate", "groups")
    assert json.loads((run / "metrics.json").read_text())["floor"] == metrics_of(fitted)["floor"]
    assert re.search(r"^itemknn, defaults +\d", result.out, flags=re.MULTILINE)  # a row of `evaluate`,
    assert re.search(r"users +itemknn +itemknn, defaults +popularity$", result.out, flags=re.MULTILINE)  # of `groups`
    assert {"itemknn", "itemknn, defaults"} < {row["system"] for row in csv.DictReader((run / "groups.csv").open())}
    assert "itemknn, defaults" not in other.ok("-o", "model.name=itemknn", "--run", str(run), "fit", "evaluate").out


def test_the_floor_is_worked_out_once(fitted: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another training on the same data keeps it; another [evaluation] does not."""
    calls: list[str] = []
    real = judging.floor_systems
    monkeypatch.setattr(judging, "floor_systems", lambda: calls.append("floor") or real())
    before = metrics_of(fitted)["floor"]
    fitted.ok("-o", "model.gamma=3", "fit", "evaluate")
    assert not calls
    assert metrics_of(fitted)["floor"] == before
    fitted.ok("-o", "model.gamma=3", "-o", "evaluation.ks=[20]", "evaluate")
    assert calls == ["floor"]


def test_a_model_that_loses_is_told(fitted: CommandLine) -> None:
    """By validation, in one line, whatever test says."""
    path = fitted.folder / "run" / "metrics.json"
    metrics = metrics_of(fitted)

    def warnings(itemknn: float, popularity: float) -> list[str]:
        for name, value in (("itemknn", itemknn), ("popularity", popularity)):
            metrics["floor"][name]["validation"]["recall@20"] = value
            metrics["floor"][name]["test"]["recall@20"] = 1 - value
        path.write_text(json.dumps(metrics))
        manifest = Manifest(path.parent)
        for artefact in ("metrics", "floor"):  # as if it had been written so
            manifest.enter(artefact, manifest.made_from(artefact) or {}, [path])
        manifest.write()
        return [line for line in fitted.ok("evaluate").err.splitlines() if line.startswith("warning")]

    assert warnings(0.0, 0.0) == []  # though both have 1.0 on test
    assert warnings(metrics["validation"]["recall@20"], 0.0) == []  # equal is not lost
    (line,) = warnings(1.0, 0.0)
    own = metrics["validation"]["recall@20"], metrics["test"]["recall@20"]
    assert line == (
        f"warning: demo has validation recall@20 {own[0]:.4f} (test {own[1]:.4f}) "
        "and loses to itemknn with 1.0000 (test 0.0000)"
    )


def test_metrics_of_an_older_version_are_worked_out_anew(fitted: CommandLine) -> None:
    manifest, path = Manifest(fitted.folder / "run"), fitted.folder / "run" / "metrics.json"
    path.write_text('{"validation": {}}')
    parts = manifest.made_from("metrics") or {}
    without = {name: value for name, value in parts.items() if name not in ("the metrics", "the floor")}
    manifest.enter("metrics", without, [path])
    del manifest.artefacts["floor"]
    manifest.write()
    assert "evaluate: written" in fitted.ok("evaluate").err


def test_users_one_by_one(fitted: CommandLine) -> None:
    result = fitted.ok("evaluate", "--per-user")
    assert "per_user.parquet" in result.err
    table = pq.read_table(fitted.folder / "run" / "per_user.parquet")
    metrics = metrics_of(fitted)
    assert table.column_names[:3] == ["user", "split", "training_interactions"]
    assert set(table["split"].to_pylist()) == {"test"}
    assert all(name.startswith("user-") for name in table["user"].to_pylist())
    assert min(table["training_interactions"].to_pylist()) >= 1
    whole = {**metrics["test"], **metrics["beyond_accuracy"]}
    assert set(table.column_names[3:]) == {name for name in whole if name.partition("@")[0] not in ("coverage", "gini")}
    for name in table.column_names[3:]:
        values = [value for value in table[name].to_pylist() if value is not None]
        assert np.mean(values) == pytest.approx(whole[name], rel=1e-9), name
    again = fitted.ok("evaluate", "--per-user").err.splitlines()
    assert "evaluate: up to date" in next(line for line in reversed(again) if not line.startswith("warning: "))


def test_tables_to_be_pasted(fitted: CommandLine) -> None:
    markdown = fitted.ok("evaluate", "--format", "md").out
    assert markdown.startswith("| split | metric | @5 | @10 | @20 | @50 |\n| --- | --- | ---: |")
    assert "\\begin{tabular}" in fitted.ok("groups", "--format", "latex").out
    rows = list(csv.reader(io.StringIO(fitted.ok("groups", "--format", "csv").out)))
    assert rows[0][:4] == ["by", "group", "interactions", "users"]
    fitted.refused("evaluate", "--format", "html", saying=("html", "md"))


def test_groups(fitted: CommandLine) -> None:
    result = fitted.ok("groups")
    run = fitted.folder / "run"
    assert (run / "groups.png").read_bytes().startswith(b"\x89PNG")
    with (run / "groups.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0])[:5] == ["by", "group", "low", "high", "counted"]
    assert {row["system"] for row in rows} == {"damrs", "itemknn", "popularity"}
    assert [row["group"] for row in rows if row["metric"] == "recall@20" and row["system"] == "damrs"] == [
        "new", "less active", "between", "active", "rare", "middling", "popular",
    ]  # fmt: skip
    for name in ("new", "active", "rare", "popular"):
        assert name in result.out


def test_groups_between_cut_points_make_up_the_whole(fitted: CommandLine) -> None:
    fitted.ok("groups", "--cuts", "5,8", "--item-cuts", "10")
    commands = RunDirectory(fitted.folder / "run").commands("groups")
    assert commands == [["groups", "--cuts", "5,8", "--item-cuts", "10"]]
    with (fitted.folder / "run" / "groups.csv").open() as lines:
        rows = [row for row in csv.DictReader(lines) if row["metric"] == "recall@20" and row["system"] == "damrs"]
    assert [row["group"] for row in rows] == ["0 to 4", "5 to 7", "8 and more", "0 to 9", "10 and more"]
    users = [row for row in rows if row["by"] == "users" and row["value"]]
    mean = sum(float(row["value"]) * int(row["users"]) for row in users) / sum(int(row["users"]) for row in users)
    assert mean == pytest.approx(metrics_of(fitted)["test"]["recall@20"])


@pytest.mark.parametrize("cuts", ["5,x", "9,3", "0", "5,5"])
def test_cut_points_that_are_none(fitted: CommandLine, cuts: str) -> None:
    fitted.refused("groups", "--cuts", cuts, saying=("--cuts", repr(cuts), "5,10,20"))


def test_groups_need_a_trained_model(tiny: CommandLine) -> None:
    tiny.refused("groups", saying=("there is no trained model", "run `fit` first"))


def test_a_metric_of_another_package(fitted: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offered by a module of the user's; it stands in every file, and a broken one is a warning."""
    (fitted.folder / "shop_metrics.py").write_text(
        "def first_share(lists, catalogue, k):\n    return lists.hits[:, 0].double()\n"
    )
    monkeypatch.syspath_prepend(str(fitted.folder))
    entries = [EntryPoint(name, f"shop_metrics:{name}", module.ENTRY_POINTS) for name in ("first_share", "missing")]
    real = importlib.metadata.entry_points
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda **chosen: entries if chosen.get("group") == module.ENTRY_POINTS else real(**chosen),
    )
    module._load.cache_clear()
    try:
        result = fitted.ok("evaluate", "--per-user")
    finally:
        monkeypatch.undo()
        module._load.cache_clear()
    assert "evaluate: written" in result.err
    assert "warning: shop_metrics:missing: the metric 'missing' of another package is left out" in result.err
    metrics = metrics_of(fitted)
    assert metrics["beyond_accuracy"]["first_share@20"] == pytest.approx(metrics["test"]["precision@5"], abs=1)
    assert "first share" in result.out
    assert "first_share@20" in pq.read_table(fitted.folder / "run" / "per_user.parquet").column_names
    assert "first_share@20" in metrics["floor"]["popularity"]["beyond_accuracy"]
