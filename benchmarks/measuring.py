"""What the benchmarks share: what they ran on, sides timed in alternation, peak memory, a table, and JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

Side = Callable[[], float]
"""One measurement of one side of a comparison: runs it and returns its seconds."""


def machine() -> dict[str, Any]:
    """What a result was measured on: CPU, cores this process may use, torch's threads, versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _cpu_model(),
        "cores": cores,
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # with the build (+cpu, +cu130), which the package's metadata may leave out
        **{name: version(name) for name in ("dgl", "numpy")},
    }


def _cpu_model() -> str:
    """The processor's name; /proc/cpuinfo knows it on Linux, where `platform` gives the architecture alone."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def peak_gib() -> float:
    """Most memory that this process has held at once (resident), in GiB.

    On Linux from VmHWM: the ru_maxrss of a fresh child process begins at its parent's.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**20


def timed(run: Callable[[], Any]) -> Side:
    """A side that is measured from outside, by the wall clock."""

    def side() -> float:
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    return side


def alternating(sides: Mapping[str, Side], repeats: int) -> dict[str, list[float]]:
    """Seconds of each side, `repeats` times in turn (A B A B ...), so that a busy spell of the machine meets all."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            seconds[name].append(side())
    return seconds


def compared(seconds: Mapping[str, Sequence[float]], *, slow: str) -> dict[str, dict[str, Any]]:
    """Each side's median seconds, all its seconds, and how many times the slow side's median that goes into."""
    medians = {name: median(values) for name, values in seconds.items()}
    return {
        name: {"median_seconds": medians[name], "seconds": list(values), "ratio": medians[slow] / medians[name]}
        for name, values in seconds.items()
    }


def report(title: str, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Print what `compared` returned as a table, and what it ran on."""
    rows = [
        (name, f"{side['median_seconds']:.4g} s", len(side["seconds"]), f"{side['ratio']:.1f}")
        for name, side in results.items()
    ]
    print_table(title, ("", "median", "repeats", "slow / this"), rows)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table with its title above and the machine below; the first column is text, the others are numbers."""
    here = machine()
    table = Table()
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(str, row))
    console = Console(highlight=False)
    console.print(title, soft_wrap=True)
    console.print(table)
    versions = ", ".join(f"{name} {here[name]}" for name in ("python", "torch", "dgl", "numpy"))
    console.print(
        f"{here['cpu']}, {here['cores']} cores, {here['torch_threads']} torch threads; {versions}", soft_wrap=True
    )


def write_json(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result beside what it ran on; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), **result}, indent=1) + "\n", encoding="utf-8")


def arguments(description: str | None, *, repeats: int = 3) -> argparse.ArgumentParser:
    """A parser with the options of every benchmark: --repeats, --threads, --json."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=repeats, help="[%(default)s]")
    parser.add_argument("--threads", type=int, help="torch's threads [its own choice]")
    parser.add_argument("--json", type=Path, help="where the result is written [runs/<benchmark>.json]")
    return parser


def chosen(parser: argparse.ArgumentParser, given: Sequence[str] | None = None) -> argparse.Namespace:
    """The parsed options, with torch set to --threads."""
    options = parser.parse_args(given)
    if options.threads:
        torch.set_num_threads(options.threads)
    return options
