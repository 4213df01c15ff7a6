"""Kill `build-graphs fit evaluate recommend` at random moments, and see that it goes on and ends as one not killed.

`python -m tests.end_to_end.kill_loop --kills 100` does it at length. Heavy libraries are imported once; each command is
a fork of this process, which computes nothing itself.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file

from damrs_dgl import stages  # noqa: F401 (heavy, before the first fork)
from damrs_dgl.cli import main
from tests.cli_runner import history_without_times, tiny_options, without_times

EPOCHS = ("-o", "training.epochs=30", "-o", "training.patience=30")
CHAIN = ("build-graphs", "fit", "evaluate", "recommend", "--top", "3", "--export-vectors")


def die_at_write(number: int, *, before: bool) -> None:
    """Let this process be killed just before or after its so-manieth file takes its place."""
    real, count = Path.replace, 0

    def replace(source: Path, target: Path) -> Path:
        nonlocal count
        count += 1
        if before and count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(source, target)
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    Path.replace = replace  # type: ignore[method-assign]


def start(run: Path, log: Path, write: int = 0) -> int:
    """Start the chain in a process of its own, which dies at its so-manieth write if asked to; returns its number."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.stdout, sys.stderr = open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
        sys.argv = ["damrs-dgl", *tiny_options(run), *EPOCHS, *CHAIN]
        if write:
            die_at_write(write, before=random.random() < 0.5)
        main()
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stdout.flush()
        os._exit(code)


def finish(run: Path, log: Path) -> None:
    """Run the chain to its end. Raises AssertionError with what it said where it does not end well."""
    _, status = os.waitpid(start(run, log), 0)
    assert status == 0, log.read_text()[-3000:]


def numbers(run: Path) -> dict[str, object]:
    """All that a run comes to, but for times."""
    recommended = pq.read_table(run / "recommendations.parquet").to_pydict()
    vectors = {
        name: hashlib.sha256(table.numpy().data).hexdigest()
        for name, table in load_file(run / "vectors.safetensors").items()
    }
    history = history_without_times(run / "history.csv")
    return {"metrics": without_times(run / "metrics.json"), "history": history, "best": recommended, "vectors": vectors}


def kill_loop(kills: int, seconds: float, seed: int, folder: Path) -> tuple[int, Counter[str]]:
    """Kill until so many kills or seconds are reached; returns the kills, and how often what was there when they came.

    Raises AssertionError where the numbers differ, a command that goes on fails, or a temporary file stays.
    """
    random.seed(seed)
    run, log, until = folder / "run", folder / "log", time.monotonic() + seconds
    began = time.monotonic()
    finish(folder / "whole", log)
    duration, right = time.monotonic() - began, numbers(folder / "whole")
    killed, met = 0, Counter[str]()
    while killed < kills and time.monotonic() < until:
        at_write = random.randint(1, 60) if random.random() < 0.5 else 0
        child = start(run, log, at_write)
        if not at_write:
            time.sleep(random.uniform(0.02, duration))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or status == 0, log.read_text()[-3000:]
        ended = status == 0
        killed += not ended
        met.update(leftovers(run, child))
        if ended or random.random() < 0.25:
            finish(run, log)
            check(run, right)
            shutil.rmtree(run)
    finish(run, log)
    check(run, right)
    return killed, met


def leftovers(run: Path, process: int) -> list[str]:
    """What a process that was killed left: names of files that it was writing, and the lock."""
    return [
        path.name.split(f".{process}")[0].lstrip(".")
        for path in run.rglob("*")
        if path.name.startswith(".") or path.suffix == ".lock"
    ]


def check(run: Path, right: dict[str, object]) -> None:
    """The run is whole, as the one that nobody killed, and nothing lies about in it."""
    assert numbers(run) == right
    assert not leftovers(run, 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        print(*kill_loop(asked.kills, asked.seconds, asked.seed, Path(place)))
