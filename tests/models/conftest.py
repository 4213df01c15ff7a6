"""The synthetic shop that every model is tested on."""

from __future__ import annotations

import pytest
import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.evaluation.metrics import evaluate_ranking


@pytest.fixture(scope="session")
def shop() -> MultimodalDataset:
    return synthetic_shop(
        users=300, items=200, clicks_per_user=10, styles=8, dims={"visual": 16, "textual": 12}, seed=1
    ).dataset


@pytest.fixture(scope="session")
def popularity_recall(shop: MultimodalDataset) -> float:
    """Recall@20 on the test split of ranking by the number of training clicks (beside it, random is nowhere)."""
    popularity = torch.bincount(shop.train.items, minlength=shop.num_items).float()
    seen = [
        torch.cat(parts)
        for parts in ((shop.train.users, shop.validation.users), (shop.train.items, shop.validation.items))
    ]
    result = evaluate_ranking(
        torch.ones(shop.num_users, 1),
        popularity[:, None],
        relevant=(shop.test.users, shop.test.items),
        seen=(seen[0], seen[1]),
        ks=(20,),
    )
    return result.metrics["recall@20"]
