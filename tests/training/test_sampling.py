"""Batches: every pair once, negatives uniform over what the user does not know, all of it from the generator."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from damrs_dgl.data.parts import Interactions
from damrs_dgl.errors import DataError
from damrs_dgl.training.sampling import Batch, TripleSampler

CPU = torch.device("cpu")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_sampler(
    pairs: list[tuple[int, int]],
    num_items: int,
    *,
    batch_size: int = 4,
    anchors: int | None = None,
    softmax_sample: int | None = None,
) -> TripleSampler:
    users, items = torch.tensor(pairs, dtype=torch.int64).view(-1, 2).T
    return TripleSampler(
        Interactions(users, items),
        num_items,
        batch_size=batch_size,
        anchors=anchors,
        softmax_sample=softmax_sample,
        device=CPU,
    )


def tensors_of(batch: Batch) -> list[Tensor]:
    return [tensor for tensor in vars(batch).values() if tensor is not None]


@st.composite
def catalogues(draw: st.DrawFn) -> tuple[list[tuple[int, int]], int]:
    """Distinct pairs in any order, with at least one user who does not know everything."""
    num_items = draw(st.integers(2, 12))
    pairs = draw(st.lists(st.tuples(st.integers(0, 6), st.integers(0, num_items - 1)), min_size=1, unique=True))
    known = {user: sum(u == user for u, _ in pairs) for user, _ in pairs}
    if min(known.values()) == num_items:
        pairs.append((7, 0))
    return pairs, num_items


@given(catalogues(), st.integers(1, 9), st.integers(0, 99))
def test_an_epoch_is_every_pair_once_with_an_unknown_item(
    catalogue: tuple[list[tuple[int, int]], int], batch_size: int, seed: int
) -> None:
    pairs, num_items = catalogue
    known: dict[int, set[int]] = {}
    for user, item in pairs:
        known.setdefault(user, set()).add(item)
    usable = sorted((u, i) for u, i in pairs if len(known[u]) < num_items)
    sampler = make_sampler(pairs, num_items, batch_size=batch_size)
    batches = list(sampler.epoch(seeded(seed)))
    assert len(batches) == len(sampler) == -(-len(usable) // batch_size)
    assert all(len(batch.users) == batch_size for batch in batches[:-1])
    seen = [(u, i) for b in batches for u, i in zip(b.users.tolist(), b.positive_items.tolist(), strict=True)]
    assert sorted(seen) == usable
    for batch in batches:
        for user, item in zip(batch.users.tolist(), batch.negative_items.tolist(), strict=True):
            assert item not in known[user] and 0 <= item < num_items
        assert batch.items.tolist() == sorted({*batch.positive_items.tolist(), *batch.negative_items.tolist()})
        assert batch.anchor_users.tolist() == sorted({*batch.users.tolist()})
        assert torch.equal(batch.anchor_items, batch.items)
        assert all(tensor.dtype == torch.int64 for tensor in tensors_of(batch))


def test_negatives_are_uniform() -> None:
    """Chi-square over the unknown items of users who know 1, 5 and 9 of 10 items, below its 99.9 % point."""
    known = {0: [9], 1: [0, 1, 4, 7, 8], 3: [0, 1, 2, 3, 4, 5, 7, 8, 9], 4: [0, 5]}
    sampler = make_sampler([(user, item) for user, items in known.items() for item in items], 10)
    critical = {4: 18.47, 7: 24.32, 8: 26.12}
    for user, items in known.items():
        drawn = torch.bincount(sampler._negatives(torch.full((20_000,), user), seeded(user)), minlength=10)
        unknown = [item for item in range(10) if item not in items]
        assert not drawn[items].any()
        if len(unknown) == 1:
            assert drawn[unknown[0]] == 20_000
            continue
        expected = 20_000 / len(unknown)
        assert float(((drawn[unknown] - expected) ** 2 / expected).sum()) < critical[len(unknown) - 1]


def test_a_user_who_knows_nearly_everything_costs_no_more() -> None:
    """One unknown item among a million: rejection would draw for minutes."""
    items = torch.cat([torch.arange(700_000), torch.arange(700_001, 1_000_000)])
    train = Interactions(torch.zeros_like(items), items)
    sampler = TripleSampler(train, 1_000_000, batch_size=4096, anchors=None, device=CPU)
    batch = next(sampler.epoch(seeded()))
    assert (batch.negative_items == 700_000).all()


def test_users_who_know_everything_are_left_out() -> None:
    sampler = make_sampler([(0, 0), (0, 1), (1, 1)], 2)
    (batch,) = sampler.epoch(seeded())
    assert batch.users.tolist() == [1] and batch.negative_items.tolist() == [0]


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(DataError, match="every user has interacted with every item"):
        make_sampler([(0, 0), (0, 1)], 2)
    with pytest.raises(DataError, match="there is no interaction"):
        make_sampler([], 2)


def test_large_ids_do_not_overflow() -> None:
    """5 million users and a million items: keys beyond 32 bits."""
    pairs = [(4_999_999, 999_999), (4_999_999, 0), (17, 999_999)]
    batches = list(make_sampler(pairs, 1_000_000, batch_size=2).epoch(seeded()))
    found = {(u, i) for b in batches for u, i in zip(b.users.tolist(), b.positive_items.tolist(), strict=True)}
    assert found == set(pairs)


def random_pairs(seed: int) -> list[tuple[int, int]]:
    return (torch.rand(30, 40, generator=seeded(seed)) < 0.3).nonzero().tolist()


def test_the_generator_decides() -> None:
    pairs = random_pairs(0)
    runs = [list(make_sampler(pairs, 40, batch_size=64, anchors=5).epoch(seeded(seed))) for seed in (1, 1, 2)]
    same = [
        all(
            torch.equal(a, b)
            for x, y in zip(one, two, strict=True)
            for a, b in zip(tensors_of(x), tensors_of(y), strict=True)
        )
        for one, two in ((runs[0], runs[1]), (runs[0], runs[2]))
    ]
    assert same == [True, False]
    # The order in which the data came does not matter, and an epoch differs from the next.
    reordered = list(make_sampler(pairs[::-1], 40, batch_size=64, anchors=5).epoch(seeded(1)))
    assert torch.equal(reordered[0].users, runs[0][0].users)
    sampler, generator = make_sampler(pairs, 40, batch_size=64), seeded(1)
    assert not torch.equal(next(sampler.epoch(generator)).users, next(sampler.epoch(generator)).users)


def test_anchors_are_distinct_and_of_the_batch() -> None:
    for batch in make_sampler(random_pairs(1), 40, batch_size=32, anchors=6).epoch(seeded(3)):
        for anchors, pool in ((batch.anchor_users, batch.users), (batch.anchor_items, batch.items)):
            assert len(anchors) == min(6, len(pool.unique())) == len(set(anchors.tolist()))
            assert set(anchors.tolist()) <= set(pool.tolist())


def test_every_user_and_item_becomes_an_anchor_equally_often() -> None:
    sampler = make_sampler([(user, user) for user in range(8)], 9, batch_size=8, anchors=2)
    generator, counts = seeded(0), torch.zeros(8)
    for _ in range(2000):
        (batch,) = sampler.epoch(generator)
        counts[batch.anchor_users] += 1
    assert float(((counts - 500) ** 2 / 500).sum()) < 24.32  # 99.9 % point of chi-square with 7 degrees


def test_softmax_items_are_distinct_and_not_of_the_batch() -> None:
    for batch in make_sampler(random_pairs(1), 400, batch_size=32, softmax_sample=50).epoch(seeded(3)):
        assert batch.softmax_items is not None and batch.softmax_items.dtype == torch.int64
        drawn = set(batch.softmax_items.tolist())
        assert len(drawn) == len(batch.softmax_items) == 50
        assert not drawn & set(batch.items.tolist()) and drawn <= set(range(400))


def test_softmax_items_are_uniform() -> None:
    sampler = make_sampler([(0, 3)], 10, softmax_sample=2)
    generator, counts, draws = seeded(0), torch.zeros(10), torch.zeros(10)
    for _ in range(3000):
        (batch,) = sampler.epoch(generator)
        assert batch.softmax_items is not None
        counts[batch.softmax_items] += 1
        draws += 2 / 8
        draws[batch.items] -= 2 / 8
    assert counts[3] == 0
    # Chi-square with 8 degrees at most (item 3 is always in the batch): 99.9 % point.
    others = draws > 1
    assert float(((counts[others] - draws[others]) ** 2 / draws[others]).sum()) < 26.12


@pytest.mark.parametrize("softmax_sample", [None, 40, 38])
def test_without_a_softmax_sample_the_random_stream_is_what_it_was(softmax_sample: int | None) -> None:
    """A sample as large as the catalogue is none; nothing is drawn for it."""
    left, right = (
        make_sampler(random_pairs(2), 40, batch_size=16, anchors=3, softmax_sample=size)
        for size in (None, softmax_sample)
    )
    for one, other in zip(left.epoch(seeded(5)), right.epoch(seeded(5)), strict=True):
        assert other.softmax_items is None
        assert all(torch.equal(a, b) for a, b in zip(tensors_of(one), tensors_of(other), strict=True))
