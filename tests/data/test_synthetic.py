"""The synthetic shop: the truth that it states is the truth of its data."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from damrs_dgl.data import SyntheticShop, synthetic_shop
from damrs_dgl.errors import DataError


@pytest.fixture(scope="module")
def shop() -> SyntheticShop:
    return synthetic_shop(users=400, items=300, styles=8, noisy_click_share=0.2, swapped_share=0.15, seed=3)


def test_clicks_are_explained_by_taste_unless_marked(shop: SyntheticShop) -> None:
    dataset = shop.dataset
    for split, part in dataset.splits():
        liked = (shop.user_styles[part.users] == shop.item_styles[part.items][:, None]).any(dim=1)
        assert torch.equal(liked, ~shop.noisy_clicks) if split == "train" else liked.all()
    assert shop.noisy_clicks.float().mean().item() == pytest.approx(0.2, abs=1e-3)
    keys = torch.cat([part.users * dataset.num_items + part.items for _, part in dataset.splits()])
    assert len(keys) == len(keys.unique())
    assert torch.bincount(dataset.train.users, minlength=400).min() >= 1


def test_swapped_rows_lie_about_the_style(shop: SyntheticShop) -> None:
    honest = synthetic_shop(users=400, items=300, styles=8, noisy_click_share=0.2, swapped_share=0, seed=3)
    for modality, swapped in shop.swapped.items():
        assert int(swapped.sum()) == 45
        rows = torch.nn.functional.normalize(shop.dataset.features[modality].block(0, 300))
        similarity = (rows @ rows.T).fill_diagonal_(-1)
        neighbours = shop.item_styles[similarity.topk(5).indices]
        agreement = (neighbours == shop.item_styles[:, None]).float().mean(dim=1)
        assert agreement[~swapped].mean() > 0.5
        assert agreement[swapped].mean() < 0.2
    assert set(honest.swapped) == {"visual", "textual"}
    assert not any(mask.any() for mask in honest.swapped.values())


def test_swapped_rows_are_clean_rows_of_another_style() -> None:
    arguments = {"users": 50, "items": 200, "styles": 5, "dims": {"visual": 6}, "seed": 2}
    clean = synthetic_shop(**arguments, swapped_share=0)
    spoilt = synthetic_shop(**arguments, swapped_share=0.3)
    known = {row.tobytes(): item for item, row in enumerate(clean.dataset.features["visual"].values)}
    sources = torch.tensor([known[row.tobytes()] for row in spoilt.dataset.features["visual"].values])
    swapped = spoilt.swapped["visual"]
    assert torch.equal(sources != torch.arange(200), swapped)
    assert (clean.item_styles[sources] != clean.item_styles)[swapped].all()


def test_equal_seeds_give_equal_shops() -> None:
    first, second, other = (synthetic_shop(users=60, items=60, styles=4, seed=seed) for seed in (1, 1, 2))
    assert first.dataset.fingerprint() == second.dataset.fingerprint() != other.dataset.fingerprint()
    assert torch.equal(first.noisy_clicks, second.noisy_clicks)


def test_defaults() -> None:
    shop = synthetic_shop()
    dataset = shop.dataset
    assert (dataset.num_users, dataset.num_items) == (2000, 1200)
    assert {name: part.dim for name, part in dataset.features.items()} == {"visual": 64, "textual": 48}
    assert dataset.describe()["observations"] == pytest.approx(20000, rel=0.1)
    assert dataset.user_ids[17].as_py() == "user-00017"
    assert dataset.item_ids[42].as_py() == "item-0042"
    assert "synthetic" in str(dataset.findings[0])
    counts = torch.bincount(dataset.train.items, minlength=1200).sort(descending=True).values
    assert counts[:120].sum() > 0.25 * counts.sum(), "popularity has a long tail"


def test_users_have_one_to_three_distinct_tastes(shop: SyntheticShop) -> None:
    for tastes in shop.user_styles.tolist():
        real = [style for style in tastes if style >= 0]
        assert 1 <= len(real) == len(set(real)) and max(real) < 8
    assert np.bincount((shop.user_styles >= 0).sum(dim=1).numpy()).min() >= 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"users": 0}, "users = 0; choose at least 1"),
        ({"styles": 2}, "styles = 2; choose at least 4"),
        ({"items": 20}, "items = 20; choose at least 2 per style, 24"),
        ({"clicks_per_user": 2}, "clicks_per_user = 2; choose from 5"),
        ({"swapped_share": 1.5}, "swapped_share = 1.5; choose from 0 to 1"),
        ({"noisy_click_share": 0.9}, "noisy_click_share = 0.9"),
        ({"dims": {"visual": 0}}, "dims = .*at least 1"),
    ],
)
def test_bad_arguments(arguments: dict, words: str) -> None:
    with pytest.raises(DataError, match=words):
        synthetic_shop(**arguments)
