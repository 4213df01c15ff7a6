"""The rules of the house: who may import whom, who prints, and what ruff and mypy say. `make lint` runs the same."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "damrs_dgl"
STANDARD_STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}


def run_tool(module: str, *command: str) -> None:
    """Run a tool of the test extra in the repository; skip where it is not installed, fail with what it says."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    result = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_imports_go_one_way() -> None:
    """The contracts under [tool.importlinter] in pyproject.toml; "only dgl_backend imports dgl" is one of them."""
    run_tool("importlinter", "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache")


def test_ruff_finds_nothing() -> None:
    run_tool("ruff", "-m", "ruff", "check", ".")


def test_the_code_is_formatted() -> None:
    run_tool("ruff", "-m", "ruff", "format", "--check", ".")


def test_types_fit() -> None:
    run_tool("mypy", "-m", "mypy")


def printing(tree: ast.AST) -> Iterator[int]:
    """Line numbers of print(), click.echo(), and the standard streams by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if (name == "print" and isinstance(called, ast.Name)) or name in {"echo", "secho"}:
                yield node.lineno
        elif isinstance(node, ast.Attribute) and node.attr in STANDARD_STREAMS:
            yield node.lineno


def test_only_the_console_prints() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.parent.name != "console"
        for line in printing(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found, "these print, which is for damrs_dgl/console: " + ", ".join(found)


@pytest.mark.parametrize("line", ["print('a')", "click.echo('a')", "sys.stdout.write('a')", "console = x(sys.stderr)"])
def test_printing_is_recognised(line: str) -> None:
    assert list(printing(ast.parse(line))) == [1]


def test_other_calls_are_no_printing() -> None:
    assert not list(printing(ast.parse("console.print('a'); logger.info('a'); table.stdouts")))


def test_nobody_outside_models_names_a_system() -> None:
    """Trainer, recipes, stages and studies know what a system is (base, core, registry, ...), and none by name."""
    from damrs_dgl.models.registry import DEFAULT_MODEL, models

    allowed = ("damrs_dgl.models.base", "damrs_dgl.models.registry", "damrs_dgl.models.wrapper")
    shared = tuple(f"damrs_dgl.models.{part}." for part in ("core", "specification", "layers"))
    names = set(models())
    places = [*(PACKAGE / part for part in ("training", "recipe", "stages", "studies"))]
    files = [PACKAGE / f"{name}.py" for name in ("factory", "provenance", "search_space")]
    for path in [*files, *(file for place in places for file in place.rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant):
                assert node.value not in names, f"{path}:{node.lineno} names the system {node.value!r}"
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("damrs_dgl.models"):
                assert node.module in allowed or (node.module or "").startswith(shared), (
                    f"{path}:{node.lineno} imports {node.module}"
                )
    assert DEFAULT_MODEL in names
