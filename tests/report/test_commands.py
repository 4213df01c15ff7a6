"""The commands on the page are those that made what it shows."""

from __future__ import annotations

import html
import shlex
from pathlib import Path
from typing import Any

import pytest

from damrs_dgl.report.commands import audit_command, study_commands
from tests.cli_runner import CommandLine, tiny_options

FLOOR = ("popularity", "itemknn")


def seeded(column: str, *systems: str, seeds: int = 2, **more: Any) -> list[dict[str, Any]]:
    return [{column: system, "seed": seed, **more} for seed in range(7, 7 + seeds) for system in systems]


def groups(by: str, *bounds: tuple[str, int, int | None]) -> list[dict[str, Any]]:
    return [{"by": by, "group": name, "low": low, "high": high} for name, low, high in bounds]


def trial(number: int, search: str, budget: int | None = None) -> dict[str, Any]:
    return {"trial": number, "search": search, "state": "finished", "budget_trials": budget}


@pytest.mark.parametrize(
    ("study", "rows", "command"),
    [
        ("groups", groups("users", ("new", 0, 5), ("active", 50, None)), "groups"),
        (
            "groups",
            groups("users", ("0 to 4", 0, 4), ("5", 5, 5), ("6 and more", 6, None)) + groups("items", ("rare", 0, 2)),
            "groups --cuts 5,6",
        ),
        ("groups", groups("items", ("0", 0, 0), ("1 and more", 1, None)), "groups --item-cuts 1"),
        ("compare", seeded("system", "damrs:mf", "mf") + seeded("system", *FLOOR, seeds=1),
         "compare --models damrs:mf,mf --seeds 2"),
        ("compare", seeded("system", "itemknn", "popularity", seeds=1),
         "compare --models itemknn,popularity --seeds 1"),
        ("compare", seeded("system", "popularity", "mf", "itemknn", seeds=1),
         "compare --models popularity,mf --seeds 1"),
        ("ablate", seeded("system", "iig", "da-mrs", seeds=3), "ablate --seeds 3"),
        (
            "stress",
            seeded("model", "mf", "itemknn", noise="my photos", ratio=0)
            + seeded("model", "mf", "itemknn", noise="my photos", ratio=0.05),
            "stress --noise 'my photos' --ratio 0.05 --models mf,itemknn --seeds 2",
        ),
        ("stress", seeded("model", "mf", noise="feedback", ratio=0.0, seeds=1),
         "stress --noise feedback --ratio 0 --models mf --seeds 1"),
        ("tune", [trial(0, "grid, seed 3, the grid of mf", 9)], "tune --trials 9 --search grid --seed 3"),
        ("tune", [trial(0, "optuna, seed 0, /my/own space.toml", 2)],
         "tune --trials 2 --search optuna --seed 0 --space 'own space.toml'"),
        ("tune", [trial(0, "")], "tune --trials 1"),
    ],
)  # fmt: skip
def test_options_are_told_from_the_table(study: str, rows: list[dict[str, Any]], command: str) -> None:
    assert study_commands({study: rows}, FLOOR) == [command]


def test_each_search_has_its_command() -> None:
    rows = [trial(0, "grid, seed 0, the grid of mf", 4), trial(1, "optuna, seed 1, the search space of mf")]
    rows.append(trial(5, "optuna, seed 1, the search space of mf"))
    assert study_commands({"tune": rows}, FLOOR) == [
        "tune --trials 5 --search optuna --seed 1",
        "tune --trials 4 --search grid --seed 0",
    ]


def test_an_audit_has_the_options_that_it_was_made_with() -> None:
    assert audit_command("ease", 0) == "audit --scorer ease"
    assert audit_command("ease", 4) == "audit --scorer ease --folds 4"


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
