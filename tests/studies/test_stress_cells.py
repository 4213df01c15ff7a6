"""Which trainings a stress study needs, and what its table says."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.errors import DamrsError, RecipeError
from damrs_dgl.models.lightgcn import LightGCN
from damrs_dgl.models.registry import reads_content
from damrs_dgl.recipe import load_recipe, with_values
from damrs_dgl.studies.cells import run_cells
from damrs_dgl.studies.results import CellResult
from damrs_dgl.studies.stress import plan_cells, stress_rows
from damrs_dgl.studies.study import CLEAN, Cell, Study
from damrs_dgl.studies.systems import systems_of
from damrs_dgl.studies.training import CellTrainer
from damrs_dgl.studies.tune.trials import TrialResult, TrialStore, TrialTrainer, Verdict


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
    assert list(rows[0])[:4] == ["system", "noise", "ratio", "seed"]
    assert (rows[0]["best_epoch"], rows[0]["epochs"], rows[0]["seconds"]) == (2, 3, 1.5)


def test_nothing_to_lose_is_no_division_by_zero() -> None:
    rows = stress_rows({Cell("a"): _scores(0.0), _noisy("visual"): _scores(0.0)}, ["visual"])
    assert "drop_recall@20" not in rows[1]


def test_a_failed_training_has_its_error_and_a_failed_clean_one_leaves_no_drop() -> None:
    failed = DamrsError("no room", where="here")
    rows = stress_rows({Cell("a"): failed, _noisy("visual"): _scores(0.5)}, ["visual"])
    assert rows[0] == {"system": "a", "noise": "visual", "ratio": 0.0, "seed": 0, "error": "here: no room"}
    assert rows[1]["recall@20"] == 0.5
    assert "drop_recall@20" not in rows[1]


def test_every_mean_of_a_study_is_over_the_same_users(tmp_path: Path) -> None:
    """Half of the users have one click, which noise takes from some; others get their first one from it."""
    random = np.random.default_rng(0)
    rows = [(u, i, "train") for u in range(40) for i in random.permutation(30)[: 1 if u % 2 else 5]]
    rows += [(u, i, split) for u in range(44) for i, split in ((30, "val"), (31, "test"))]  # four without a click
    users, items, split = zip(*rows, strict=True)
    dataset = MultimodalDataset.from_arrays(users, items, item_ids=range(32), split=split)
    recipe = with_values(load_recipe("demo"), {"model": {"name": "popularity"}})
    study = Study(recipe, dataset, tmp_path, torch.device("cpu"))
    cells = [
        Cell("popularity"),
        Cell("popularity", (), "feedback-removed", 0.5),
        Cell("popularity", (), "feedback", 0.5),
    ]
    outcomes = run_cells(study, cells, jobs=1)
    found = [outcome.per_user()["user"] for outcome in outcomes.values() if isinstance(outcome, CellResult)]
    assert [list(one) for one in found] == [list(range(40))] * 3


def test_a_cell_is_the_same_whatever_was_trained_before_it(tmp_path: Path) -> None:
    """Noise is made from the clean data, and never on top of the noise of the cell before."""
    data = synthetic_shop(users=60, items=30).dataset
    recipe = load_recipe("demo", ["model.name=lightgcn", "model.dim=4", "training.epochs=1"])

    def trainer(folder: str) -> CellTrainer:
        return CellTrainer(Study(recipe, data, tmp_path / folder, torch.device("cpu")))

    cells = [
        Cell("lightgcn", noise="feedback", ratio=0.5),
        Cell("lightgcn", noise="feedback-removed", ratio=0.5),
        Cell("lightgcn"),
    ]
    together = trainer("together")
    for number, cell in enumerate(cells):
        after_others, alone = together.train(cell), trainer(f"alone{number}").train(cell)
        assert (after_others.validation, after_others.test) == (alone.validation, alone.test), cell


def test_a_trial_takes_the_whole_curve_of_a_cell(tmp_path: Path) -> None:
    recipe = load_recipe("demo", ["model.name=mf", "model.dim=4", "training.epochs=4", "training.patience=9"])
    study = Study(recipe, synthetic_shop(users=60, items=30).dataset, tmp_path / "cells", torch.device("cpu"))
    (outcome,) = run_cells(study, [Cell("mf")], jobs=1).values()
    assert isinstance(outcome, CellResult)
    trial, _ = TrialTrainer(study).run(Cell("mf"), lambda epoch, score: Verdict.GO_ON)
    known = TrialStore(tmp_path / "trials", study.results).read(study.key(Cell("mf")), recipe.training.monitor)
    assert isinstance(trial, TrialResult) and isinstance(known, TrialResult)
    assert known.curve == trial.curve and len(known.curve) == 4
    assert (known.score, known.best_epoch, known.epochs) == (trial.score, trial.best_epoch, trial.epochs)
