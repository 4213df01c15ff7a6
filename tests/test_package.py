"""The package from outside: quick to answer, public names that are there, pins that fit."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

import damrs_dgl

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "dgl", "numpy", "scipy", "scipy.stats", "sklearn", "pyarrow", "pydantic", "matplotlib")

HELP = """
from damrs_dgl.cli import main
sys.argv = ["damrs-dgl", *{arguments}]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""


def loaded_after(code: str) -> set[str]:
    """Which heavy packages a fresh interpreter has loaded after running `code`."""
    report = "print('LOADED', *(name for name in HEAVY if name in sys.modules))"
    script = f"import sys\nHEAVY = {HEAVY}\n{code}\n{report}"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.splitlines()[-1].removeprefix("LOADED").split())


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    assert loaded_after(HELP.format(arguments=arguments)) == set()


def test_the_measure_sees_a_heavy_import() -> None:
    assert "numpy" in loaded_after("import numpy")


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import damrs_dgl") == set()


def test_a_recipe_needs_no_figures_and_no_estimators() -> None:
    """It does need the systems, whose keys stand in their own files beside what they compute."""
    loaded = loaded_after("from damrs_dgl.recipe import load_recipe\nload_recipe('demo')")
    assert "pydantic" in loaded and not loaded & {"matplotlib", "sklearn"}


def test_the_stages_need_no_statistics_and_no_figures_yet() -> None:
    loaded = loaded_after("import damrs_dgl.stages")
    assert {"torch", "dgl"} <= loaded and not loaded & {"scipy.stats", "matplotlib", "sklearn"}


@pytest.mark.parametrize("name", damrs_dgl.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(damrs_dgl, name).__doc__
    assert name in dir(damrs_dgl)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        damrs_dgl.no_such_name  # noqa: B018


def pins() -> list[Requirement]:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    return [Requirement(line) for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12"])
def test_every_requirement_has_one_pin_that_fits(python: str) -> None:
    """constraints.txt and pyproject.toml agree, on each Python that the project says it runs on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    here = {**default_environment(), "python_version": python, "python_full_version": f"{python}.9"}

    def applies(requirement: Requirement) -> bool:
        return requirement.marker is None or requirement.marker.evaluate(here)

    for line in [*project["dependencies"], *extras["test"], *extras["docs"]]:
        wanted = Requirement(line)
        if not applies(wanted):
            continue
        exact = [pin for pin in pins() if pin.name == wanted.name and applies(pin)]
        assert len(exact) == 1, f"{wanted.name} on Python {python}: {len(exact)} pins"
        (specifier,) = exact[0].specifier
        assert specifier.operator == "=="
        assert wanted.specifier.contains(specifier.version), f"{exact[0]} does not fit {wanted}"


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert version("damrs-dgl") == project["version"]
