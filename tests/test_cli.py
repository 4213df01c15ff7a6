"""The command line itself: quick help, recipes, doctor, quiet pipes, and how errors end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from damrs_dgl.cli import cli as group
from damrs_dgl.doctor import Check
from tests.cli_runner import CommandLine, tiny_options

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "COLUMNS": "100"}


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    return CommandLine(capsys, monkeypatch, tmp_path)


def _python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True, timeout=60)


HELP = """
import sys
sys.argv = ["damrs-dgl", *{arguments!r}]
from damrs_dgl.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = {{"torch", "dgl", "numpy", "pyarrow", "pydantic", "matplotlib", "rich"}} & set(sys.modules)
print("heavy:", sorted(heavy))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["fit", "--help"], ["--version"], []])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    assert _python(HELP.format(arguments=arguments)).stdout.splitlines()[-1] == "heavy: []"


def test_without_dgl_a_stage_and_the_recipes_are_one_line_each() -> None:
    """What a system is stands beside its code, so that a recipe cannot be read without it; doctor knows the cure."""
    code = """
import sys
sys.modules["dgl"] = None
sys.argv = ["damrs-dgl", *{arguments!r}]
from damrs_dgl.cli import main
main()
"""
    for arguments in (["fit"], ["recipes", "ls"]):
        done = subprocess.run(
            [sys.executable, "-c", code.format(arguments=arguments)],
            env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: dgl is not installed; pip install 'dgl==")


def test_no_arguments_show_the_help(cli: CommandLine) -> None:
    assert cli.ok().out == cli.ok("--help").out
    assert "build-graphs" in cli.ok().out


def test_every_stage_has_a_help_that_starts_with_what_it_does(cli: CommandLine) -> None:
    for name, command in group.commands.items():
        text = cli.ok(name, "--help").out
        assert (command.help or "").split(".")[0][:40] in " ".join(text.split())


def test_a_pipe_gets_results_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "damrs_dgl", *tiny_options(tmp_path / "run", epochs=1), "fit", "evaluate"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, timeout=120, check=True)
    for text in (done.stdout, done.stderr):
        assert all(byte >= 32 or byte == 10 for byte in text), text
    assert b"best epoch" in done.stdout
    assert done.stdout.count(b"\n") < 25
    epochs = [line for line in done.stderr.splitlines() if line.startswith(b"fit: epoch ")]
    assert len(epochs) == 1  # a line and no bar
    assert b"fit: best epoch 1 of 1" in done.stderr


def test_a_broken_pipe_is_quiet() -> None:
    done = subprocess.run(
        f"{sys.executable} -m damrs_dgl recipes show | head -n 1",
        shell=True, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_doctor(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "dgl loads" in cli.ok("doctor").out
    monkeypatch.setattr("damrs_dgl.doctor.checks", lambda: [Check("dgl loads", "no", False, "install dgl 1.1.3")])
    result = cli("doctor")
    assert result.code == 2
    assert "PROBLEM" in result.out
    assert "install dgl 1.1.3" in result.out


def test_recipes_are_listed_shown_and_copied(cli: CommandLine) -> None:
    listed = cli.ok("recipes", "ls").out
    for name in ("demo", "tiktok", "baby"):
        assert f"\n{name} " in listed
    assert "temperature = 0.2" in cli.ok("recipes", "show", "tiktok").out
    assert "dim = 8" in cli.ok("-o", "model.dim=8", "recipes", "show").out
    assert "my.toml is yours now" in cli.ok("recipes", "cp", "demo", "my.toml").out
    assert cli.ok("--recipe", "my.toml", "recipes", "validate").out == "no mistakes\n"


def test_a_shown_recipe_is_a_recipe(cli: CommandLine) -> None:
    (cli.folder / "whole.toml").write_text(cli.ok("recipes", "show").out)
    cli.ok("recipes", "validate", "whole.toml")


def test_recipes_cp_replaces_no_file_and_knows_its_names(cli: CommandLine) -> None:
    (cli.folder / "my.toml").write_text("mine")
    cli.refused("recipes", "cp", "demo", "my.toml", saying=("my.toml", "is there already"))
    assert (cli.folder / "my.toml").read_text() == "mine"
    cli.refused("recipes", "cp", "dem", "other.toml", saying=("'dem'", "demo"))
    cli.refused("recipes", "cp", "demo", saying=("recipes cp NAME FILE", "1"))
    cli.refused("recipes", "eat", saying=("eat", "validate"))


def _failing(error: Exception) -> object:
    def load_recipe(*_: object) -> None:
        raise error

    return load_recipe


def test_an_internal_error_is_one_line(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("damrs_dgl.recipe.load_recipe", _failing(ZeroDivisionError("by\nzero")))
    result = cli("fit")
    assert result.code == 1
    assert result.err.splitlines() == [
        "error: internal error: ZeroDivisionError: by zero; "
        "this is a fault of damrs-dgl: run again with --debug and report the trace"
    ]
    with pytest.raises(ZeroDivisionError):
        cli("--debug", "fit")


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...\nmore")]
)
def test_memory_that_ran_out_is_for_the_user_to_mend(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr("damrs_dgl.recipe.load_recipe", _failing(error))
    cli.refused("fit", saying=("not enough memory", "lower training.batch_size"))


def test_debug_shows_the_trace_of_a_known_error(cli: CommandLine) -> None:
    from damrs_dgl.errors import RecipeError

    with pytest.raises(RecipeError):
        cli("--debug", "--recipe", "nothing", "fit")


def test_the_program_is_called_by_its_name(cli: CommandLine) -> None:
    assert "see `damrs-dgl fit --help`" in cli("fit", "--nothing").err
