"""Exact cosine top-k: it may not depend on float32's last bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from damrs_dgl.data.parts import ModalityFeatures
from damrs_dgl.graphs.similarity import RESOLUTION, CosineTable
from damrs_dgl.graphs.top_k import top_k_pairs


def table_of(values: np.ndarray) -> CosineTable:
    values = values.astype(np.float32)
    return CosineTable(ModalityFeatures(values, ~np.isfinite(values).all(1) | ~values.any(1)))


@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 12))
def test_top_k_pairs_is_the_exact_top_k_whatever_the_error_within_tolerance(seed: int, num_items: int, k: int) -> None:
    random = np.random.default_rng(seed)
    tolerance = 0.01
    exact = random.integers(-5, 30, (6, num_items)) * random.choice([1, 4, 100]) * 0.0003
    allowed = random.random(exact.shape) < random.choice([0.3, 0.9, 1.0])
    noisy = np.where(allowed, exact + random.uniform(-0.99, 0.99, exact.shape) * tolerance, -np.inf)
    rows, items = top_k_pairs(
        torch.from_numpy(noisy).float(),
        k,
        tolerance=tolerance,
        levels=lambda row, item: torch.from_numpy(np.round(exact / RESOLUTION).astype(np.int64))[row, item],
    )
    expected = set()
    for row in range(len(exact)):
        candidates = [item for item in range(num_items) if allowed[row, item] and exact[row, item] > 0]
        expected |= {(row, item) for item in sorted(candidates, key=lambda item: (-exact[row, item], item))[:k]}
    assert len(rows) == len(expected)
    assert set(zip(rows.tolist(), items.tolist(), strict=True)) == expected


def test_levels_do_not_depend_on_the_company_they_are_computed_in() -> None:
    random = np.random.default_rng(1)
    table = table_of(random.normal(size=(50, 771)))
    items, others = (torch.from_numpy(random.integers(0, 50, 300)) for _ in range(2))
    together = table.levels(items, others)
    alone = torch.cat([table.levels(items[[n]], others[[n]]) for n in range(300)])
    assert torch.equal(together, alone)
    assert torch.equal(together, table.levels(others, items))
    rows = table._features.values.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(
        together.numpy() * RESOLUTION, (rows[items] * rows[others]).sum(1), atol=0.6 * RESOLUTION
    )


def test_equal_vectors_are_duplicates_and_equal_hashes_alone_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.array([[1, 2], [2, 4], [1, 2], [0, 0], [np.nan, 1], [2, 4]])
    table = table_of(values)
    assert table.duplicate_of.tolist() == [0, 1, 0, 3, 3, 1]
    assert table._find_duplicates(torch.zeros(6, dtype=torch.int64)).tolist() == [
        0,
        1,
        0,
        3,
        4,
        5,
    ]  # all hashes collide


@pytest.mark.parametrize("dim", [1, 3, 128, 2000])
def test_float32_blocks_are_within_tolerance_and_the_mean_is_the_mean(dim: int) -> None:
    values = np.random.default_rng(dim).normal(0.3, 1, (90, dim)) * np.geomspace(1e-20, 1e18, 90)[:, None]
    values[7] = 0
    table = table_of(values)
    rows = values.astype(np.float32).astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    exact = rows @ rows.T
    unit = table.rows(0, 90)
    assert np.abs((unit @ unit.T).double().numpy() - exact).max() < table.tolerance < 1e-4
    assert torch.equal(unit, table.unit)
    assert torch.equal(table.rows_of(torch.tensor([80, 3])), unit[[80, 3]])
    assert (table.complete, table.present.tolist()) == (False, [item != 7 for item in range(90)])
    have = np.delete(np.arange(90), 7)
    assert table.mean == pytest.approx(exact[np.ix_(have, have)].mean(), abs=1e-12)


def test_a_pair_with_an_item_that_lacks_the_modality_is_not_vetoed() -> None:
    table = table_of(np.array([[1, 0], [0, 0], [-1, 0.1], [np.nan, 1]]))
    items = torch.arange(4)
    lacks = table.lacks(items[:, None], items)
    assert lacks.tolist() == [[False, True, False, True], [True] * 4, [False, True, False, True], [True] * 4]
    similarity = table.unit @ table.unit.T
    reached = table.reaches_mean(similarity, items[:, None], items)
    assert torch.equal(~reached, torch.tensor([[i + j == 2 and i != j for j in range(4)] for i in range(4)]) & ~lacks)
    numbers = table.reaches_mean(similarity, items[:, None], items, out=torch.empty(4, 4))
    assert torch.equal(numbers, reached.float())


def test_tolerance_widens_when_products_have_fewer_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(64, 32))
    plain = table_of(values).tolerance
    multiply = torch.Tensor.__matmul__

    def few_bits(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        product = multiply(left, right)
        return product.bfloat16().float() if product.dtype == torch.float32 else product

    monkeypatch.setattr(torch.Tensor, "__matmul__", few_bits)
    assert table_of(values).tolerance > 2.0**-9 > plain
