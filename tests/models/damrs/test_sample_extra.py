"""What DA-MRS draws for a batch beside the pairs: anchors, and items that stand for a large catalogue."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from damrs_dgl.models.registry import find_model
from tests.models.builders import build, make_batch, tiny_dataset

Draw = dict[str, Tensor]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_model(num_items: int | None = None, **keys: Any) -> Any:
    """A DA-MRS that takes its catalogue to be of `num_items`."""
    model: Any = build("damrs", dim=4, **{"variant": "paper", **keys})
    model.num_items = num_items or model.num_items
    return model


def random_pairs(seed: int, size: int = 60, users: int = 30, items: int = 40) -> tuple[Tensor, Tensor, Tensor]:
    generator = seeded(seed)
    return tuple(torch.randint(high, (size,), generator=generator) for high in (users, items, items))  # type: ignore[return-value]


def test_distinct_items_and_all_anchors() -> None:
    users, positive, negative = random_pairs(0)
    extra = make_model(40, anchors="all").sample_extra(users, positive, negative, seeded())
    items = sorted({*positive.tolist(), *negative.tolist()})
    assert extra["items"].tolist() == extra["anchor_items"].tolist() == items
    assert extra["anchor_users"].tolist() == sorted({*users.tolist()})
    assert "softmax_items" not in extra
    assert all(tensor.dtype == torch.int64 for tensor in extra.values())
    few = make_model(40, anchors="all").sample_extra(users, positive, None, seeded())
    assert few["items"].tolist() == sorted({*positive.tolist()})


def test_anchors_are_distinct_and_of_the_batch() -> None:
    model = make_model(40, anchors=6)
    for seed in range(20):
        users, positive, negative = random_pairs(seed, size=3 if seed == 0 else 32)
        extra = model.sample_extra(users, positive, negative, seeded(seed))
        for anchors, pool in ((extra["anchor_users"], users), (extra["anchor_items"], extra["items"])):
            assert len(anchors) == min(6, len(pool.unique())) == len(set(anchors.tolist()))
            assert set(anchors.tolist()) <= set(pool.tolist())


def test_candidates_are_some_of_the_batchs_items() -> None:
    users, positive, negative = random_pairs(2)
    assert "candidates" not in make_model(40).sample_extra(users, positive, negative, seeded())
    extra = make_model(40, feedback="softmax", candidates=7).sample_extra(users, positive, negative, seeded())
    assert len(extra["candidates"]) == len(set(extra["candidates"].tolist())) == 7
    assert set(extra["candidates"].tolist()) <= set(extra["items"].tolist())


def test_every_user_becomes_an_anchor_equally_often() -> None:
    model, generator, counts = make_model(9, anchors=2), seeded(), torch.zeros(8)
    users = torch.arange(8)
    for _ in range(2000):
        counts[model.sample_extra(users, users, users, generator)["anchor_users"]] += 1
    assert float(((counts - 500) ** 2 / 500).sum()) < 24.32  # 99.9 % point of chi-square with 7 degrees


LARGE: dict[str, Any] = {"sampled_softmax_above": 39}


def test_softmax_items_are_distinct_and_not_of_the_batch() -> None:
    model = make_model(400, softmax_sample=50, **LARGE)
    for seed in range(10):
        extra = model.sample_extra(*random_pairs(seed), seeded(seed))
        drawn = set(extra["softmax_items"].tolist())
        assert extra["softmax_items"].dtype == torch.int64
        assert len(drawn) == len(extra["softmax_items"]) == 50
        assert not drawn & set(extra["items"].tolist()) and drawn <= set(range(400))


def test_softmax_items_are_uniform() -> None:
    model, generator = make_model(10, softmax_sample=2, sampled_softmax_above=9), seeded()
    counts = torch.zeros(10)
    batch = torch.tensor([3]), torch.tensor([3]), torch.tensor([7])
    for _ in range(3000):
        counts[model.sample_extra(*batch, generator)["softmax_items"]] += 1
    assert counts[3] == counts[7] == 0
    others = counts[[0, 1, 2, 4, 5, 6, 8, 9]]
    assert float(((others - 750) ** 2 / 750).sum()) < 24.32  # 99.9 % point of chi-square with 7 degrees


@pytest.mark.parametrize("sample", [1000, 40, 38])
def test_a_sample_as_large_as_the_catalogue_is_none_and_nothing_is_drawn_for_it(sample: int) -> None:
    draws = []
    for keys in ({}, {"softmax_sample": sample, **LARGE}):
        model, generator = make_model(40, anchors=3, **keys), seeded(5)
        draws.append([model.sample_extra(*random_pairs(n), generator) for n in range(3)])
    for one, other in zip(*draws, strict=True):
        assert "softmax_items" not in other and list(one) == list(other)
        assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, None),  # fewer items than the default
        (LARGE, 7),
        ({"sampled_softmax_above": 40}, None),
        ({**LARGE, "variant": "authors"}, None),
        ({**LARGE, "variant": "recommended"}, None),
        ({**LARGE, "preference_weight": 0.0}, None),
    ],
)
def test_the_softmax_is_sampled_above_a_size(keys: dict[str, Any], expected: int | None) -> None:
    extra = make_model(40, softmax_sample=7, **keys).sample_extra(*random_pairs(0, size=3), seeded())
    assert len(extra.get("softmax_items", [])) == (expected or 0)


def test_what_the_backbone_draws_is_there_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def sample_extra(model: Any, users: Tensor, *_: Any) -> Draw:
        return {"mine": users + 1}

    monkeypatch.setattr(find_model("mf"), "sample_extra", sample_extra)
    model: Any = build("damrs", dim=4, backbone="mf")
    batch = make_batch(tiny_dataset(), model=model)
    assert torch.equal(batch.extra["mine"], batch.users + 1) and "anchor_items" in batch.extra
