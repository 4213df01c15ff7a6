"""The benchmark's plain evaluation finds what `evaluate_ranking` finds."""

from __future__ import annotations

import pytest
import torch

from benchmarks.plain_evaluation import Rank, by_sorting, by_top_k, evaluate_plainly
from damrs_dgl.evaluation.metrics import evaluate_ranking


@pytest.mark.parametrize("num_items", [12, 90])  # fewer items than the longest list, and more
@pytest.mark.parametrize(("rank", "ties"), [(by_sorting, False), (by_sorting, True), (by_top_k, False)])
def test_same_metrics(num_items: int, rank: Rank, ties: bool) -> None:
    generator = torch.Generator().manual_seed(num_items)
    users, items = (torch.randn(n, 5, generator=generator, dtype=torch.float64) for n in (40, num_items))
    if ties:
        users, items = users.round(), items.round()
    drawn = torch.rand(40, num_items, generator=generator)
    drawn[:3, :] = 0.5  # neither seen nor relevant
    drawn[3, drawn[3] < 0.2] = 0.5  # relevant items, but no training
    seen, relevant = ((drawn < 0.2).nonzero(as_tuple=True), (drawn > 0.85).nonzero(as_tuple=True))
    found = evaluate_ranking(users, items, relevant=relevant, seen=seen, ks=(5, 10, 20, 50))
    plain = evaluate_plainly(users, items, relevant=relevant, seen=seen, rank=rank)
    assert found.num_users < 37 and 0 < plain["recall@5"] < plain["recall@20"]
    assert plain == pytest.approx(found.metrics, rel=1e-9)
