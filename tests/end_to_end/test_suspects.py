"""`fit --drop-suspects`: a run of its own, whose recipe says what it was trained without."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from damrs_dgl.data.left_out import leave_out_file
from damrs_dgl.errors import DataError
from damrs_dgl.factory import excluded_pairs, known_interactions, load_dataset
from damrs_dgl.recipe import load_recipe
from damrs_dgl.stages.suspects import most_suspect
from tests.cli_runner import CommandLine
from tests.models.builders import tiny_dataset


def test_the_suspects_are_left_out_and_nothing_else(fitted: CommandLine) -> None:
    fitted.ok("audit")
    run = fitted.folder / "run"
    before = {path: path.read_bytes() for path in run.glob("*.safetensors")}
    result = fitted.ok("fit", "--drop-suspects", "0.1")
    assert {path: path.read_bytes() for path in before} == before  # the run itself is as it was
    new = run / "without-suspects-0.1"
    clicks = pq.read_table(run / "audit" / "interactions.parquet")
    dropped = pq.read_table(new / "left_out.parquet")
    pairs = [
        list(zip(table["user"].to_pylist(), table["item"].to_pylist(), strict=True)) for table in (clicks, dropped)
    ]
    count = round(0.1 * len(clicks))
    spared = set(pairs[0][:count]) - set(pairs[1])  # each the last click of its user
    assert set(pairs[1]) <= set(pairs[0][:count])
    assert all(user not in {other for other, _ in pairs[0][count:]} for user, _ in spared)
    recipe = load_recipe(new / "recipe.toml")
    written = {"epochs", "batch_size", "learning_rate"}
    assert recipe.training.model_fields_set == written  # else a study there would train others by DA-MRS's own values
    dataset = load_dataset(recipe)
    assert len(dataset.train) + len(dropped) == len(clicks) and len(dataset.left_out) == len(dropped)
    metrics = json.loads((new / "metrics.json").read_text())
    assert metrics["recipe"]["data"]["left_out"] == str(new / "left_out.parquet")
    assert "all clicks alike, and without" in result.out and "recommend" in result.err
    graph = json.loads((new / "graphs" / "summary.json").read_text())
    assert graph["edges"]["interacts"] == len(dataset.train)


def test_both_runs_stand_side_by_side_at_the_length_nearest_to_20(fitted: CommandLine) -> None:
    lists = ("-o", "evaluation.ks=[5, 10]", "-o", "training.monitor=recall@10")
    fitted.ok(*lists, "fit", "audit")
    out = fitted.ok(*lists, "fit", "--drop-suspects", "0.1").out
    table = out[out.index("all clicks alike, and without") :].splitlines()[2:6]
    run = fitted.folder / "run"
    before, after = (json.loads((at / "metrics.json").read_text()) for at in (run, run / "without-suspects-0.1"))
    wanted = [(split, name) for split in ("validation", "test") for name in ("recall@10", "ndcg@10")]
    assert [row.split()[:4] for row in table] == [
        [split, name, f"{before[split][name]:.4f}", f"{after[split][name]:.4f}"] for split, name in wanted
    ]


def test_the_new_run_goes_on_and_never_shows_what_was_left_out(fitted: CommandLine) -> None:
    fitted.ok("audit")
    fitted.ok("fit", "--drop-suspects", "0.2")
    new = fitted.folder / "run" / "without-suspects-0.2"
    alone = CommandLine(fitted.capsys, fitted.monkeypatch, fitted.folder)
    again = alone.ok("--recipe", str(new / "recipe.toml"), "--run", str(new), "fit", "recommend", "--top", "80")
    assert "fit: up to date" in again.err and "left out: nothing learns from them" in again.err
    shown = pq.read_table(new / "recommendations.parquet")
    pairs = set(zip(shown["user"].to_pylist(), shown["item"].to_pylist(), strict=True))
    left_out = pq.read_table(new / "left_out.parquet")
    assert not pairs & set(zip(left_out["user"].to_pylist(), left_out["item"].to_pylist(), strict=True))


def test_what_is_left_out_already_stays_out(fitted: CommandLine) -> None:
    fitted.ok("audit")
    fitted.ok("fit", "--drop-suspects", "0.1")
    new = fitted.folder / "run" / "without-suspects-0.1"
    alone = CommandLine(fitted.capsys, fitted.monkeypatch, fitted.folder)
    alone.ok("--recipe", str(new / "recipe.toml"), "--run", str(new), "audit", "fit", "--drop-suspects", "0.1")
    first, second = (
        set(zip(*(column.to_pylist() for column in pq.read_table(folder / "left_out.parquet").columns), strict=True))
        for folder in (new, new / "without-suspects-0.1")
    )
    assert first < second


def test_weights_are_one_minus_the_suspicion(fitted: CommandLine) -> None:
    fitted.ok("audit")
    result = fitted.ok("fit", "--reweight-suspects")
    new = fitted.folder / "run" / "reweighted-suspects"
    clicks = pq.read_table(fitted.folder / "run" / "audit" / "interactions.parquet")
    weights = pq.read_table(new / "click_weights.parquet")
    assert weights["user"].to_pylist() == clicks["user"].to_pylist()
    assert np.allclose(weights["weight"].to_numpy(), 1 - clicks["suspicion"].to_numpy(), atol=1e-6)
    dataset = load_dataset(load_recipe(new / "recipe.toml"))
    assert dataset.train.weights is not None and len(dataset.train) == len(clicks)
    first = clicks.slice(0, 1).to_pylist()[0]
    user, item = dataset.user_indices([first["user"]])[0], dataset.item_indices([first["item"]])[0]
    place = (dataset.train.users == int(user)) & (dataset.train.items == int(item))
    assert float(dataset.train.weights[place]) == np.float32(1 - first["suspicion"])
    assert "by 1 - suspicion" in result.out
    fitted.refused("fit", "--reweight-suspects", "--drop-suspects", "0.1", saying=("one at a time",))


def test_a_closed_form_cannot_weigh(tiny: CommandLine) -> None:
    model = ("-o", "model.name=itemknn")
    cli = tiny.without("model.dim")
    cli.ok(*model, "fit", "audit")
    cli.refused(*model, "fit", "--reweight-suspects", saying=("itemknn", "cannot weigh", "--drop-suspects"))
    assert not (tiny.folder / "run" / "reweighted-suspects").exists()  # refused before anything is written


def test_a_blend_weighs_where_all_that_is_inside_does(tiny: CommandLine) -> None:
    mixed = ("-o", "model={name='blend', members={a={name='mf'}, b={name='itemknn'}}}")
    trained = ("-o", "model={name='blend', members={a={name='mf'}, b={name='lightgcn'}}}")
    cli = tiny.without("model.dim")
    cli.ok(*mixed, "fit", "audit")
    cli.refused(*mixed, "fit", "--reweight-suspects", saying=("itemknn", "cannot weigh"))
    assert "by 1 - suspicion" in cli.ok(*trained, "fit", "audit", "fit", "--reweight-suspects").out


def test_the_command_to_go_on_with_bears_spaces(fitted: CommandLine) -> None:
    run = fitted.folder / "a run"
    (fitted.folder / "run").rename(run)
    result = fitted.ok("--run", str(run), "audit", "--scorer", "ease", "fit", "--drop-suspects", "0.1")
    assert "suspects by ease" in result.out
    command = result.err.partition("go on with `")[2].partition("`")[0]
    assert shlex.split(command)[4] == str(run / "without-suspects-0.1")
    assert f"stages behind it in this line are of {run}" in result.err
    states = fitted.ok("--run", str(run), "verify")
    assert "without-suspects-0.1/left_out.parquet" in states.out and "left_out" not in states.err


def test_without_an_audit_or_with_another_trainings_it_is_refused(fitted: CommandLine) -> None:
    fitted.refused("fit", "--drop-suspects", "0.1", saying=("there is no audit", "run `audit` first"))
    fitted.ok("audit")
    fitted.ok("-o", "training.epochs=12", "fit")
    fitted.refused(
        *("-o", "training.epochs=12", "fit", "--drop-suspects", "0.1"),
        saying=("the audit is of another training", "run `audit` again"),
    )
    fitted.refused("fit", "--drop-suspects", "0", saying=("--drop-suspects",))


def test_a_run_may_be_named_from_where_one_stands(tiny: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny.folder)
    here = ("--run", "here")
    tiny.ok(*here, "fit", "audit", "fit", "--drop-suspects", "0.1", "fit", "--reweight-suspects")
    for name in ("without-suspects-0.1", "reweighted-suspects"):
        run = Path("here", name)
        assert (run / "metrics.json").exists()
        assert "sound" in tiny.ok("--recipe", str(run / "recipe.toml"), "--run", str(run), "evaluate", "verify").out


def test_each_user_keeps_a_click() -> None:
    data = tiny_dataset()
    users = data.train.users.numpy()
    order = np.random.default_rng(0).permutation(len(users))
    chosen = most_suspect(data, order, len(order))
    assert len(chosen) == len(users) - len(np.unique(users))
    kept = np.setdiff1d(order, chosen)
    place = np.argsort(order)
    for click in kept:  # the one that is suspected least
        assert place[click] == place[users == users[click]].max()
    assert most_suspect(data, order, 3).tolist() == order[:3].tolist()


@pytest.mark.parametrize("protocol", ["paper", "unseen"])
def test_what_is_left_out_stays_known(protocol: str, tmp_path: Path) -> None:
    recipe = load_recipe("demo", [f"evaluation.protocol={protocol}"])
    data = tiny_dataset()
    rows = {"user": data.user_ids.take(pa.array([int(data.train.users[0])])), "item": ["i00"]}
    rows["item"] = data.item_ids.take(pa.array([int(data.train.items[0])]))
    pq.write_table(pa.table(rows), tmp_path / "out.parquet")
    less = leave_out_file(data, tmp_path / "out.parquet")
    assert less.fingerprint() != data.fingerprint() and len(less.train) == len(data.train) - 1

    def pairs(columns: tuple[object, object]) -> set[tuple[int, int]]:
        return set(zip(*(column.tolist() for column in columns), strict=True))  # type: ignore[attr-defined]

    for split in ("validation", "test"):
        assert pairs(excluded_pairs(recipe, less, split)) == pairs(excluded_pairs(recipe, data, split))
    assert pairs(known_interactions(less)) == pairs(known_interactions(data))


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    data = tiny_dataset()
    path = tmp_path / "out.parquet"
    with pytest.raises(DataError, match="no such file"):
        leave_out_file(data, path)
    path.write_bytes(b"PAR")
    with pytest.raises(DataError, match="cannot be read"):
        leave_out_file(data, path)
    pq.write_table(pa.table({"user": ["u00"]}), path)
    with pytest.raises(DataError, match="cannot be read as a table of user and item"):
        leave_out_file(data, path)
    pq.write_table(pa.table({"user": ["u00", "nobody"], "item": ["i99", "i00"]}), path)
    with pytest.raises(DataError, match="2 of its 2 rows are no training click"):
        leave_out_file(data, path)


def test_a_run_on_weighed_clicks_goes_on_like_any_other(fitted: CommandLine) -> None:
    """The floor, which cannot heed weights, stands beside it in every study; suspects are found and dropped there."""
    fitted.ok("audit", "fit", "--reweight-suspects")
    new = fitted.folder / "run" / "reweighted-suspects"
    alone = CommandLine(fitted.capsys, fitted.monkeypatch, fitted.folder)
    own = ("--recipe", str(new / "recipe.toml"), "--run", str(new))
    assert "itemknn" in alone.ok(*own, "groups").out
    alone.ok(*own, "compare", "--models", "damrs")
    alone.ok(*own, "audit", "--top", "0", "fit", "--drop-suspects", "0.05")
    assert len(pq.read_table(new / "without-suspects-0.05" / "left_out.parquet"))


def test_the_run_may_be_moved_with_the_runs_inside_it(fitted: CommandLine) -> None:
    def own(run: Path) -> tuple[str, ...]:
        return ("--recipe", str(run / "recipe.toml"), "--run", str(run))

    fitted.ok("audit", "fit", "--reweight-suspects")
    alone = CommandLine(fitted.capsys, fitted.monkeypatch, fitted.folder)
    run = fitted.folder / "run"
    alone.ok(*own(run / "reweighted-suspects"), "audit", "fit", "--drop-suspects", "0.1")
    run.rename(fitted.folder / "elsewhere")
    new = fitted.folder / "elsewhere" / "reweighted-suspects"
    for inner in (new, new / "without-suspects-0.1"):
        assert "up to date" in alone.ok(*own(inner), "fit").err
