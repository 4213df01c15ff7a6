"""Our Adam takes torch's steps, comes back from a checkpoint, and does not load torch's compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from damrs_dgl.training.adam import Adam


def tables() -> list[torch.nn.Parameter]:
    random = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(size, generator=random)) for size in ((7, 4), (3,), (2, 2))]


def loss_of(parameters: list[torch.nn.Parameter], *, unused: int | None = None) -> torch.Tensor:
    return sum((p**3).sum() for index, p in enumerate(parameters) if index != unused)  # type: ignore[return-value]


def test_the_steps_are_torchs() -> None:
    ours, theirs = tables(), tables()
    mine, reference = Adam(ours, lr=0.1), torch.optim.Adam(theirs, lr=0.1)
    for step in range(6):
        mine.zero_grad()
        reference.zero_grad()
        unused = 1 if step in (0, 3) else None
        loss_of(ours, unused=unused).backward()
        loss_of(theirs, unused=unused).backward()
        mine.step()
        reference.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)


def test_it_goes_on_where_it_was() -> None:
    def steps(optimizer: Adam, count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            loss_of(optimizer.parameters).backward()
            optimizer.step()

    first = Adam(tables(), lr=0.1)
    assert not first.tensors()
    steps(first, 3)
    second = Adam([torch.nn.Parameter(table.detach().clone()) for table in first.parameters], lr=0.1)
    second.restore({name: value.clone() for name, value in first.tensors().items()})
    steps(first, 2)
    steps(second, 2)
    assert all(map(torch.equal, first.parameters, second.parameters))


@pytest.mark.parametrize("count", [0, 3])
def test_restoring_leaves_nothing_of_before(count: int) -> None:
    optimizer = Adam(tables(), lr=0.1)
    loss_of(optimizer.parameters).backward()
    optimizer.step()
    kept = dict(list(optimizer.tensors().items())[:count])
    optimizer.restore(kept)
    assert optimizer.tensors() == kept


def test_training_does_not_load_torchs_compiler() -> None:
    code = (
        "import sys, torch; from damrs_dgl.training.adam import Adam;"
        "p = torch.nn.Parameter(torch.ones(3)); a = Adam([p], lr=0.1); a.zero_grad(); p.sum().backward(); a.step();"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
