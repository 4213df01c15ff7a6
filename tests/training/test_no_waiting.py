"""No operation of a step's losses needs to see a value or a shape that only the device knows.

Checked without a GPU: torch's fake tensors have shapes and no values, so `.item()`, `bool()`, `nonzero`, `unique` and
boolean masks, each of which would make the host wait for a GPU, cannot be carried out on them and raise.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from damrs_dgl.losses.graded_sets import graded_item_sets
from damrs_dgl.models.base import Batch, Encoded
from damrs_dgl.models.damrs.objective import alignment_terms, ranking_terms
from damrs_dgl.models.damrs.variants import VARIANTS, Representations
from damrs_dgl.models.specification.tables import make_config

USERS, ITEMS, DIM = 60, 50, 8


def fake_vectors() -> Representations:
    users, items, ids, user_input, item_input, *relations = (
        torch.empty(rows, DIM, requires_grad=True) for rows in (USERS, ITEMS, ITEMS, USERS, ITEMS, ITEMS, ITEMS, ITEMS)
    )
    named = dict(zip(("visual", "textual", "behavior"), relations, strict=True))
    backbone = Encoded(users, ids, user_input, item_input)
    return Representations(users, items, user_input, item_input, named, backbone)


def fake_batch(*, sampled: bool) -> Batch:
    sizes = {"items": 25, "anchor_users": 6, "anchor_items": 7, **({"softmax_items": 9} if sampled else {})}
    users, positive, negative = (torch.empty(16, dtype=torch.int64) for _ in range(3))
    extra = {name: torch.empty(size, dtype=torch.int64) for name, size in sizes.items()}
    return Batch(users, positive, negative, torch.Generator(), extra)


@pytest.mark.parametrize("strategy", ["AI", "MP", "SP"])
@pytest.mark.parametrize("kept_sets", [True, False])
@pytest.mark.parametrize(
    ("variant", "sampled"), [("paper", False), ("paper", True), ("authors", False), ("recommended", False)]
)
def test_losses_and_gradients(variant: str, sampled: bool, kept_sets: bool, strategy: str) -> None:
    keys = {"relation_k": 4, "regularization": 0.1, "variant": variant, "relation_strategy": strategy}
    config: Any = make_config({"name": "damrs", **keys})
    with FakeTensorMode():
        vectors = fake_vectors()
        relations = [items.detach() for items in vectors.relation_items.values()]
        sets = graded_item_sets(relations, None, k=4) if kept_sets else None
        batch = fake_batch(sampled=sampled)
        terms = ranking_terms(config, VARIANTS[variant], vectors, batch, 1.0)
        terms |= alignment_terms(config, VARIANTS[variant], vectors, batch, sets, 1.0)
        assert set(terms) == {"feedback", "preference", "relations", "regularization"}
        torch.stack(list(terms.values())).sum().backward()


@pytest.mark.parametrize("wait", [lambda x: x.sum().item(), lambda x: x[x > 0], torch.unique, lambda x: bool(x.any())])
def test_what_waits_is_seen(wait: Any) -> None:
    with FakeTensorMode(), pytest.raises((DataDependentOutputException, DynamicOutputShapeException)):
        wait(torch.empty(4, device="cpu"))
