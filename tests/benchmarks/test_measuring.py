"""What the benchmarks share measures what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import measuring


def test_sides_take_turns_and_are_compared_by_their_medians() -> None:
    order: list[str] = []
    values = {"fast": iter([1.0, 9.0, 2.0]), "slow": iter([10.0, 6.0, 8.0])}

    def side(name: str) -> measuring.Side:
        def run() -> float:
            order.append(name)
            return next(values[name])

        return run

    results = measuring.compared(measuring.alternating({name: side(name) for name in values}, 3), slow="slow")
    assert order == ["fast", "slow"] * 3
    assert results["fast"] == {"median_seconds": 2.0, "seconds": [1.0, 9.0, 2.0], "ratio": 4.0}
    assert results["slow"]["ratio"] == 1


def test_peak_is_the_process_s_own_and_stays() -> None:
    """A quarter of a GiB, held and let go, in a child of a process that holds half a GiB itself."""
    mine = np.ones(2**26)
    lines = (
        "from benchmarks.measuring import peak_gib",
        "before = peak_gib()",
        "block = b'x' * 2**28",
        "del block",
        "print(before, peak_gib())",
    )
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.split())
    assert 0.02 < before < measuring.peak_gib() - 0.4 and mine.all()
    assert before + 0.2 < after < before + 0.3


def test_a_result_says_what_it_ran_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "result.json"
    measuring.write_json(path, {"ratio": 2.5})
    written = json.loads(path.read_text())
    assert written["ratio"] == 2.5 and written["machine"] == measuring.machine()
    assert written["machine"]["cpu"] and written["machine"]["torch"] == torch.__version__
    measuring.print_table("Title", ("", "seconds"), [("one", 1.5)])
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("Title", "one", "1.5", written["machine"]["cpu"], "1 torch threads"))
