"""Batches: every pair once, negatives uniform over what the user does not know, all of it from the generator."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from damrs_dgl.data.parts import Interactions
from damrs_dgl.errors import DataError
from damrs_dgl.models.base import Batch
from damrs_dgl.training.sampling import Extra, PairSampler, no_extra

CPU = torch.device("cpu")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_sampler(
    pairs: list[tuple[int, int]],
    num_items: int,
    *,
    batch_size: int = 4,
    num_negatives: int = 1,
    extra: Extra = no_extra,
) -> PairSampler:
    users, items = torch.tensor(pairs, dtype=torch.int64).view(-1, 2).T
    return PairSampler(
        Interactions(users, items),
        num_items,
        batch_size=batch_size,
        num_negatives=num_negatives,
        extra=extra,
        device=CPU,
    )


def negatives_of(batch: Batch) -> Tensor:
    assert batch.negative_items is not None
    return batch.negative_items


def tensors_of(batch: Batch) -> list[Tensor]:
    return [batch.users, batch.positive_items, negatives_of(batch), *batch.extra.values()]


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
        for user, item in zip(batch.users.tolist(), negatives_of(batch).tolist(), strict=True):
            assert item not in known[user] and 0 <= item < num_items
        pairs_of_items = torch.cat([batch.positive_items, negatives_of(batch)])
        assert torch.equal(batch.pair_items, pairs_of_items)
        assert batch.distinct_items.tolist() == sorted({*pairs_of_items.tolist()})
        assert batch.distinct_positive_items.tolist() == sorted({*batch.positive_items.tolist()})
        assert batch.distinct_users.tolist() == sorted({*batch.users.tolist()})
        assert all(tensor.dtype == torch.int64 for tensor in tensors_of(batch))


def test_negatives_are_uniform() -> None:
    """Chi-square over the unknown items of users who know 1, 5 and 9 of 10 items, below its 99.9 % point."""
    known = {0: [9], 1: [0, 1, 4, 7, 8], 3: [0, 1, 2, 3, 4, 5, 7, 8, 9], 4: [0, 5]}
    sampler = make_sampler([(user, item) for user, items in known.items() for item in items], 10)
    critical = {4: 18.47, 7: 24.32, 8: 26.12}
    for user, items in known.items():
        drawn = torch.bincount(sampler.unknown.draw(torch.full((20_000,), user), seeded(user)), minlength=10)
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
    sampler = PairSampler(train, 1_000_000, batch_size=4096, device=CPU)
    batch = next(sampler.epoch(seeded()))
    assert (negatives_of(batch) == 700_000).all()


def test_users_who_know_everything_are_left_out() -> None:
    sampler = make_sampler([(0, 0), (0, 1), (1, 1)], 2)
    (batch,) = sampler.epoch(seeded())
    assert batch.users.tolist() == [1] and negatives_of(batch).tolist() == [0]


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


def an_extra(
    users: Tensor, positive_items: Tensor, negative_items: Tensor | None, generator: torch.Generator
) -> dict[str, Tensor]:
    return {"drawn": torch.rand(3, generator=generator), "users_again": users.clone()}


def test_the_generator_decides() -> None:
    pairs = random_pairs(0)
    runs = [list(make_sampler(pairs, 40, batch_size=64, extra=an_extra).epoch(seeded(seed))) for seed in (1, 1, 2)]
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
    reordered = list(make_sampler(pairs[::-1], 40, batch_size=64, extra=an_extra).epoch(seeded(1)))
    assert torch.equal(reordered[0].users, runs[0][0].users)
    sampler, generator = make_sampler(pairs, 40, batch_size=64), seeded(1)
    assert not torch.equal(next(sampler.epoch(generator)).users, next(sampler.epoch(generator)).users)


def test_what_the_model_draws_beside() -> None:
    """It sees the batch, draws from the same generator, and stands in the batch."""
    batches = list(make_sampler(random_pairs(0), 40, batch_size=64, extra=an_extra).epoch(seeded(1)))
    assert all(torch.equal(batch.extra["users_again"], batch.users) for batch in batches)
    assert not torch.equal(batches[0].extra["drawn"], batches[1].extra["drawn"])
    assert not next(make_sampler(random_pairs(0), 40).epoch(seeded())).extra


def test_pairs_alone() -> None:
    """Without negatives nothing is drawn for them, and users who know every item stay."""
    pairs = [(0, 0), (0, 1), (1, 1)]
    batches = list(make_sampler(pairs, 2, batch_size=2, num_negatives=0).epoch(seeded()))
    assert [batch.negative_items for batch in batches] == [None, None]
    found = [(u, i) for b in batches for u, i in zip(b.users.tolist(), b.positive_items.tolist(), strict=True)]
    assert sorted(found) == pairs
    assert torch.equal(batches[0].pair_items, batches[0].positive_items)
    generator = seeded(3)
    list(make_sampler(random_pairs(0), 40, num_negatives=0, batch_size=999).epoch(generator))
    after_order = seeded(3)
    torch.randperm(len(random_pairs(0)), generator=after_order)
    assert torch.equal(torch.rand(2, generator=generator), torch.rand(2, generator=after_order))
    with pytest.raises(DataError, match="there is no interaction"):
        make_sampler([], 2, num_negatives=0)


def test_more_negatives_are_unknown_too_and_differ() -> None:
    pairs = random_pairs(0)
    batches = list(make_sampler(pairs, 40, batch_size=64, num_negatives=3).epoch(seeded()))
    known = {(user, item) for user, item in pairs}
    for batch in batches:
        assert batch.more_negatives is not None and batch.more_negatives.shape == (2, len(batch.users))
        columns = [negatives_of(batch), *batch.more_negatives]
        assert not known & {(int(u), int(i)) for column in columns for u, i in zip(batch.users, column, strict=True)}
        assert not any(torch.equal(columns[0], other) for other in columns[1:])
    assert next(make_sampler(pairs, 40).epoch(seeded())).more_negatives is None


def test_repeated_pairs_count_once() -> None:
    for negatives in (0, 1):
        (batch,) = make_sampler([(0, 1), (0, 1), (0, 0)], 3, num_negatives=negatives).epoch(seeded())
        assert sorted(batch.positive_items.tolist()) == [0, 1]


def test_the_step_has_a_generator_of_its_own_where_one_is_given() -> None:
    sampler, generator, own = make_sampler(random_pairs(0), 40), seeded(1), seeded(2)
    assert next(sampler.epoch(generator)).generator is generator
    assert next(sampler.epoch(generator, own)).generator is own


def test_an_epoch_takes_a_weighed_pair_that_often() -> None:
    weights = torch.tensor([0.0, 0.25, 1.0, 0.5, 1.0])
    users, items = torch.tensor([0, 1, 0, 2, 1]), torch.tensor([3, 0, 1, 2, 4])
    for num_negatives in (0, 1):
        train = Interactions(users, items, weights)
        sampler = PairSampler(train, 6, batch_size=2, num_negatives=num_negatives, device=CPU)
        counts = torch.zeros(3, 6)
        generator = seeded()
        for _ in range(2000):
            for batch in sampler.epoch(generator):
                counts[batch.users, batch.positive_items] += 1
        assert torch.allclose(counts[users, items] / 2000, weights, atol=0.04)
        assert counts.sum() == counts[users, items].sum()


def test_weights_stay_with_their_pairs_where_others_are_left_out() -> None:
    """User 0 knows every item and has the first pairs: their weights go with them."""
    users, items = torch.tensor([0, 0, 0, 1, 2]), torch.tensor([0, 1, 2, 2, 0])
    train = Interactions(users, items, torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0]))
    sampler = PairSampler(train, 3, batch_size=2, device=CPU)
    for seed in range(5):
        (batch,) = sampler.epoch(seeded(seed))
        assert (batch.users.tolist(), batch.positive_items.tolist()) == ([2], [0])
