"""EASE against its equation, dense in float64, and its limit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from damrs_dgl.errors import RecipeError
from tests.models.builders import build, dense_interactions, tiny_dataset


@pytest.mark.parametrize("regularization", [0.5, 20.0])
def test_scores_are_those_of_the_equation(regularization: float) -> None:
    r = dense_interactions(tiny_dataset()).numpy()
    p = np.linalg.inv(r.T @ r + regularization * np.eye(r.shape[1]))
    weights = np.array([[0 if i == j else -p[i, j] / p[j, j] for j in range(len(p))] for i in range(len(p))])
    model = build("ease", regularization=regularization)
    model.fit_closed_form()
    users = torch.tensor([5, 0, 15])
    out = torch.full((3, r.shape[1]), torch.nan)
    scores = model.scorer().scores(users, out)
    assert scores is out
    assert np.allclose(scores, (r @ weights)[users], rtol=1e-4, atol=1e-5)


def test_too_many_items_are_refused_with_what_they_would_take() -> None:
    with pytest.raises(RecipeError, match=r"model.max_items: EASE for 14 items keeps 0.0 GB and takes .* 13 items"):
        build("ease", max_items=13)
    build("ease", max_items=14)
