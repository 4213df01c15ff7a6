"""Run tests on the Pythons, DGLs and versions that can be had here, and say what was not run: `make versions`.

Three sets of versions on each of Python 3.10, 3.11 and 3.12, each in a virtual environment of its own in runs/versions:

* pinned: those of constraints.txt, with which every change is tested.
* newest: whatever pip takes today under the bounds of pyproject.toml.
* lowest: the lower bounds of pyproject.toml, or the lowest release above that has a wheel for this Python.

DGL 1.1.3 is that of Python 3.10 and 3.11, 2.1.0 that of 3.12. `lowest` needs uv (`pip install uv`), which resolves it.
Where torch comes from is left to pip and uv: PIP_EXTRA_INDEX_URL, UV_EXTRA_INDEX_URL, PIP_FIND_LINKS, UV_FIND_LINKS.

    python tools/check_versions.py                              # everything, the whole suite; hours
    python tools/check_versions.py --only 3.10-lowest tests/losses tests/graphs
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WHERE = ROOT / "runs" / "versions"
PYTHONS = ("3.10", "3.11", "3.12")
SETS = ("pinned", "newest", "lowest")
KEY_PACKAGES = ("torch", "dgl", "numpy", "scipy", "pyarrow", "pydantic")
logger = logging.getLogger("versions")


@dataclass(frozen=True)
class Outcome:
    """What came of one Python with one set of versions."""

    name: str
    verdict: str  # passed, failed, not run
    detail: str


def find_python(version: str) -> str | None:
    """An interpreter of that version: on the path, of pyenv, or of uv; None where there is none that starts."""
    homes = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/{version}.*/bin/python"))
    candidates = [f"python{version}", *map(str, reversed(homes))]
    if uv := shutil.which("uv"):
        candidates += _lines([uv, "python", "find", "--no-python-downloads", version])
    for candidate in candidates:
        if shutil.which(candidate) and f"{version}." in "".join(_lines([candidate, "--version"])):
            return candidate
    return None


def check(version: str, kind: str, tests: Sequence[str], uv: str | None) -> Outcome:
    """Make the environment and run the tests in it."""
    name = f"{version}-{kind}"
    python = find_python(version)
    if python is None:
        return Outcome(name, "not run", f"there is no Python {version} here")
    if kind == "lowest" and uv is None:
        return Outcome(name, "not run", "uv is not here, which finds the lowest versions: pip install uv")
    folder = WHERE / name
    logger.info("%s: installing into %s", name, folder)
    for command in installing(python, kind, folder, uv):
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if result.returncode:
            return Outcome(name, "not run", f"does not install: {_last(result.stderr or result.stdout)}")
    inside = str(folder / "bin" / "python")
    result = subprocess.run([inside, "-m", "pytest", *tests], cwd=ROOT, capture_output=True, text=True, check=False)
    (folder / "pytest.log").write_text(result.stdout + result.stderr, encoding="utf-8")
    verdict = "failed" if result.returncode else "passed"
    return Outcome(name, verdict, f"{_last(result.stdout)} ({'; '.join(_versions(inside))})")


def installing(python: str, kind: str, folder: Path, uv: str | None) -> Iterator[list[str]]:
    """The commands that fill the environment."""
    yield [python, "-m", "venv", "--clear", str(folder)]
    inside = str(folder / "bin" / "python")
    pip = [inside, "-m", "pip", "install", "--quiet"]
    if kind == "pinned":
        yield [*pip, "--constraint", "constraints.txt", "--editable", ".[test]"]
    elif kind == "newest":
        yield [*pip, "--editable", ".[test]"]
    else:  # what pyproject.toml names, the tools of the tests too; what these need in turn is new
        chosen = str(folder / "lowest.txt")
        resolve = [
            str(uv),
            "pip",
            "compile",
            "pyproject.toml",
            "--extra",
            "test",
            "--resolution",
            "lowest-direct",
            "--quiet",
        ]
        yield [*resolve, "--python", inside, "--only-binary", ":all:", "--output-file", chosen]
        yield [*pip, "--requirement", chosen]
        yield [*pip, "--no-deps", "--editable", "."]


def _versions(python: str) -> list[str]:
    found = dict(line.split("==") for line in _lines([python, "-m", "pip", "freeze"]) if line.count("==") == 1)
    return [f"{name} {found[name]}" for name in KEY_PACKAGES if name in found]


def _lines(command: list[str]) -> list[str]:
    """What a command prints; nothing where it fails."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return (result.stdout or result.stderr).splitlines() if result.returncode == 0 else []


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "without a word"


def main(arguments: Sequence[str]) -> int:
    """Check what is asked for, print a line for each, and return the number of those that failed."""
    names = [f"{version}-{kind}" for version in PYTHONS for kind in SETS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=names, help="one of them; repeatable")
    parser.add_argument("--uv", default=shutil.which("uv"), help="where uv is")
    parser.add_argument("tests", nargs="*", help="what pytest is given; the whole suite without")
    options = parser.parse_args(arguments)
    outcomes = []
    for name in names:
        if options.only and name not in options.only:
            outcomes.append(Outcome(name, "not run", "was not asked for"))
        else:
            outcomes.append(check(*name.split("-"), options.tests, options.uv))
    for outcome in outcomes:
        logger.info("%-12s %-8s %s", outcome.name, outcome.verdict, outcome.detail)
    logger.info("not run here: GPUs, macOS, Windows (WSL), and DGL's own CUDA builds")
    return sum(outcome.verdict == "failed" for outcome in outcomes)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    sys.exit(main(sys.argv[1:]))
