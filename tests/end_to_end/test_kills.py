"""kill -9 at random moments, in a process that has not trained before (a fork of one that has cannot)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_runs_that_are_killed_end_as_one_that_is_not() -> None:
    command = [sys.executable, "-m", "tests.end_to_end.kill_loop", "--kills", "12", "--seconds", "20"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout.split()[0]) >= 3  # however slow the machine is
