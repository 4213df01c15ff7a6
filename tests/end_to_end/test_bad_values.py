"""Names, numbers, pipes and outputs beyond what can be: one line and exit code 2, or the right result; no hang."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli_runner import CommandLine
from tests.end_to_end.conftest import Shop

LONG = "a" * 5000
OPTIONS = {
    "ratio nan": (("stress", "--ratio", "nan"), ("'--ratio'", "nan is not a number")),
    "share nan": (("fit", "--drop-suspects", "nan"), ("'--drop-suspects'", "nan is not a number")),
    "minutes nan": (("tune", "--trials", "1", "--timeout", "nan"), ("'--timeout'", "nan is not a number")),
    "seeds": (("stress", "--seeds", "200000000"), ("'--seeds'", "200000000")),
    "run of a name too long": (("--run", f"/tmp/{LONG}", "describe"), ("File name too long",)),
    "copy to a name too long": (("recipes", "cp", "demo", f"/tmp/{LONG}"), ("File name too long",)),
    "recipe of a name too long": (("--recipe", LONG, "describe"), ("aaa...aaa",)),
    "5,000 digits": (("-o", f"training.seed={'9' * 5000}", "describe"), ("training.seed", "999...999", "an integer")),
    "a key of 3,000 parts": (("-o", f"data.{'a.' * 3000}a=1", "describe"), ("the key has 3,002 parts",)),
    "300 lists": (("-o", f"data.users={'[' * 300}{']' * 300}", "describe"), ("data.users has lists", "deep")),
    "an integer of no machine": (("-o", "training.epochs=99999999999999999999", "describe"), ("at most 64 bits",)),
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_bad_options(cli: CommandLine, nothing_written: Callable[[], bool], kind: str) -> None:
    arguments, saying = OPTIONS[kind]
    result = cli.refused(*arguments, saying=saying)
    assert len(result.errors[0]) < 1000
    assert nothing_written()


RECIPES = {
    "lists": ("x = " + "[" * 200 + "]" * 200, ("more than 20 deep",)),
    "very deep lists": ("x = " + "[" * 20_000 + "]" * 20_000, ("not valid TOML", "too deep")),
    "tables": ("x = " + "{a = " * 150 + "1" + "}" * 150, ("more than 20 deep",)),
    "dots": ("a." * 3000 + "b = 1", (" deep",)),
    "5,000 digits": (f"users = {'9' * 5000}", ("not valid TOML", "5000 digits")),
    "beyond 64 bits": (f"[graphs]\nbehavior_min_count = {'9' * 50}", ("graphs.behavior_min_count", "at most 64 bits")),
}


@pytest.mark.parametrize("kind", RECIPES)
def test_bad_recipes(cli: CommandLine, nothing_written: Callable[[], bool], kind: str) -> None:
    text, saying = RECIPES[kind]
    (cli.folder / "r.toml").write_text(f"[data]\nformat = 'synthetic'\n{text}\n")
    cli.refused("--recipe", "r.toml", "--run", "run", "describe", saying=("r.toml", *saying))
    assert nothing_written()


def test_names_in_a_recipe(shop: Shop) -> None:
    shop.cli.refused("-o", f"data.path={LONG}", "describe", saying=("cannot be opened (File name too long)",))
    shop.cli.refused("-o", 'data.path="a\\u0000b"', "describe", saying=("is no name of a file",))


@pytest.mark.parametrize("top", ["1000000", "99999999999999999999999"])
def test_top_above_the_catalogue(fitted: CommandLine, top: str) -> None:
    fitted.ok("recommend", "--top", top)
    ranks = pq.read_table(fitted.folder / "run" / "recommendations.parquet")["rank"]
    assert max(ranks.to_pylist()) <= 80


USERS = ["user-00003", "user-00001"]
USER_FILES = {
    "plain.txt": "\n".join(USERS),
    "header.csv": "\n".join(["user", *USERS]),
    "second.csv": "\n".join(["age,user_id", *(f"{age},{user}" for age, user in enumerate(USERS))]),
    "tabs.tsv": "\n".join(["age\tUser", *(f"{age}\t{user}" for age, user in enumerate(USERS))]),
    "index.csv": "\n".join([",user", *(f"{age},{user}" for age, user in enumerate(USERS))]),
}


def recommended(cli: CommandLine) -> list[str]:
    return list(dict.fromkeys(pq.read_table(cli.folder / "run" / "recommendations.parquet")["user"].to_pylist()))


@pytest.mark.parametrize("name", USER_FILES)
def test_users_by_their_column(fitted: CommandLine, name: str) -> None:
    (fitted.folder / name).write_text(USER_FILES[name] + "\n")
    result = fitted.ok("recommend", "--users", name, "--top", "2")
    assert recommended(fitted) == USERS
    assert "are no users" not in result.err


def test_users_by_the_column_of_the_recipe(cli: CommandLine) -> None:
    (cli.folder / "shop").mkdir()
    pairs = [(f"u{user}", f"i{(user * 3 + step) % 17}") for user in range(20) for step in range(10)]
    table = pa.table({"kunde": [user for user, _ in pairs], "item": [item for _, item in pairs]})
    pq.write_table(table, cli.folder / "shop" / "t.parquet")
    (cli.folder / "r.toml").write_text(
        '[data]\nformat = "tables"\npath = "shop"\ninteractions = "t.parquet"\nuser = "kunde"\n'
        '[model]\nname = "popularity"\n'
    )
    (cli.folder / "asked.csv").write_text("name,kunde\nAnna,u3\nBen,u1\n")
    cli.ok("--recipe", "r.toml", "--run", "run", "fit", "recommend", "--users", "asked.csv", "--top", "2")
    assert recommended(cli) == ["u3", "u1"]


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_users_on_standard_input(fitted: CommandLine, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (fitted.folder / "users.txt").write_text("user\n" + "\n".join(USERS))
    with (fitted.folder / "users.txt").open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        fitted.ok("recommend", "--users", name, "--top", "2")
    assert recommended(fitted) == USERS


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to(path)])
def test_users_that_are_no_file(fitted: CommandLine, make: Callable[[Path], None]) -> None:
    make(fitted.folder / "users.txt")
    fitted.refused("recommend", "--users", "users.txt", saying=("users.txt",))


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    command = f"{sys.executable} -m damrs_dgl"
    environment = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run(
        ["bash", "-c", line.replace("DAMRS", command)],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("what", ["recipes ls", "recipes show", "--help"])
def test_output_that_is_full(tmp_path: Path, what: str) -> None:
    result = shell(f"DAMRS {what} > /dev/full", tmp_path)
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "error: standard output: cannot be written (No space left on device); "
        "send it elsewhere and run the same command again"
    ]


def test_errors_that_nobody_takes(tmp_path: Path) -> None:
    assert shell("DAMRS recipes nothing 2> /dev/full", tmp_path).returncode == 2
    result = shell("DAMRS recipes show | head -1", tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


def test_memory_that_ends_while_libraries_are_loaded(tmp_path: Path) -> None:
    for kilobytes in (300_000, 800_000):
        result = shell(f"ulimit -v {kilobytes}; DAMRS --run run describe", tmp_path)
        assert result.returncode == 2, result.stderr
        assert result.stderr.startswith("error: not enough memory")
        assert len(result.stderr.splitlines()) == 1
