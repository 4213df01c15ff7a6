"""No operation of a step's losses needs to see a value or a shape that only the device knows.

Checked without a GPU: torch's fake tensors have shapes and no values, so `.item()`, `bool()`, `nonzero`, `unique` and
boolean masks, each of which would make the host wait for a GPU, cannot be carried out on them and raise.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from damrs_dgl.assembly import build_objective
from damrs_dgl.models.representations import Representations
from damrs_dgl.recipe import load_recipe
from damrs_dgl.training.objective import Objective
from damrs_dgl.training.sampling import Batch

USERS, ITEMS, DIM = 60, 50, 8


def fake_vectors() -> Representations:
    users, items, ids, user_input, item_input, *relations = (
        torch.empty(rows, DIM, requires_grad=True) for rows in (USERS, ITEMS, ITEMS, USERS, ITEMS, ITEMS, ITEMS, ITEMS)
    )
    named = dict(zip(("visual", "textual", "behavior"), relations, strict=True))
    return Representations(users, items, ids, user_input, item_input, named)


def fake_batch(*, sampled: bool) -> Batch:
    sizes = (16, 16, 16, 25, 6, 7, *((9,) if sampled else ()))
    return Batch(*(torch.empty(size, dtype=torch.int64) for size in sizes))


def objective(refresh: str, **changes: Any) -> Objective:
    values = {"losses.relation_k": 4, "losses.refresh": refresh, "losses.regularization": 0.1}
    recipe = load_recipe("demo").with_values({**values, **{k.replace("__", "."): v for k, v in changes.items()}})
    return build_objective(recipe, fake_vectors)  # type: ignore[arg-type]


@pytest.mark.parametrize("strategy", ["AI", "MP", "SP"])
@pytest.mark.parametrize("refresh", ["epoch", "step"])
@pytest.mark.parametrize(("variant", "sampled"), [("paper", False), ("paper", True), ("authors", False)])
def test_losses_and_gradients(variant: str, sampled: bool, refresh: str, strategy: str) -> None:
    with FakeTensorMode():
        made = objective(refresh, model__variant=variant, losses__relation_strategy=strategy)
        made.start_epoch(0)
        terms = made(fake_batch(sampled=sampled))
        assert set(terms) == {"feedback", "preference", "relations", "regularization"}
        torch.stack(list(terms.values())).sum().backward()


@pytest.mark.parametrize("wait", [lambda x: x.sum().item(), lambda x: x[x > 0], torch.unique, lambda x: bool(x.any())])
def test_what_waits_is_seen(wait: Any) -> None:
    with FakeTensorMode(), pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
        wait(torch.empty(4, device="cpu"))
