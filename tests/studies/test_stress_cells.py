"""Which trainings a stress study needs, and what its table says."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from damrs_dgl.errors import DamrsError, RecipeError
from damrs_dgl.models.lightgcn import LightGCN
from damrs_dgl.models.registry import reads_content
from damrs_dgl.recipe import load_recipe, with_values
from damrs_dgl.studies.results import CellResult
from damrs_dgl.studies.stress import plan_cells, stress_rows
from damrs_dgl.studies.study import CLEAN, Cell
from damrs_dgl.studies.systems import systems_of


@pytest.mark.parametrize(
    ("overrides", "asked", "expected"),
    [
        ([], [], ["damrs", "backbone"]),
        (["model.backbone=mf"], [], ["damrs", "backbone"]),
        (["model.name=mf"], [], ["mf"]),  # it wraps nothing
        (["model.backbone=mf"], ["DA-MRS", "backbone", "mf", "MF"], ["da-mrs", "backbone", "mf"]),  # each once
    ],
)
def test_the_systems_that_are_compared(overrides: list[str], asked: list[str], expected: list[str]) -> None:
    assert systems_of(load_recipe("demo", overrides), asked) == expected


def test_no_such_system() -> None:
    with pytest.raises(RecipeError, match=r'--models: there is no system "diigg"; did you mean "diig"'):
        systems_of(load_recipe("demo"), ["diigg"])


def test_clean_data_is_trained_once_for_all_kinds_of_noise() -> None:
    cells = plan_cells(["a", "b"], ["feedback", "visual"], [0.2, 0.0, 0.1, 0.2], [0, 1])
    assert cells[:4] == [
        Cell("a", noise=CLEAN, ratio=0.0, seed=0),
        Cell("b", noise=CLEAN, ratio=0.0, seed=0),
        Cell("a", noise=CLEAN, ratio=0.0, seed=1),
        Cell("b", noise=CLEAN, ratio=0.0, seed=1),
    ]
    assert len(cells) == len(set(cells)) == 4 + 2 * 2 * 2 * 2
    assert [cell.ratio for cell in cells[4:12]] == [0.1] * 4 + [0.2] * 4


def test_trainings_on_the_same_data_are_neighbours() -> None:
    cells = plan_cells(["a", "b", "c"], ["feedback"], [0.1, 0.2], [0, 1])
    data = [(cell.noise, cell.ratio, cell.seed) for cell in cells if cell.noise != CLEAN]
    changes = sum(a != b for a, b in itertools.pairwise(data))
    assert changes == len(set(data)) - 1


@pytest.mark.parametrize(
    ("model", "reads"),
    [
        ({"name": "itemknn"}, False),
        ({"name": "itemknn", "source": "content"}, True),
        ({"name": "tce", "backbone": "lightgcn"}, False),
        ({"name": "tce", "backbone": "vbpr"}, True),
        ({"name": "damrs", "backbone": "mf"}, True),
        ({"name": "blend", "members": {"a": "sgl", "b": "ease"}}, False),
        ({"name": "blend", "members": {"a": "sgl", "b": "graph_filter"}}, True),
    ],
)
def test_what_reads_content_by_its_keys_or_by_what_is_inside_it(model: object, *, reads: bool) -> None:
    assert reads_content(with_values(load_recipe("demo"), {"model": model}).model) == reads


def test_what_extends_a_system_of_clicks_may_read_content() -> None:
    assert not LightGCN.reads_content and type("Own", (LightGCN,), {}).reads_content  # type: ignore[attr-defined]


def _scores(value: float) -> CellResult:
    test = {"recall@5": value / 2, "recall@20": value, "ndcg@20": 2 * value}
    return CellResult({}, test, {}, best_epoch=2, epochs=3, seconds=1.5, wall_seconds=2.0, per_user_path=Path("none"))


def _noisy(noise: str) -> Cell:
    return Cell("a", noise=noise, ratio=0.1)


def test_rows_and_what_was_lost() -> None:
    outcomes = {Cell("a"): _scores(0.4), _noisy("feedback"): _scores(0.3), _noisy("visual"): _scores(0.5)}
    rows = stress_rows(outcomes, ["feedback", "visual"])
    assert [(row["noise"], row["ratio"]) for row in rows] == [
        ("feedback", 0.0), ("feedback", 0.1), ("visual", 0.0), ("visual", 0.1),
    ]  # fmt: skip
    assert [row["drop_recall@20"] for row in rows] == pytest.approx([0, 0.25, 0, -0.25])
    assert rows[1]["drop_ndcg@20"] == pytest.approx(0.25)
    assert "drop_recall@5" not in rows[0]
    assert list(rows[0])[:4] == ["model", "noise", "ratio", "seed"]
    assert (rows[0]["best_epoch"], rows[0]["epochs"], rows[0]["seconds"]) == (2, 3, 1.5)


def test_nothing_to_lose_is_no_division_by_zero() -> None:
    rows = stress_rows({Cell("a"): _scores(0.0), _noisy("visual"): _scores(0.0)}, ["visual"])
    assert "drop_recall@20" not in rows[1]


def test_a_failed_training_has_its_error_and_a_failed_clean_one_leaves_no_drop() -> None:
    failed = DamrsError("no room", where="here")
    rows = stress_rows({Cell("a"): failed, _noisy("visual"): _scores(0.5)}, ["visual"])
    assert rows[0] == {"model": "a", "noise": "visual", "ratio": 0.0, "seed": 0, "error": "here: no room"}
    assert rows[1]["recall@20"] == 0.5
    assert "drop_recall@20" not in rows[1]
