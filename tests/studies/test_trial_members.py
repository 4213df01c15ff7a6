"""A search whose time is over ends a trial that is still training the systems inside it."""

from __future__ import annotations

from pathlib import Path

import torch

from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.recipe import load_recipe
from damrs_dgl.studies.study import Cell, Study
from damrs_dgl.studies.tune.trials import StoppedTrial, TrialTrainer, Verdict


def test_members_are_asked_whether_time_is_left(tmp_path: Path) -> None:
    members = 'model.members={a={name="mf", dim=4}, b={name="popularity"}}'
    recipe = load_recipe("demo", ["model.name=blend", members, "training.epochs=50", "training.patience=50"])
    study = Study(recipe, synthetic_shop(users=60, items=30).dataset, tmp_path, torch.device("cpu"))
    asked: list[tuple[int, float | None]] = []

    def report(epoch: int, score: float | None) -> Verdict:
        asked.append((epoch, score))
        return Verdict.STOP if len(asked) == 3 else Verdict.GO_ON

    outcome, _ = TrialTrainer(study).run(Cell("blend"), report)
    assert isinstance(outcome, StoppedTrial)
    assert asked == [(1, None), (2, None), (3, None)]
    outcome, _ = TrialTrainer(study).run(Cell("blend"), lambda epoch, score: Verdict.GO_ON)
    assert not isinstance(outcome, StoppedTrial)
