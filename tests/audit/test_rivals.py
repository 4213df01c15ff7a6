"""Scores of a click without that click: the closed forms against computing everything anew without it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from damrs_dgl.audit.folds import without_clicks
from damrs_dgl.audit.rivals import (
    content_fit_without_click,
    ease_without_click,
    itemknn_without_click,
    popularity_without_click,
)
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.errors import DataError
from tests.models.builders import tiny_dataset

DATA = tiny_dataset(users=20)


def removed(click: int) -> tuple[MultimodalDataset, np.ndarray]:
    """The data without one click, and R of it, dense."""
    left_out = torch.zeros(len(DATA.train), dtype=torch.bool)
    left_out[click] = True
    data = without_clicks(DATA, left_out)
    matrix = np.zeros((data.num_users, data.num_items))
    matrix[data.train.users, data.train.items] = 1
    return data, matrix


def test_ease_is_computed_anew_without_the_click() -> None:
    found = ease_without_click(DATA, regularization=3.0)
    for click in range(len(DATA.train)):
        user, item = int(DATA.train.users[click]), int(DATA.train.items[click])
        _, matrix = removed(click)
        inverse = np.linalg.inv(matrix.T @ matrix + 3.0 * np.eye(DATA.num_items))
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0)
        # the click's item is the target: the other columns are as they were
        assert found[click] == pytest.approx(matrix[user] @ weights[:, item], rel=1e-9, abs=1e-12)


def test_itemknn_is_computed_anew_without_the_click() -> None:
    found = itemknn_without_click(DATA, shrink=2.0)
    for click in range(len(DATA.train)):
        user, item = int(DATA.train.users[click]), int(DATA.train.items[click])
        _, matrix = removed(click)
        degree = matrix.sum(0)
        wanted = sum(
            (matrix[:, item] @ matrix[:, j]) / (np.sqrt(degree[item] * degree[j]) + 2.0)
            for j in np.flatnonzero(matrix[user])
        )
        assert found[click] == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_popularity_does_not_count_the_click() -> None:
    items = DATA.train.items
    wanted = [int((items == item).sum()) - 1 for item in items]
    assert popularity_without_click(DATA).tolist() == wanted


def test_content_is_compared_with_the_users_other_items() -> None:
    found = content_fit_without_click(DATA)
    for click in range(len(DATA.train)):
        user, item = int(DATA.train.users[click]), int(DATA.train.items[click])
        others = [int(j) for j in DATA.train.items[DATA.train.users == user] if int(j) != item]
        cosines = []
        for features in DATA.features.values():
            rows = torch.nn.functional.normalize(features.block(0, DATA.num_items).double(), dim=1)
            if not features.missing[item]:
                mean = rows[others].mean(0)
                cosines.append(float(rows[item] @ mean / mean.norm()))
        assert found[click] == pytest.approx(float(np.mean(cosines)) if cosines else 0.0, abs=1e-5)


def test_content_is_refused_where_there_is_none() -> None:
    with pytest.raises(DataError, match="no content"):
        content_fit_without_click(DATA.replace(features={}))


def test_ease_is_refused_where_it_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("damrs_dgl.audit.rivals.EASE_MOST_ITEMS", 10)
    with pytest.raises(DataError, match="14 x 14 items"):
        ease_without_click(DATA)
