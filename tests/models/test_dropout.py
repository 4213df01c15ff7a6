"""Dropout: how much is dropped, what is kept, and from which draws."""

from __future__ import annotations

import pytest
import torch

from damrs_dgl.models.layers.dropout import dropout, kept_entries


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("share", [0.1, 0.31, 0.5, 0.9])
def test_a_uniform_share_is_dropped(share: float) -> None:
    """Overall, and in each of the four entries that share a draw; 6 standard deviations."""
    kept = kept_entries(torch.empty(400, 1000), share, generator()).view(-1, 4).double()
    deviation = (share * (1 - share)) ** 0.5
    assert kept.mean().item() == pytest.approx(1 - share, abs=6 * deviation / 400_000**0.5)
    assert kept.mean(dim=0).tolist() == pytest.approx([1 - share] * 4, abs=6 * deviation / 100_000**0.5)
    together = torch.corrcoef(kept.T) - torch.eye(4)
    assert together.abs().max() < 6 / 100_000**0.5


def test_a_share_of_nearly_all_drops_nearly_all() -> None:
    assert kept_entries(torch.empty(400, 1000), 0.999999, generator()).double().mean() < 1e-4


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (3, 5), (7,)])
def test_kept_entries_are_scaled_and_others_zero(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=generator(1), dtype=torch.float64, requires_grad=True)
    dropped = dropout(x, 0.25, generator())
    expected = kept_entries(x, 0.25, generator()).double() / 0.75
    torch.testing.assert_close(dropped, x * expected)
    dropped.sum().backward()
    torch.testing.assert_close(x.grad, expected)


def test_the_same_generator_drops_the_same() -> None:
    x = torch.ones(50, 3)
    assert torch.equal(dropout(x, 0.5, generator(1)), dropout(x, 0.5, generator(1)))
    assert not torch.equal(dropout(x, 0.5, generator(1)), dropout(x, 0.5, generator(2)))


def test_nothing_is_drawn_where_nothing_is_dropped() -> None:
    x, unused = torch.ones(3), generator()
    before = unused.get_state()
    assert dropout(x, 0.0, unused) is x and dropout(x, 0.5, None) is x
    assert torch.equal(unused.get_state(), before)
