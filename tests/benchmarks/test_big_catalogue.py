"""The large synthetic catalogue: sizes, distinct clicks, popularity, and features that show the styles."""

from __future__ import annotations

import pytest
import torch

from benchmarks import big_catalogue as module
from benchmarks.big_catalogue import ITEMS_PER_STYLE, big_catalogue


def test_sizes_and_distinct_clicks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "USER_BLOCK", 300)  # several blocks
    monkeypatch.setattr(module, "ITEM_BLOCK", 170)
    data = big_catalogue(1000, users_per_item=2, clicks_per_user=6, dim=8)
    assert (data.num_items, data.num_users) == (1000, 2000)
    assert 0.99 * 12_000 < len(data.train) <= 12_000 and not len(data.validation) and not len(data.test)
    assert len(torch.unique(data.train.users * 1000 + data.train.items)) == len(data.train)
    per_user = torch.bincount(data.train.users, minlength=2000)
    assert int(per_user.max()) == 6 and int(per_user.min()) >= 1
    assert {name: part.values.shape for name, part in data.features.items()} == dict.fromkeys(
        ("visual", "textual"), (1000, 8)
    )


def test_it_has_structure_and_is_the_same_at_every_call() -> None:
    data, again = big_catalogue(2000, seed=3), big_catalogue(2000, seed=3)
    assert torch.equal(data.train.items, again.train.items)
    assert (data.features["visual"].values == again.features["visual"].values).all()
    popularity = torch.bincount(data.train.items, minlength=2000).sort(descending=True).values
    assert popularity[:20].sum() > 5 * 20 * popularity.float().mean()  # a heavy head
    rows = torch.nn.functional.normalize(data.features["visual"].block(0, 2000), dim=1)
    near = (rows @ rows.T).topk(ITEMS_PER_STYLE).indices  # mostly of one's own style: neighbours of one's neighbours
    shared = [len({*near[item].tolist()} & {*near[int(near[item, 1])].tolist()}) for item in range(0, 2000, 100)]
    assert sum(shared) / len(shared) > 0.5 * ITEMS_PER_STYLE
