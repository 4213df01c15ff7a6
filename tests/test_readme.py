"""Everything in README.md that can be run is run: its Python, its recipe, and its commands, on tiny data."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from damrs_dgl.cli import cli
from tests.documents import README, Page
from tests.shown_shop import CUSTOMERS, SKUS, make_shop


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of "Your own data"."""
    monkeypatch.chdir(tmp_path)
    return make_shop(tmp_path)


def shop_commands() -> list[list[str]]:
    return [command for command in README.commands() if "shop.toml" in command]


def test_a_first_reading_is_short() -> None:
    assert len(README.text.splitlines()) <= 160


def test_python_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = README.blocks("python")
    names: dict[str, Any] = {}
    exec(compile(code.replace("training__epochs=20", "training__epochs=1"), "README.md", "exec"), names)
    assert names["best"].shape == names["scores"].shape == (2, 5)
    assert set(names["best"].flat) <= set(names["items"])
    assert "sku-3" not in names["nearest"]


def test_the_shop_gets_its_recommendations(shop: Path) -> None:
    assert len(shop_commands()) >= 4
    for command in shop_commands():
        cli.main(command, standalone_mode=False)
    run = shop / "runs" / "shop"
    table = pq.read_table(run / "recommendations.parquet")
    assert table.column_names == ["user", "item", "rank", "score"]
    assert table["rank"].to_pylist()[:3] == [1, 2, 3]
    assert set(table["user"].to_pylist()) == {f"customer-{n}" for n in range(CUSTOMERS)}
    assert set(table["item"].to_pylist()) <= {f"sku-{n}" for n in range(SKUS)}


def table_of_stages(page: Page) -> list[tuple[str, str]]:
    """Each stage of the table and what it is said to write."""
    return re.findall(r"^\| `([a-z-]+)` \|.*\| (.*) \|$", page.text, flags=re.MULTILINE)


def test_stages_write_what_the_table_says(shop: Path) -> None:
    rows = table_of_stages(README)
    assert {name for name, _ in rows} == set(cli.commands) - {"doctor", "recipes"}
    options = {
        "evaluate": ["--per-user"],
        "recommend": ["--export-vectors"],
        "stress": ["--ratio", "0.1", "--models", "mf"],
    }
    options |= {"compare": ["--models", "mf"], "tune": ["--trials", "1"]}
    run = shop / "runs" / "shop"
    short = ["--recipe", "shop.toml", "-o", "training.epochs=2"]
    for name, written in rows:
        shutil.rmtree(run / "cells", ignore_errors=True)
        cli.main([*short, name, *options.get(name, [])], standalone_mode=False)
        for pattern in re.findall(r"`([^`]+)`", written):
            assert list(run.glob(pattern.rstrip("/"))), f"{name} did not write {pattern}"


def test_the_pages_show_the_same_shop() -> None:
    """docs/data.md begins as the README does."""
    data = Page("docs/data.md")
    assert data.blocks("text")[0] == README.blocks("text")[0]
    assert data.blocks("toml")[0].startswith(README.blocks("toml")[0])
