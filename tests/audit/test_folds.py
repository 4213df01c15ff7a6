"""Cross-fitting: no click is judged by a model that has seen it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from damrs_dgl.audit.folds import cross_fitted, fold_of_clicks, without_clicks
from damrs_dgl.audit.model_view import ModelView
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.parts import Interactions
from damrs_dgl.errors import DataError
from damrs_dgl.models.base import ClickEvidence
from tests.models.builders import tiny_dataset

DATA = tiny_dataset(users=30)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_fold_never_sees_its_own_clicks() -> None:
    fold = fold_of_clicks(DATA.train, 4, generator=seeded())
    met: list[int] = []

    def look(number: int, kept: MultimodalDataset, clicks: Tensor) -> ModelView:
        trained = set(zip(kept.train.users.tolist(), kept.train.items.tolist(), strict=True))
        judged = list(zip(DATA.train.users[clicks].tolist(), DATA.train.items[clicks].tolist(), strict=True))
        assert judged and not trained & set(judged)
        assert len(trained) + len(judged) == len(DATA.train)
        assert kept.fingerprint() != DATA.fingerprint()
        met.extend(clicks.tolist())
        places = clicks.numpy().astype(np.float32)
        f = clicks.float()
        evidence = ClickEvidence(f, f + 1, f + 2, f + 3, ("a", "b"), torch.stack([f, -f]))
        return ModelView(places, places, places, evidence)

    view = cross_fitted(DATA, fold, look)
    assert sorted(met) == list(range(len(DATA.train)))
    assert view.score.tolist() == list(range(len(DATA.train)))  # each where it belongs
    own = view.evidence
    assert own is not None and own.relations == ("a", "b")
    for added, values in enumerate((own.reliability, own.contradiction, own.posterior, own.batch_posterior)):
        assert values.tolist() == [place + added for place in range(len(DATA.train))]
    assert np.array_equal(own.support, np.stack([view.score, -view.score]))
    assert view.fold is not None and view.fold.tolist() == fold.tolist()


def test_each_user_loses_an_even_share() -> None:
    fold = fold_of_clicks(DATA.train, 3, generator=seeded(1))
    for user in range(DATA.num_users):
        counts = torch.bincount(fold[DATA.train.users == user], minlength=3)
        assert counts.max() - counts.min() <= 1
    assert torch.bincount(fold).min() > len(DATA.train) / 5
    assert torch.equal(fold, fold_of_clicks(DATA.train, 3, generator=seeded(1)))
    assert not torch.equal(fold, fold_of_clicks(DATA.train, 3, generator=seeded(2)))


def test_users_with_a_single_click_do_not_all_lose_it_at_once() -> None:
    users = torch.arange(60)
    fold = fold_of_clicks(Interactions(users, users % 7), 3, generator=seeded())
    assert torch.bincount(fold, minlength=3).min() >= 10


def test_leaving_out_keeps_the_rest_in_order() -> None:
    left_out = torch.zeros(len(DATA.train), dtype=torch.bool)
    left_out[[0, 5]] = True
    kept = without_clicks(DATA, left_out)
    assert torch.equal(kept.train.items, DATA.train.items[~left_out]) and kept.test is DATA.test


@pytest.mark.parametrize("folds", [-1, 0, 1, 21])
def test_a_senseless_number_of_folds(folds: int) -> None:
    with pytest.raises(DataError, match="from 2 to 20"):
        fold_of_clicks(DATA.train, folds, generator=seeded())
