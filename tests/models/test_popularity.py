"""Popularity: the number of training interactions, for everyone the same."""

from __future__ import annotations

import torch

from tests.models.builders import build, dense_interactions, tiny_dataset


def test_the_scores_are_the_training_degrees() -> None:
    model = build("popularity")
    model.fit_closed_form()
    scores = model.scorer().scores(torch.tensor([3, 0]))
    assert torch.equal(scores.double(), dense_interactions(tiny_dataset()).sum(0).expand(2, -1))
    assert not list(model.parameters()) and set(model.state_dict()) == {"item_degrees"}
