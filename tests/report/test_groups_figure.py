"""The groups plot: drawn whole, told apart, and refused where there is nothing to draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.image
import pytest

from damrs_dgl.errors import DataError
from damrs_dgl.report.figures.groups import _group_label, groups_figure


def rows(systems: tuple[str, ...] = ("damrs", "popularity")) -> list[dict[str, Any]]:
    groups = [("users", "new", 0, 5, 40), ("users", "active", 50, None, 0), ("items", "rare", 0, 3, 12)]
    return [
        {
            "by": by, "group": group, "low": low, "high": high, "counted": "training", "system": system,
            "metric": "recall@20", "value": 0.2 if users else None, "standard_error": 0.02 if users else None,
            "users": users,
        }
        for by, group, low, high, users in groups
        for system in systems
    ]  # fmt: skip


def test_a_png_is_drawn_with_groups_that_nobody_is_in(tmp_path: Path) -> None:
    path = groups_figure(rows(), tmp_path / "groups.png", metric="recall@20", subtitle="demo, synthetic data")
    picture = matplotlib.image.imread(path)
    assert picture.shape[0] > 500 and picture.shape[1] > 800
    assert picture[..., :3].std() > 0.05  # not an empty page
    assert [file.name for file in tmp_path.iterdir()] == ["groups.png"]


def test_more_systems_make_another_picture(tmp_path: Path) -> None:
    two = groups_figure(rows(), tmp_path / "two.png", metric="recall@20").read_bytes()
    three = groups_figure(rows(("damrs", "itemknn", "popularity")), tmp_path / "three.png", metric="recall@20")
    assert three.read_bytes() != two


def test_a_group_is_named_with_its_bounds_once() -> None:
    row = rows()[0]
    assert _group_label(row) == "new\n0 to 5\n40 users"
    assert _group_label({**row, "high": None}) == "new\n0 and more\n40 users"
    assert _group_label({**row, "group": "0 to 5"}) == "0 to 5\n40 users"


def test_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row of ndcg@20"):
        groups_figure(rows(), tmp_path / "groups.png", metric="ndcg@20")
    assert not list(tmp_path.iterdir())
