"""The commands on the page are those that made what it shows."""

from __future__ import annotations

import html
import shlex
from pathlib import Path

import pytest

from tests.cli_runner import CommandLine, tiny_options


def test_the_page_repeats_what_it_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its recipe and its commands, in a folder of their own, give its tables again."""
    monkeypatch.chdir(tmp_path)
    made = CommandLine(capsys, monkeypatch, tmp_path, tiny_options(tmp_path / "run", epochs=2))
    made.ok("fit", "groups", "--cuts", "3,6", "audit", "--scorer", "ease")
    made.ok("compare", "--models", "mf", "--jobs", "1", "report")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    codes = [html.unescape(part.split("</code>")[0]) for part in page.split("<code>")[1:]]
    recipe, (install, *commands) = codes[0], codes[1].splitlines()
    assert install.startswith("pip install . ")
    (tmp_path / "recipe.toml").write_text(recipe, encoding="utf-8")
    for command in commands[:-1]:
        program, *arguments = shlex.split(command)
        assert program == "damrs-dgl"
        jobs = ["--jobs", "1"] if "compare" in arguments else []
        CommandLine(capsys, monkeypatch, tmp_path).ok(*arguments, *jobs)
    stages = [shlex.split(command)[5:] for command in commands]
    assert [stage[0] for stage in stages] == ["describe", "groups", "compare", "audit", "report"]
    again = tmp_path / "runs" / "demo-again"
    for name in ("groups.csv", "compare_pairs.csv", "audit/interactions.parquet"):
        assert (again / name).read_bytes() == (tmp_path / "run" / name).read_bytes(), name
