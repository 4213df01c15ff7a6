"""What systems of the floor are called beside a recipe's own."""

from __future__ import annotations

import pytest

from damrs_dgl.evaluation.labels import floor_beside


@pytest.mark.parametrize(
    ("own", "validation", "names"),
    [
        ("damrs", 0.3, ["itemknn", "popularity"]),
        ("itemknn", 0.3, ["itemknn, defaults", "popularity"]),  # with other keys
        ("itemknn", 0.2, ["popularity"]),  # it is the recipe's own
    ],
)
def test_the_floor_is_shown_once(own: str, validation: float, names: list[str]) -> None:
    floor = {"itemknn": {"validation": {"recall@20": 0.2}}, "popularity": {"validation": {"recall@20": 0.1}}}
    beside = floor_beside(own, {"validation": {"recall@20": validation}, "floor": floor})
    assert list(beside) == names and list(beside.values()) == list(floor.values())[-len(names) :]
