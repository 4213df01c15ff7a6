"""`stress`: ratio 0 is always there, finished trainings survive an interruption and are not run again."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest
import torch

from damrs_dgl.data.noise import corrupt
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.storage.run import RunDirectory
from damrs_dgl.studies.results import CellResult
from damrs_dgl.studies.study import Cell
from damrs_dgl.studies.training import CellTrainer
from tests.cli_runner import CommandLine

ONE_EPOCH = ("-o", "training.epochs=1")
TWO_MODELS = (*ONE_EPOCH, "stress", "--noise", "feedback", "--ratio", "0.2", "--models", "mf,LightGCN")


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "run" / "stress.csv").open() as lines:
        return list(csv.DictReader(lines))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    """The cells that were trained, as they come."""
    cells: list[Cell] = []
    real: Callable[..., CellResult] = CellTrainer.train

    def train(trainer: CellTrainer, cell: Cell) -> CellResult:
        cells.append(cell)
        return real(trainer, cell)

    monkeypatch.setattr(CellTrainer, "train", train)
    return cells


def test_noisy_content_is_nothing_to_a_system_that_reads_none(tiny: CommandLine, trained: list[Cell]) -> None:
    """LightGCN and ItemKNN of clicks are trained on clean data alone, and both their rows are there."""
    models = ("--models", "lightgcn,itemknn,vbpr")
    tiny.ok(*ONE_EPOCH, "stress", "--noise", "visual", "--ratio", "0.2", *models)
    assert [(cell.system, cell.noise) for cell in trained] == [
        ("lightgcn", "none"), ("itemknn", "none"), ("vbpr", "none"), ("vbpr", "visual"),
    ]  # fmt: skip
    rows = {(row["system"], float(row["ratio"])): row for row in _rows(tiny.folder)}
    assert rows["lightgcn", 0.2]["recall@20"] == rows["lightgcn", 0.0]["recall@20"]
    assert rows["lightgcn", 0.2]["noise"] == "visual"


def test_finished_trainings_survive_an_interruption(
    tiny: CommandLine, trained: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = CellTrainer.train

    def stopped(trainer: CellTrainer, cell: Cell) -> CellResult:
        if len(trained) == 1:
            raise KeyboardInterrupt
        return real(trainer, cell)

    with monkeypatch.context() as patch:
        patch.setattr(CellTrainer, "train", stopped)
        result = tiny(*TWO_MODELS)
    assert result.code == 130
    assert result.err.splitlines()[-1] == "stopped; the same command goes on after what is finished"
    assert not (tiny.folder / "run" / "stress.csv").exists()

    assert "stress: 1 of 4 trainings are there already" in tiny.ok(*TWO_MODELS).err
    assert trained == [
        Cell("mf"),
        Cell("lightgcn"),
        Cell("mf", noise="feedback", ratio=0.2),
        Cell("lightgcn", noise="feedback", ratio=0.2),
    ]
    first = (tiny.folder / "run" / "stress.csv").read_bytes()
    assert "stress: up to date" in tiny.ok(*TWO_MODELS).err
    assert len(trained) == 4
    assert (tiny.folder / "run" / "stress.csv").read_bytes() == first


def test_an_interrupted_study_gives_the_same_numbers(tiny: CommandLine, trained: list[Cell]) -> None:
    tiny.ok(*TWO_MODELS)
    whole = {(row["system"], row["ratio"]): row["recall@20"] for row in _rows(tiny.folder)}
    cells = sorted((tiny.folder / "run" / "cells").glob("*.json"))
    for path in cells[:2]:
        path.unlink()
    tiny.ok(*TWO_MODELS)
    assert len(trained) == 6
    assert {(row["system"], row["ratio"]): row["recall@20"] for row in _rows(tiny.folder)} == whole


def test_several_noises_ratios_and_seeds(tiny: CommandLine, trained: list[Cell]) -> None:
    several = (*ONE_EPOCH, "stress", "--noise", "feedback-removed", "--noise", "visual", "--ratio", "0.1")
    result = tiny.ok(*several, "--ratio", "0.3", "--models", "vbpr", "--seeds", "2")
    rows = _rows(tiny.folder)
    expected = [(n, r, s) for n in ("feedback-removed", "visual") for r in (0.0, 0.1, 0.3) for s in (0, 1)]
    assert sorted((row["noise"], float(row["ratio"]), int(row["seed"])) for row in rows) == sorted(expected)
    assert len(trained) == 2 + 2 * 2 * 2  # clean data is trained once for both kinds of noise
    assert "±" in result.out
    (command,) = RunDirectory(tiny.folder / "run").commands("stress")
    assert command == [*several[2:], "--ratio", "0.3", "--models", "vbpr", "--seeds", "2"]
    clean = [row["recall@20"] for row in rows if row["ratio"] == "0.0" and row["seed"] == "1"]
    assert len(clean) == 2
    assert clean[0] == clean[1]


def test_only_what_a_training_depends_on_makes_it_anew(tiny: CommandLine, trained: list[Cell]) -> None:
    clean = ("stress", "--ratio", "0", "--models", "mf")
    tiny.ok(*ONE_EPOCH, *clean)
    assert [cell.noise for cell in trained] == ["none"]
    assert [row["ratio"] for row in _rows(tiny.folder)] == ["0.0"]
    tiny.ok(*ONE_EPOCH, "-o", "stress.seeds=1", "-o", 'stress.models=["MF"]', "stress", "--ratio", "0")
    assert len(trained) == 1
    (command,) = RunDirectory(tiny.folder / "run").commands("stress")  # what the recipe said at that time
    assert command == ["stress", "--noise", "feedback", "--ratio", "0.0", "--models", "mf", "--seeds", "1"]
    tiny.ok(*ONE_EPOCH, "-o", "model.dim=4", *clean)
    assert len(trained) == 2


def test_recall_at_20_is_there_whatever_the_recipe_scores(tiny: CommandLine) -> None:
    ks = ("-o", "evaluation.ks=[5]", "-o", 'training.monitor="recall@5"')
    tiny.ok(*ONE_EPOCH, *ks, "stress", "--ratio", "0.1", "--models", "mf")
    assert {"recall@5", "recall@20", "ndcg@20", "drop_recall@20"} <= set(_rows(tiny.folder)[0])


@pytest.mark.parametrize("what", ["half a file", "another number", "other users", "no users"])
def test_a_damaged_result_is_one_line_and_made_anew(tiny: CommandLine, trained: list[Cell], what: str) -> None:
    clean = (*ONE_EPOCH, "stress", "--ratio", "0", "--models", "mf")
    tiny.ok(*clean)
    sound = _rows(tiny.folder)[0]["recall@20"]
    (cell,) = (tiny.folder / "run" / "cells").glob("*.json")
    users = cell.with_suffix(".parquet")
    if what == "half a file":
        cell.write_text("{")
    elif what == "another number":
        cell.write_text(cell.read_text().replace(sound, "0.99"))
    elif what == "other users":
        users.write_bytes(users.read_bytes()[:-1] + b"?")
    else:
        users.unlink()
    damaged = cell if what in ("half a file", "another number") else users
    warnings = [line for line in tiny.ok(*clean).err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert damaged.name in warnings[0] and "made anew" in warnings[0]
    assert len(trained) == 2
    assert _rows(tiny.folder)[0]["recall@20"] == sound
    assert "stress: up to date" in tiny.ok(*clean).err


def test_an_unknown_model_is_refused_before_any_training(tiny: CommandLine, trained: list[Cell]) -> None:
    tiny.refused("stress", "--models", "mf,nothing", saying=("--models", "nothing"))
    tiny.refused("stress", "--noise", "feedback", "--noise", "smell", saying=("smell",))
    assert trained == []


def test_lists_of_the_clean_data_s_candidates_stand_beside(tiny: CommandLine) -> None:
    """Popularity of added random clicks, ranked by hand over what is new to each user in the clean data."""
    options = ("stress", "--noise", "feedback", "--noise", "visual", "--ratio", "0.5", "--models", "popularity")
    tiny.ok(*options)
    rows = {(row["noise"], float(row["ratio"])): row for row in _rows(tiny.folder)}
    for key in (("feedback", 0.0), ("visual", 0.0), ("visual", 0.5)):
        assert rows[key]["clean_candidates_recall@20"] == rows[key]["recall@20"]
    dataset = synthetic_shop(users=150, items=80, styles=6).dataset
    noisy = corrupt(dataset, "feedback", 0.5, seed=0)
    popular = torch.bincount(noisy.train.items, minlength=dataset.num_items)
    found = []
    for user in range(dataset.num_users):
        wanted = set(dataset.test.items[dataset.test.users == user].tolist())
        known = {*dataset.train.items[dataset.train.users == user].tolist()}
        known |= {*dataset.validation.items[dataset.validation.users == user].tolist()}
        ranked = sorted(set(range(dataset.num_items)) - known, key=lambda item: (-int(popular[item]), item))
        if wanted:
            found.append(len(wanted & set(ranked[:20])) / len(wanted))
    assert float(rows["feedback", 0.5]["clean_candidates_recall@20"]) == pytest.approx(fmean(found), abs=1e-6)
    assert rows["feedback", 0.5]["clean_candidates_recall@20"] != rows["feedback", 0.5]["recall@20"]


def test_a_table_to_paste(tiny: CommandLine) -> None:
    out = tiny.ok(*TWO_MODELS, "--format", "md").out
    assert out.splitlines()[0].startswith("| noise | ratio | system | test Recall@20 |")
    assert len(out.splitlines()) == 2 + 4
