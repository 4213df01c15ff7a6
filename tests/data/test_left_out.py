"""Weights of training clicks: read from a file, kept by noise, refused where they do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from damrs_dgl.data.left_out import leave_out_file, weigh_clicks, without_clicks
from damrs_dgl.data.noise import corrupt
from damrs_dgl.data.parts import Interactions
from damrs_dgl.errors import DataError
from tests.models.builders import tiny_dataset

DATA = tiny_dataset()


def write(path: Path, weights: np.ndarray, clicks: torch.Tensor) -> Path:
    table = {
        "user": DATA.user_ids.take(pa.array(DATA.train.users[clicks].numpy())),
        "item": DATA.item_ids.take(pa.array(DATA.train.items[clicks].numpy())),
        "weight": pa.array(weights),
    }
    pq.write_table(pa.table(table), path)
    return path


def test_weights_find_their_clicks_in_any_order(tmp_path: Path) -> None:
    clicks = torch.randperm(len(DATA.train), generator=torch.Generator().manual_seed(0))
    weights = np.linspace(0, 1, len(clicks))
    found = weigh_clicks(DATA, write(tmp_path / "w.parquet", weights, clicks))
    assert found.train.weights is not None
    assert np.allclose(found.train.weights[clicks].numpy(), weights)
    assert found.fingerprint() != DATA.fingerprint()
    chosen = torch.arange(len(clicks)) < 4
    assert torch.equal(without_clicks(found, chosen).train.weights, found.train.weights[~chosen])


@pytest.mark.parametrize("noise", ["feedback", "feedback-removed"])
def test_noise_keeps_the_weights_of_what_stays(noise: str, tmp_path: Path) -> None:
    weights = np.linspace(0.1, 0.9, len(DATA.train))
    weighed = weigh_clicks(DATA, write(tmp_path / "w.parquet", weights, torch.arange(len(DATA.train))))
    before = dict(zip(zip(DATA.train.users.tolist(), DATA.train.items.tolist(), strict=True), weights, strict=True))
    noisy = corrupt(weighed, noise, 0.2, seed=0).train
    assert noisy.weights is not None and len(noisy) != len(DATA.train)
    pairs = zip(noisy.users.tolist(), noisy.items.tolist(), strict=True)
    for pair, weight in zip(pairs, noisy.weights.tolist(), strict=True):
        assert weight == pytest.approx(before.get(pair, 1.0))


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    every, path = torch.arange(len(DATA.train)), tmp_path / "w.parquet"
    ones = np.ones(len(every))
    for wrong in (1.5, -0.1):
        with pytest.raises(DataError, match="not between 0 and 1"):
            weigh_clicks(DATA, write(path, np.where(every == 3, wrong, ones), every))
    with pytest.raises(DataError, match="all weights are 0"):
        weigh_clicks(DATA, write(path, 0 * ones, every))
    with pytest.raises(DataError, match=r"w.parquet: 1 null values of weight, the first in row 4"):
        weigh_clicks(DATA, write(path, np.where(every == 3, np.nan, ones), every))
    with pytest.raises(DataError, match=r"w.parquet: weight is not numbers \('high' in row 1\); write numbers"):
        weigh_clicks(DATA, write(path, np.full(len(every), "high"), every))
    with pytest.raises(DataError, match=r"w.parquet: weight is not numbers but date32"):
        weigh_clicks(DATA, write(path, np.full(len(every), "2020-01-01", dtype="datetime64[D]"), every))
    with pytest.raises(DataError, match=r"it weighs \d+ clicks and the training split has"):
        weigh_clicks(DATA, write(path, ones[1:], every[1:]))
    with pytest.raises(DataError, match="or they are others"):
        weigh_clicks(DATA, write(path, ones, torch.cat([every[:1], every[:-1]])))
    with pytest.raises(DataError, match="2 weights for 1 interactions"):
        Interactions(torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64), torch.ones(2))


def test_a_file_may_name_what_is_left_out_already(tmp_path: Path) -> None:
    """As that of `fit --drop-suspects` does, and a reader leaves out what was rated low."""
    chosen = torch.arange(len(DATA.train)) < 3
    before = without_clicks(DATA, chosen)
    path = write(tmp_path / "out.parquet", np.ones(5), torch.arange(5))
    after = leave_out_file(before, path)
    assert len(after.train) == len(DATA.train) - 5 and len(after.left_out) == 5
    with pytest.raises(DataError, match="it weighs 2 clicks and the training split has"):
        weigh_clicks(before, path)
    every = write(tmp_path / "all.parquet", np.linspace(0, 1, len(DATA.train)), torch.arange(len(DATA.train)))
    weights = weigh_clicks(DATA, every).train.weights
    assert weights is not None
    assert torch.equal(weigh_clicks(before, every).train.weights, weights[3:])


@pytest.mark.parametrize("ids", [[[1]], [{"a": 1}], [b"\xff"]])
def test_a_file_whose_ids_are_none(ids: list[object], tmp_path: Path) -> None:
    pq.write_table(pa.table({"user": ids, "item": ids, "weight": [1.0]}), tmp_path / "w.parquet")
    for read in (leave_out_file, weigh_clicks):
        with pytest.raises(DataError, match=r"w.parquet: cannot be read as a table of user and item"):
            read(DATA, tmp_path / "w.parquet")


def test_everything_cannot_be_left_out() -> None:
    with pytest.raises(DataError, match="no training click is left"):
        without_clicks(DATA, torch.ones(len(DATA.train), dtype=torch.bool))
