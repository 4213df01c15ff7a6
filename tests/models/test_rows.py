"""Unit rows: torch's own where rows are not zero, and no gradient where they are."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from damrs_dgl.models.layers.rows import unit_rows


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_it_is_torchs_normalisation(scale: float) -> None:
    rows = scale * torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    up = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours, theirs = rows.clone().requires_grad_(), rows.clone().requires_grad_()
    (unit_rows(ours) * up).sum().backward()
    (normalize(theirs) * up).sum().backward()
    torch.testing.assert_close(unit_rows(ours), normalize(theirs))
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_zero_row_stays_zero_and_gets_no_gradient() -> None:
    rows = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    unit = unit_rows(rows)
    assert unit.tolist() == [[0.0, 0.0], [pytest.approx(0.6), pytest.approx(0.8)]]
    (unit * torch.tensor([[2.0, -1.0], [1.0, 0.0]])).sum().backward()
    assert rows.grad is not None and rows.grad[0].tolist() == [0.0, 0.0]
    assert torch.isfinite(rows.grad).all()
