"""A worker ends with the process that started it, at whatever it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from damrs_dgl.processes import is_alive

PARENT = """
import time
from pathlib import Path

if __name__ == "__main__":
    import torch
    from damrs_dgl.data.synthetic import synthetic_shop
    from damrs_dgl.recipe import load_recipe
    from damrs_dgl.studies.study import Study
    from damrs_dgl.studies.worker_process import WorkerProcess
    from slow_to_import import work

    dataset = synthetic_shop().dataset
    worker = WorkerProcess(Study(load_recipe("demo"), dataset, Path("cells"), torch.device("cpu")), work)
    time.sleep(300)
"""
SLOW = """
import multiprocessing, os, time
from pathlib import Path

def work(line, open_study): ...

if multiprocessing.parent_process() is not None:
    Path("part").write_text(str(os.getpid()))
    Path("part").rename("worker")
    time.sleep(300)
"""


def test_a_worker_that_still_imports_ends_with_its_parent(tmp_path: Path) -> None:
    """torch and dgl take seconds to import, and more on a busy machine."""
    (tmp_path / "parent.py").write_text(PARENT)
    (tmp_path / "slow_to_import.py").write_text(SLOW)
    with subprocess.Popen([sys.executable, "parent.py"], cwd=tmp_path) as parent:
        try:
            assert _comes_true(lambda: (tmp_path / "worker").exists() or parent.poll() is not None)
            worker = int((tmp_path / "worker").read_text())
        finally:
            parent.kill()
    try:
        assert _comes_true(lambda: not is_alive(worker), seconds=30)
    finally:
        if is_alive(worker):
            os.kill(worker, signal.SIGKILL)


def _comes_true(condition: Callable[[], bool], *, seconds: float = 200) -> bool:
    until = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(0.05)
    return found
