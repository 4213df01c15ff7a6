"""The stages in a chain and one by one: what they leave on disk, what they skip, what makes them work again."""

from __future__ import annotations

import csv
import importlib
import json
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from damrs_dgl.dgl_backend import dgl
from damrs_dgl.factory import known_interactions, load_dataset
from damrs_dgl.recipe import load_recipe
from damrs_dgl.storage.manifest import FORMAT_VERSION
from tests.cli_runner import CommandLine, history_without_times, without_times

CHAIN = ("build-graphs", "fit", "evaluate", "recommend", "--top", "5", "--export-vectors", "stress", "--ratio", "0.1")


def test_the_whole_chain_leaves_every_artefact(tiny: CommandLine) -> None:
    result = tiny.ok(*CHAIN, "--models", "damrs,backbone")
    run = tiny.folder / "run"
    for title in ("graphs of 150 users", "best epoch", "the best items of", "test metrics under noise"):
        assert title in result.out
    _check_graphs(run)
    _check_history_and_metrics(run)
    _check_recommendations(run, tiny)
    _check_stress(run)
    assert not list(run.rglob("*.tmp"))


def _check_graphs(run: Path) -> None:
    graphs, _ = dgl.load_graphs(str(run / "graphs" / "graph.bin"))
    assert set(graphs[0].etypes) == {"interacts", "interacted_by", "visual", "textual", "behavior"}
    summary = json.loads((run / "graphs" / "summary.json").read_text())
    assert summary["nodes"] == {"user": 150, "item": 80}
    assert summary["edges"]["visual"] == graphs[0].num_edges("visual")
    assert summary["synthetic"] is True
    for name, node, count in (("users", "user", 150), ("items", "item", 80)):
        ids = pq.read_table(run / "ids" / f"{name}.parquet")
        assert ids.column_names == [node, "node"]
        assert ids["node"].to_pylist() == list(range(count))


def _check_history_and_metrics(run: Path) -> None:
    with (run / "history.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    terms = [float(rows[0].get(name, 0)) for name in ("feedback", "preference", "relations", "regularization")]
    assert all(terms[:3])
    assert math.isclose(sum(terms), float(rows[0]["loss"]), rel_tol=1e-5)
    metrics = json.loads((run / "metrics.json").read_text())
    best = rows[metrics["best_epoch"] - 1]
    assert metrics["validation"]["recall@20"] == float(best["validation_recall@20"])
    assert 0 < metrics["test"]["ndcg@20"] < 1
    assert metrics["epochs"] == 3
    assert metrics["seed"] == 0
    assert metrics["seconds"] > 0
    assert metrics["peak_memory_mb"] > 50
    assert set(metrics["versions"]) >= {"python", "torch", "dgl", "damrs-dgl"}
    assert metrics["recipe"]["model"]["backbone"]["dim"] == 8
    assert metrics["recipe"]["model"]["alpha"] is not None  # the values that the variant filled in, too


def _check_recommendations(run: Path, tiny: CommandLine) -> None:
    table = pq.read_table(run / "recommendations.parquet")
    assert table.column_names == ["user", "item", "rank", "score"]
    assert [str(kind) for kind in table.schema.types] == ["string", "string", "int32", "float"]
    assert len(table) == 150 * 5
    dataset = load_dataset(load_recipe("demo", [text for text in tiny.options if "=" in text]))
    users = dataset.user_indices(table["user"].to_pylist())
    items = dataset.item_indices(table["item"].to_pylist())
    known = set(zip(*(column.tolist() for column in known_interactions(dataset)), strict=True))
    assert not known & set(zip(users.tolist(), items.tolist(), strict=True))
    vectors = load_file(run / "vectors.safetensors")
    scores = (vectors["users"][users] * vectors["items"][items]).sum(1)
    assert torch.allclose(scores, torch.tensor(table["score"].to_pylist()), atol=1e-5)
    assert table["rank"].to_pylist()[:5] == [1, 2, 3, 4, 5]
    assert all(a >= b for a, b in zip(table["score"].to_pylist()[:4], table["score"].to_pylist()[1:5], strict=True))


def _check_stress(run: Path) -> None:
    with (run / "stress.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0])[:4] == ["system", "noise", "ratio", "seed"]
    cells = [(row["system"], row["noise"], float(row["ratio"]), row["seed"]) for row in rows]
    assert cells == [(m, "feedback", r, "0") for r in (0.0, 0.1) for m in ("damrs", "backbone")]
    test = json.loads((run / "metrics.json").read_text())["test"]
    assert float(rows[0]["recall@20"]) == test["recall@20"]  # the clean training is the one that `fit` did
    assert (run / "stress.png").read_bytes().startswith(b"\x89PNG")


def test_each_stage_alone_takes_up_what_the_one_before_left(tiny: CommandLine) -> None:
    tiny.ok("build-graphs")
    assert "graphs of" not in tiny.ok("fit").out  # not built again
    assert "best epoch" in tiny.ok("evaluate").out
    tiny.ok("recommend", "--top", "2")
    assert len(pq.read_table(tiny.folder / "run" / "recommendations.parquet")) == 300


def test_fit_alone_builds_the_graphs(tiny: CommandLine) -> None:
    assert "graphs of 150 users" in tiny.ok("fit").out
    assert (tiny.folder / "run" / "graphs" / "graph.bin").exists()


def _written(run: Path) -> dict[Path, int]:
    """When each JSON file but the manifest was written."""
    return {path: path.stat().st_mtime_ns for path in run.rglob("*.json") if path.name != "run.json"}


def test_unchanged_stages_say_that_they_are_up_to_date(fitted: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted.ok("stress", "--noise", "feedback", "--ratio", "0.1", "--models", "mf")
    manifest, before = (fitted.folder / "run" / "run.json").read_text(), _written(fitted.folder / "run")
    monkeypatch.setattr("damrs_dgl.training.trainer.Trainer._one_epoch", lambda self: pytest.fail("it trained again"))
    again = fitted.ok(
        "build-graphs", "fit", "evaluate", "stress", "--noise", "feedback", "--ratio", "0.1", "--models", "mf"
    )
    for stage in ("build-graphs", "fit", "evaluate", "stress"):
        assert f"{stage}: up to date" in again.err
    assert _written(fitted.folder / "run") == before
    assert (fitted.folder / "run" / "run.json").read_text() == manifest  # a study's table is drawn and noted again
    assert again.out.count("best epoch") == 1  # one table, not one for fit and one for evaluate


def test_a_changed_setting_is_named_and_its_stages_work_again(fitted: CommandLine) -> None:
    result = fitted.ok("-o", "graphs.k=5", "build-graphs", "fit", "evaluate")
    assert "build-graphs: graphs.k changed, building anew" in result.err
    assert "fit: graphs.k changed, training anew" in result.err
    result = fitted.ok("-o", "graphs.k=5", "-o", "model.gamma=3", "build-graphs", "fit")
    assert "build-graphs: up to date" in result.err
    assert "fit: model.gamma changed, training anew" in result.err
    result = fitted.ok("-o", "graphs.k=5", "-o", "model.gamma=3", "-o", "evaluation.ks=[20]", "fit", "evaluate")
    assert "fit: up to date" in result.err
    assert "evaluate: up to date" not in fitted.ok("-o", "evaluation.ks=[10, 20]", "-o", "graphs.k=5", "fit").err
    assert list(json.loads((fitted.folder / "run" / "metrics.json").read_text())["test"])[:2] == [
        "recall@10",
        "recall@20",
    ]


def test_another_file_format(fitted: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training in it is not touched; graphs and metrics alone are made anew."""
    today = FORMAT_VERSION
    for module in ("storage.run", "storage.manifest", "provenance"):
        monkeypatch.setattr(f"damrs_dgl.{module}.FORMAT_VERSION", 1000)
    before = sorted(fitted.folder.rglob("*"))
    fitted.refused("fit", saying=(f"holds a training in file format {today}", "reads 1000", "choose another --run"))
    assert sorted(fitted.folder.rglob("*")) == before
    for path in (fitted.folder / "run").glob("*.safetensors"):
        path.unlink()
    result = fitted.ok("build-graphs", "fit")
    assert f"is in file format {today}; what is in it is made anew" in result.err
    assert "build-graphs: up to date" not in result.err
    assert "fit: up to date" not in result.err


def test_the_same_seed_gives_the_same_numbers(fitted: CommandLine) -> None:
    first = fitted.folder / "run"
    second = fitted.folder / "second"
    fitted.ok("--run", str(second), "fit", "evaluate")
    assert without_times(first / "metrics.json") == without_times(second / "metrics.json")
    assert history_without_times(first / "history.csv") == history_without_times(second / "history.csv")
    fitted.ok("--run", str(second), "--seed", "1", "fit")
    assert without_times(first / "metrics.json")["test"] != without_times(second / "metrics.json")["test"]


def test_evaluate_and_recommend_after_fit_read_nothing_again(
    tiny: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def counted(module: str, name: str) -> None:
        home = importlib.import_module(module)  # an attribute of the package would be the stage, not its module
        real = getattr(home, name)
        monkeypatch.setattr(home, name, lambda *a, **k: (calls.append(name), real(*a, **k))[1])

    counted("damrs_dgl.stages.workspace", "load_dataset")
    counted("damrs_dgl.stages.graph_artefact", "load_graph")
    counted("damrs_dgl.stages.workspace", "restored_model")
    counted("damrs_dgl.stages.fitted", "scorer_of")
    tiny.ok("build-graphs", "fit", "evaluate", "recommend")
    assert sorted(calls) == ["load_dataset", "scorer_of"]
    calls.clear()
    tiny.ok("evaluate")  # the metrics are there: no graph, no model
    assert calls == ["load_dataset"]


def test_recommend_for_chosen_users(fitted: CommandLine) -> None:
    users = fitted.folder / "users.txt"
    users.write_text("user\nuser-00007\nnobody\nuser-00003\nuser-00007\n\n")
    result = fitted.ok("recommend", "--users", str(users), "--top", "3")
    assert "warning: " in result.err
    assert "1 ids are no users of demo, left out: nobody" in result.err
    table = pq.read_table(fitted.folder / "run" / "recommendations.parquet")
    assert table["user"].to_pylist() == ["user-00007"] * 3 + ["user-00003"] * 3


def test_more_items_than_there_are(fitted: CommandLine) -> None:
    fitted.ok("recommend", "--top", "500")
    table = pq.read_table(fitted.folder / "run" / "recommendations.parquet")
    assert table["rank"].to_pylist()[0] == 1
    assert max(table["rank"].to_pylist()) < 80  # nobody has an empty history
