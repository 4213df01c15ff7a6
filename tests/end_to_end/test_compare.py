"""`compare` and `ablate`: killed and resumed, side by side, with a system that fails, and what the tables say."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
import torch

from damrs_dgl.evaluation import list_metrics
from damrs_dgl.storage.run import RunDirectory
from damrs_dgl.studies.results import CellResult
from damrs_dgl.studies.study import Cell
from damrs_dgl.studies.training import CellTrainer
from tests.cli_runner import CommandLine, tiny_options

TWO_SYSTEMS = ("compare", "--models", "mf,lightgcn", "--seeds", "2")
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}


def _rows(run: Path, name: str = "compare") -> list[dict[str, str]]:
    """A study's table but for the seconds."""
    with (run / f"{name}.csv").open() as lines:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(lines)]


def _numbers(run: Path) -> dict[str, bytes]:
    """The users' own numbers of every finished cell."""
    return {path.name: path.read_bytes() for path in sorted((run / "cells").glob("*.parquet"))}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of a comparison in one go, one training at a time."""
    run = tmp_path_factory.mktemp("whole") / "run"
    command = [sys.executable, "-m", "damrs_dgl", *tiny_options(run), *TWO_SYSTEMS, "--jobs", "1"]
    subprocess.run(command, check=True, env={**ENVIRONMENT, "OMP_NUM_THREADS": "2"}, capture_output=True)
    return run


def test_a_killed_comparison_goes_on_and_trains_nothing_twice(tiny: CommandLine, whole: Path) -> None:
    run = tiny.folder / "run"
    command = [sys.executable, "-m", "damrs_dgl", *tiny_options(run), *TWO_SYSTEMS, "--jobs", "2"]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until and not list((run / "cells").glob("*.json")):
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    time.sleep(1.0)  # its workers end with it
    done = {path.name: path.stat().st_mtime_ns for path in (run / "cells").glob("*.json")}
    assert 1 <= len(done) < 6
    assert not (run / "compare.csv").exists()
    resumed = tiny.ok(*TWO_SYSTEMS)
    assert f"compare: {len(done)} of 6 trainings are there already" in resumed.err
    assert all((run / "cells" / name).stat().st_mtime_ns == stamp for name, stamp in done.items())
    assert _rows(run) == _rows(whole)
    assert _numbers(run) == _numbers(whole)
    assert not [path for path in (run / "cells").iterdir() if path.is_dir()]  # no training is left unfinished


def test_what_a_training_left_that_was_killed_at_its_very_end_goes(tiny: CommandLine, whole: Path) -> None:
    shutil.copytree(whole, tiny.folder / "run")
    cells = tiny.folder / "run" / "cells"
    left = cells / next(cells.glob("*.json")).stem
    left.mkdir()
    tiny.ok(*TWO_SYSTEMS)
    assert not left.exists()


def test_two_jobs_and_one_give_the_same_numbers(tiny: CommandLine, whole: Path) -> None:
    tiny.ok(*TWO_SYSTEMS, "--jobs", "2")
    assert _rows(tiny.folder / "run") == _rows(whole)
    assert _numbers(tiny.folder / "run") == _numbers(whole)


def test_the_floor_is_always_there(whole: Path) -> None:
    rows = _rows(whole)
    systems = ["mf", "lightgcn", "itemknn", "popularity"]
    seeds = {"mf": "01", "lightgcn": "01", "itemknn": "0", "popularity": "0"}  # what draws nothing is computed once
    assert [(row["system"], row["seed"]) for row in rows] == [(name, seed) for name in systems for seed in seeds[name]]
    assert {"recall@20", "ndcg@20", "validation_recall@20", "best_epoch", "epochs"} <= set(rows[0])
    assert (whole / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_what_lists_are_like_beside_accuracy(tiny: CommandLine, whole: Path) -> None:
    for row in _rows(whole):
        assert 0 < float(row["coverage@20"]) <= 1
        assert 0 <= float(row["gini@20"]) < 1
        assert "coverage@5" not in row
    popular = {row["system"]: float(row["average_popularity@20"]) for row in _rows(whole)}
    assert max(popular, key=popular.__getitem__) == "popularity"
    shown = tiny.ok("compare", "--models", "mf").out
    assert re.search(r"^system +coverage +gini +novelty +average popularity", shown, re.MULTILINE)


def test_a_cells_files_agree(whole: Path) -> None:
    files = sorted((whole / "cells").glob("*.json"))
    assert len(files) == 6
    for path in files:
        cell = json.loads(path.read_text())
        users = pq.read_table(path.with_suffix(".parquet"))
        assert {"user", "recall@20", "ndcg@20"} <= set(users.column_names)
        assert float(np.mean(users["recall@20"].to_numpy())) == pytest.approx(cell["test"]["recall@20"], abs=1e-12)
        assert cell["settings"]["training.seed"] == cell["seed"]
        assert not [key for key in cell["settings"] if key.endswith("block_size")]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (RuntimeError("a shape does not fit"), 1, "internal error: RuntimeError: a shape does not fit"),
        (MemoryError(), 2, "not enough memory"),
    ],
)
def test_a_training_that_fails_stops_no_other(
    tiny: CommandLine, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, said: str
) -> None:
    real = CellTrainer.train

    def train(trainer: CellTrainer, cell: Cell) -> CellResult:
        if cell.system == "mf" and cell.seed == 0:
            raise error
        return real(trainer, cell)

    with monkeypatch.context() as patch:
        patch.setattr(CellTrainer, "train", train)
        result = tiny(*TWO_SYSTEMS)
    assert result.code == code
    (warning,) = [line for line in result.err.splitlines() if line.startswith("warning: compare: mf, seed 0 failed")]
    assert said in warning
    assert "1 of 6 trainings failed, the others are kept" in result.errors[-1]
    assert said in result.out  # in the table too
    rows = _rows(tiny.folder / "run")
    assert len(rows) == 6
    assert said in rows[0]["error"] and rows[0]["recall@20"] == ""
    assert all(row["recall@20"] and not row["error"] for row in rows[1:])
    traces = list((tiny.folder / "run" / "cells").glob("*.trace.txt"))
    assert len(traces) == (1 if code == 1 else 0)
    assert all("Traceback" in path.read_text() for path in traces)

    again = tiny.ok(*TWO_SYSTEMS)
    assert "compare: 5 of 6 trainings are there already" in again.err
    assert not list((tiny.folder / "run" / "cells").glob("*.trace.txt"))


def test_where_every_training_fails_no_earlier_picture_is_left(
    tiny: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(trainer: CellTrainer, cell: Cell) -> CellResult:
        raise MemoryError

    monkeypatch.setattr(CellTrainer, "train", train)
    run = tiny.folder / "run"
    run.mkdir()
    for study in ("compare", "stress"):
        (run / f"{study}.png").write_bytes(b"an earlier study's")
        said = tiny(study, "--models", "mf").err
        assert not (run / f"{study}.png").exists() and f"{study}.png" not in said
        assert f"{study}.csv" in said and "Wilcoxon" not in said


def test_a_worker_that_is_killed_costs_its_own_training_only(tiny: CommandLine) -> None:
    run = tiny.folder / "run"
    long = ("-o", "training.epochs=20000", "-o", "training.patience=20000")
    command = [sys.executable, "-m", "damrs_dgl", *tiny_options(run), *long, "compare", "--models", "mf", "--jobs", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=ENVIRONMENT, **pipes) as process:
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until and len(list(run.glob("cells/*.json"))) < 2:
            time.sleep(0.01)
        for pid in _workers(process.pid):  # one has nothing to do, the other trains
            os.kill(pid, signal.SIGKILL)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    assert "its process was killed" in err and "lower --jobs" in err
    assert [(row["system"], bool(row["error"])) for row in _rows(run)] == [
        ("mf", True), ("itemknn", False), ("popularity", False),
    ]  # fmt: skip


def _workers(parent: int) -> list[int]:
    """The processes in which a command trains side by side."""
    children = psutil.Process(parent).children()
    return [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_ctrl_c_ends_the_workers_cleanly(tiny: CommandLine) -> None:
    run = tiny.folder / "run"
    options = ("-o", "training.epochs=2000", "-o", "training.patience=2000")
    command = [sys.executable, "-m", "damrs_dgl", *tiny_options(run), *options, *TWO_SYSTEMS, "--jobs", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(command, env=ENVIRONMENT, start_new_session=True, **pipes)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until and not list(run.glob("cells/*/*.safetensors")):
            time.sleep(0.01)
        workers = _workers(process.pid)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "stopped; the same command goes on after what is finished"
    assert len(workers) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_what_fit_trained_is_not_trained_again(fitted: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[str] = []
    real = CellTrainer.train

    def train(trainer: CellTrainer, cell: Cell) -> CellResult:
        trained.append(cell.system)
        return real(trainer, cell)

    monkeypatch.setattr(CellTrainer, "train", train)
    metrics = json.loads((fitted.folder / "run" / "metrics.json").read_text())
    result = fitted.ok("compare", "--models", "damrs")
    assert trained == ["itemknn", "popularity"]
    assert "compare: damrs, seed 0 is what `fit` trained" in result.err
    assert float(_rows(fitted.folder / "run")[0]["recall@20"]) == metrics["test"]["recall@20"]
    fitted.ok("-o", "training.epochs=2", "compare", "--models", "damrs")  # a shorter one is another training
    assert trained[2:] == ["damrs", "itemknn", "popularity"]


def test_an_ablation_has_the_systems_rows(tiny: CommandLine) -> None:
    result = tiny.ok("-o", "training.epochs=1", "ablate", "--format", "md")
    rows = _rows(tiny.folder / "run", "ablate")
    expected = "backbone iig diig diig+d-bpr diig+au diig+ai diig+aui da-mrs-f da-mrs-g da-mrs diig+sp diig+mp"
    assert [row["system"] for row in rows] == expected.split()
    assert result.out.splitlines()[0].startswith("| system | seeds | test Recall@20 |")
    assert len(result.out.splitlines()) == 2 + len(rows)
    assert (tiny.folder / "run" / "ablate.png").read_bytes().startswith(b"\x89PNG")
    pairs = _rows(tiny.folder / "run", "ablate_pairs")
    assert len(pairs) == 2 * 12 * 11 // 2  # two metrics
    assert all(0 <= float(pair["p_value"]) <= float(pair["p_value_holm"]) <= 1 for pair in pairs)
    shared = tiny.ok("-o", "training.epochs=1", "compare")
    assert "compare: 2 of 4 trainings are there already" in shared.err
    run = RunDirectory(tiny.folder / "run")
    assert run.commands("ablate") == [["ablate", "--seeds", "1"]]
    assert run.commands("compare") == [["compare", "--models", "damrs,backbone", "--seeds", "1"]]


def test_a_system_without_ablation_and_wrong_names_are_refused(tiny: CommandLine) -> None:
    tiny.refused("-o", "model.name=mf", "ablate", saying=("model.name", '"mf" has no ablation', "damrs"))
    tiny.refused("compare", "--models", "mf,damrs:nothing", saying=("--models", "nothing"))
    tiny.refused("compare", "--models", "mf:lightgcn", saying=("--models", "wraps no other system"))
    tiny.refused("compare", "--seeds", "0", saying=("--seeds",))


@pytest.mark.parametrize("format", ["md", "latex", "csv"])
def test_the_table_to_paste(tiny: CommandLine, format: str) -> None:
    said = tiny.ok("-o", "training.epochs=1", "compare", "--models", "damrs:mf", "--format", format)
    out = said.out
    assert ("paired Wilcoxon test over users" in said.err) is (format != "csv") and "** best" not in said.err
    start = {"md": r"\| system", "latex": r"\\begin\{tabular\}", "csv": "system,seeds"}[format]
    assert re.match(start, out)
    assert "damrs:mf" in out and "itemknn" in out


def test_every_training_has_one_thread(tiny: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """On data of a real size the number of threads moves the last digits; a tiny shop is too small to show it."""
    used: list[int] = []
    real = CellTrainer.train

    def train(trainer: CellTrainer, cell: Cell) -> CellResult:
        used.append(torch.get_num_threads())
        return real(trainer, cell)

    monkeypatch.setattr(CellTrainer, "train", train)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        tiny.ok("-o", "training.epochs=1", "compare", "--models", "mf", "--jobs", "1")
        assert used == [1, 1, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_page_leaves_out_a_table_of_other_settings(tiny: CommandLine) -> None:
    tiny.ok("compare", "--models", "mf")
    run = tiny.folder / "run"
    assert "compare.csv" in tiny.ok("verify").out
    tiny.ok("report")
    page = (run / "report.html").read_text(encoding="utf-8")
    with (run / "compare_pairs.csv").open(newline="") as lines:
        pairs = list(csv.DictReader(lines))
    told = sum(float(row["p_value_holm"]) < 0.05 for row in pairs)
    assert f"{told} of {len(pairs)} differences between two systems" in page
    assert "itemknn" in page
    said = tiny.ok("-o", "graphs.k=3", "report")
    assert "the study `compare` is of other settings (graphs.k changed); it is left out: run it again" in said.err
    table = run / "compare.csv"
    table.write_text(table.read_text().replace("mf", "fm"))
    assert "the study `compare` is damaged (compare.csv)" in tiny.ok("report").err
    table.write_bytes(b"\xff\xfe" + table.read_bytes())  # which no reader takes for text
    assert "the study `compare` is damaged (compare.csv)" in tiny.ok("report").err
    result = tiny("verify")
    assert result.code == 2
    assert "compare.csv" in result.errors[-1]


def test_a_training_that_did_not_improve_is_told(tiny: CommandLine) -> None:
    still = ("-o", "training.learning_rate=1e-12", "-o", "training.patience=2", "-o", "training.epochs=9")
    doubt = "its first epoch is the best of 3: it may have stopped in a dip; raise training.patience"
    assert f"fit: {doubt}" in tiny.ok(*still, "fit").err
    said = tiny.ok(*still, "-o", "training.epochs=3", "-o", "training.seed=1", "fit").err
    assert f"fit: {doubt.replace('patience', 'epochs')} or lower" in said
    said = tiny.ok(*still, "compare", "--models", "mf").err
    assert f"compare: mf, seed 0: {doubt}" in said
    assert said.count("first epoch") == 1  # what is computed has one epoch alone
    said = tiny.ok(*still, "compare", "--models", "mf", "--seeds", "2").err
    assert f"compare: mf, seed 0 (and 1 more of 4 trainings alike): {doubt}" in said
    assert said.count("first epoch") == 1


def test_a_piped_study_says_where_it_is(tiny: CommandLine) -> None:
    def trainings(*more: str) -> dict[str, str]:
        """The first line of each number of trainings done; a slow machine has lines while one goes on, too."""
        lines = tiny.ok("-o", "training.epochs=1", "compare", "--models", "mf", *more).err.splitlines()
        first: dict[str, str] = {}
        for line in lines:
            if line.startswith("compare: trainings ") and "last " in line:
                first.setdefault(line.split()[2], line)
        return first

    first = trainings()
    assert list(first) == ["1/3", "2/3", "3/3"]
    assert "last mf, seed 0  recall 0." in first["1/3"] and "so far, about 0:0" in first["1/3"]
    assert trainings() == {}
    assert list(trainings("--seeds", "2")) == ["4/4"]
    assert list(trainings("--seeds", "4", "--jobs", "2")) == ["5/6", "6/6"]


def test_what_draws_nothing_is_computed_for_one_seed(tiny: CommandLine) -> None:
    tiny.ok("-o", "training.epochs=1", "compare", "--models", "mf,ease", "--seeds", "2")
    assert [row["seed"] for row in _rows(tiny.folder / "run") if row["system"] == "ease"] == ["0"]


def test_a_metric_that_is_installed_later_makes_the_numbers_anew(
    tiny: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("-o", "training.epochs=1", "compare", "--models", "mf")
    tiny.ok(*command)
    monkeypatch.setattr(list_metrics, "_load", lambda: ({"answer": lambda lists, catalogue, k: 42.0}, []))
    tiny.ok(*command)
    assert {row["answer@20"] for row in _rows(tiny.folder / "run")} == {"42.0"}
