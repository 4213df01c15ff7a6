"""Our Adam takes torch's steps, comes back from a checkpoint, and does not load torch's compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch.nn.functional import embedding

from damrs_dgl.models.core.optimizers import Adam


def tables() -> list[torch.nn.Parameter]:
    random = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(size, generator=random)) for size in ((7, 4), (3,), (2, 2))]


def loss_of(parameters: list[torch.nn.Parameter], *, unused: int | None = None) -> torch.Tensor:
    return sum((p**3).sum() for index, p in enumerate(parameters) if index != unused)  # type: ignore[return-value]


@pytest.mark.parametrize("decoupled", [False, True], ids=["L2", "decoupled"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.9), (0.0, 0.0)], ids=str)
def test_the_steps_are_torchs(betas: tuple[float, float], weight_decay: float, decoupled: bool) -> None:
    """With a parameter that gets no gradient in some steps, and a learning rate that a schedule changes."""
    ours, theirs = ([torch.nn.Parameter(table.double()) for table in tables()] for _ in range(2))
    mine = Adam(ours, lr=0.1, betas=betas, weight_decay=weight_decay, decoupled=decoupled)
    torchs = torch.optim.AdamW if decoupled else torch.optim.Adam
    reference = torchs(theirs, lr=0.1, betas=betas, weight_decay=weight_decay)
    for step in range(6):
        mine.lr = reference.param_groups[0]["lr"] = 0.1 * 0.9**step
        mine.zero_grad()
        reference.zero_grad()
        unused = 1 if step in (0, 3) else None
        loss_of(ours, unused=unused).backward()
        loss_of(theirs, unused=unused).backward()
        mine.step()
        reference.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("decoupled", [False, True], ids=["L2", "decoupled"])
def test_a_sparse_gradient_is_one_of_zeros_elsewhere(decoupled: bool) -> None:
    """Rows that come twice, other rows at each step, and a step without any."""
    ours, theirs = ([torch.nn.Parameter(table.double()) for table in tables()[:1]] for _ in range(2))
    optimizers = [Adam(side, lr=0.1, weight_decay=0.3, decoupled=decoupled) for side in (ours, theirs)]
    for rows in ([0, 3, 3], [6], [], [1, 0, 2]):
        for (table,), optimizer, sparse in zip((ours, theirs), optimizers, (True, False), strict=True):
            optimizer.zero_grad()
            (embedding(torch.tensor(rows, dtype=torch.int64), table, sparse=sparse) ** 3).sum().backward()
            assert table.grad is not None and table.grad.is_sparse == sparse
            optimizer.step()
        torch.testing.assert_close(ours[0], theirs[0], rtol=1e-10, atol=1e-12)


def test_decay_is_none_by_default_and_differs_by_kind() -> None:
    """Else the test above would not see a decay that is left out, or of the wrong kind."""
    moved = []
    for options in ({}, {"weight_decay": 0.3}, {"weight_decay": 0.3, "decoupled": True}):
        optimizer = Adam(tables(), lr=0.1, **options)  # type: ignore[arg-type]
        for _ in range(2):
            optimizer.zero_grad()
            loss_of(optimizer.parameters).backward()
            optimizer.step()
        moved.append(optimizer.parameters[0].detach())
    assert all((one - other).abs().max() > 1e-4 for one, other in zip(moved, moved[1:] + moved[:1], strict=True))


@pytest.mark.parametrize(
    "options", [{"lr": -1.0}, {"betas": (0.9, 1.0)}, {"betas": (-0.1, 0.9)}, {"weight_decay": -1.0}]
)
def test_numbers_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Adam cannot step"):
        Adam(tables(), **{"lr": 0.1, **options})  # type: ignore[arg-type]


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
        "import sys, torch; from damrs_dgl.models.core.optimizers import Adam;"
        "p = torch.nn.Parameter(torch.ones(3)); a = Adam([p], lr=0.1); a.zero_grad(); p.sum().backward(); a.step();"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
