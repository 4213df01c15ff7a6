"""Projection of content: some rows, in blocks, as all rows would be."""

from __future__ import annotations

import pytest
import torch

from damrs_dgl.models.layers import content
from damrs_dgl.models.layers.content import Projection, unit_content
from tests.models.builders import make_inputs, tiny_dataset


@pytest.mark.parametrize("rows", [[], [4], [6, 0, 3, 2, 5]], ids=len)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("trained", [True, False])
def test_a_projection_of_some_rows(rows: list[int], bias: bool, trained: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values and gradients, over blocks of which the last is not full, with constant and with trained content."""
    monkeypatch.setattr(content, "_BLOCK_ROWS", 3)
    projection = Projection(make_inputs(tiny_dataset()), 4, 2, bias=bias).double()
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_(trained)
    up = torch.randn(len(rows), 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    chosen = torch.tensor(rows, dtype=torch.int64)
    some, all_rows = projection.of_rows(x, chosen), projection(x[chosen])
    torch.testing.assert_close(some, all_rows)
    tables = [*projection.parameters(), *([x] if trained else [])]
    mine, theirs = (torch.autograd.grad((side * up).sum(), tables) for side in (some, all_rows))
    assert not trained or mine[-1].is_sparse
    torch.testing.assert_close([part.to_dense() for part in mine], list(theirs))


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_unit_content_of_any_scale(scale: float) -> None:
    rows = torch.tensor([[3.0, 4.0], [0.0, 0.0], [-1.0, 0.0]]) * scale
    expected = torch.tensor([[0.6, 0.8], [0.0, 0.0], [-1.0, 0.0]])
    assert torch.allclose(unit_content([rows]), expected, atol=1e-6)
