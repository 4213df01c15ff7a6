"""What a model says of clicks, against counting one by one."""

from __future__ import annotations

import pytest
import torch

from damrs_dgl.audit import model_view
from damrs_dgl.audit.model_view import view_clicks
from damrs_dgl.data.dataset import MultimodalDataset
from tests.models.builders import build, tiny_dataset


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("block_scores", [1, 40, 2**22])
def test_the_view_is_what_counting_gives(block_scores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_view, "_BLOCK_SCORES", block_scores)
    data = tiny_dataset()
    model = build("lightgcn", data)
    clicks = torch.randperm(len(data.train), generator=seeded())[:30]
    view = view_clicks(model, data, clicks, generator=seeded(), negatives=1000)
    scores = model.scorer().scores(torch.arange(data.num_users)).detach()
    for place, click in enumerate(clicks.tolist()):
        user, item = int(data.train.users[click]), int(data.train.items[click])
        met = set(data.train.items[data.train.users == user].tolist())
        unmet = scores[user, [i for i in range(data.num_items) if i not in met]]
        own = scores[user, item]
        assert view.score[place] == pytest.approx(float(own), rel=1e-5, abs=1e-7)
        assert view.percentile[place] == pytest.approx(float((unmet < own).float().mean()), abs=1e-6)
        assert view.margin[place] == pytest.approx(float(torch.sigmoid(own - unmet).mean()), abs=2e-3)


def test_equal_scores_count_half() -> None:
    data = tiny_dataset()
    model = build("lightgcn", data)
    for table in model.tables() or ():
        table.data.zero_()
    view = view_clicks(model, data, torch.arange(len(data.train)), generator=seeded())
    assert (view.percentile == 0.5).all() and (view.margin == 0.5).all()


@pytest.mark.parametrize("system", ["lightgcn", "damrs"])
def test_a_user_who_knows_every_item(system: str) -> None:
    users = ["all"] * 6 + ["b", "b", "b", "c", "c"]
    items = ["0", "1", "2", "3", "4", "5", "0", "1", "2", "3", "4"]
    split = [0] * 8 + [1, 0, 2]
    features = {"visual": torch.randn(6, 3, generator=seeded()).numpy()}
    data = MultimodalDataset.from_arrays(users, items, item_ids=items[:6], split=split, features=features)
    view = view_clicks(build(system, data), data, torch.arange(len(data.train)), generator=seeded())
    known = (data.train.users == int(data.user_indices(["all"])[0])).numpy()
    assert (view.percentile[known] == 0.5).all() and (view.margin[known] == 0.5).all()
    assert ((view.percentile >= 0) & (view.percentile <= 1)).all()
