"""Output that nobody takes: a full disk, a reader that has enough, streams that were closed before the start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli_runner import CommandLine, tiny_options

ROOT = Path(__file__).parents[2]


def _shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line of bash in which `$DAMRS` is the command line; its exit code is that of the first command of a pipe."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DAMRS": f"{sys.executable} -m damrs_dgl --run run"}
    script = f"{line}; exit ${{PIPESTATUS[0]}}"
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("command", ["--help", "--version", "recipes show", "recipes ls"])
def test_standard_output_on_a_full_disk(tmp_path: Path, command: str) -> None:
    result = _shell(f"$DAMRS {command} >/dev/full", tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: standard output: cannot be written (No space left on device); send it")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["--help", "recipes show"])
def test_a_reader_that_has_enough(tmp_path: Path, command: str) -> None:
    result = _shell(f"$DAMRS {command} | true", tmp_path)
    assert (result.returncode, result.stderr) == (141, "")


@pytest.mark.parametrize("command", ["recipes nonsense 2>/dev/full", "recipes nonsense 2>&-"])
def test_an_error_that_nobody_hears_has_its_code(tmp_path: Path, command: str) -> None:
    result = _shell(f"$DAMRS {command}", tmp_path)
    assert (result.returncode, result.stderr) == (2, "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_file_of_the_run(cli: CommandLine, closed: str) -> None:
    """The first file that is opened takes the number of a stream that is closed, and libraries write into it."""
    options = tiny_options(Path("run"), epochs=1)
    result = _shell(f"$DAMRS {' '.join(options)} fit recommend --top 2 {closed}", cli.folder)
    assert result.returncode == 0, result.stderr
    assert (cli.folder / "run" / "recommendations.parquet").stat().st_size
    again = cli.ok(*options, "fit").err
    assert "fit: up to date" in again and "damaged" not in again
