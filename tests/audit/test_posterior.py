"""f, g and the posterior of single clicks, against the equations written out slowly in float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from damrs_dgl.losses.denoised_bpr import posterior
from damrs_dgl.models.base import ClickEvidence
from tests.models.builders import build, tiny_dataset

SHARES = st.floats(0, 1)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


@given(SHARES, SHARES, st.floats(-1e4, 1e4))
def test_a_posterior_is_a_share(f: float, g: float, x: float) -> None:
    found = float(posterior(torch.tensor(f), torch.tensor(g), torch.tensor(x)))
    assert 0 <= found <= 1


@given(st.floats(0.01, 1), st.floats(0.01, 1), st.floats(-30, 30))
def test_the_posterior_is_the_equation(f: float, g: float, x: float) -> None:
    wanted = f * sigmoid(x) / (f * sigmoid(x) + g * sigmoid(-x))
    found = float(posterior(*(torch.tensor(value, dtype=torch.float64) for value in (f, g, x))))
    assert found == pytest.approx(wanted, rel=1e-9)


def test_its_limits() -> None:
    f, g = torch.tensor([0.5, 0.0, 0.0]), torch.tensor([0.0, 0.0, 0.5])
    assert posterior(f, g, torch.zeros(3)).tolist() == [1, 1, 0]


def slow(model: object, users: list[int], items: list[int], negatives: list[list[int]]) -> dict[str, list[float]]:
    """Eq. 6, 7 and the posterior, click by click, in Python's floats."""
    variant, config = model.variant, model.config  # type: ignore[attr-defined]
    with torch.no_grad():
        vectors = model.represent()  # type: ignore[attr-defined]
    u, t = vectors.users.tolist(), vectors.items.tolist()
    h = []
    for table in vectors.relation_items.values():
        rows = table.tolist()
        if variant.normalized_relations:
            rows = [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in rows]
        h.append(rows)

    def dot(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    authors = variant.unbiased_variance

    def level(user: int, item: int) -> float:
        if authors:
            return sum(sigmoid(dot(u[user], rows[item])) for rows in h) / len(h)
        return sigmoid(dot(u[user], t[item]))

    def g_of(scores: list[float], y_n: float) -> float:
        mu = sum(map(sigmoid, scores)) / len(scores)
        if not mu < y_n:
            return 0.0
        if config.contradiction_form == "gap":
            return min(max(max(map(sigmoid, scores)) - y_n, 0.0), 1.0) ** config.gamma  # type: ignore[no-any-return]
        return sigmoid(max(scores) - y_n) ** config.gamma  # type: ignore[no-any-return]

    every = [level(user, j) for user, row in zip(users, negatives, strict=True) for j in row]
    found: dict[str, list[float]] = {"reliability": [], "contradiction": [], "posterior": [], "batch_posterior": []}
    for user, item, row in zip(users, items, negatives, strict=True):
        scores = [dot(u[user], rows[item]) for rows in h]
        likes = [sigmoid(y) for y in scores]
        mu = sum(likes) / len(likes)
        s2 = sum((y - mu) ** 2 for y in likes) / (len(likes) - authors)
        f = min(mu**config.alpha * math.exp(-s2) ** config.beta, 1.0)
        g = g_of(scores, sum(every) / len(every))
        shares, of_batch = [], []
        for j in row:
            x = dot(u[user], t[item]) - dot(u[user], t[j])
            for values, against in ((shares, g_of(scores, level(user, j))), (of_batch, g)):
                true, false = f * sigmoid(x), against * sigmoid(-x)
                values.append(true / (true + false))
        for name, value in zip(found, (f, g, sum(shares) / len(row), sum(of_batch) / len(row)), strict=True):
            found[name].append(value)
    return found


@pytest.mark.parametrize("variant", ["paper", "authors", "recommended"])
def test_evidence_is_the_equations(variant: str) -> None:
    data = tiny_dataset()
    model = build("damrs", data, variant=variant, backbone={"name": "lightgcn", "dim": 6})
    model.double()
    for table in model.tables() or ():  # large enough for f and g to differ between clicks
        table.data.mul_(6)
    users, items = data.train.users, data.train.items
    negatives = torch.randint(data.num_items, (len(users), 3), generator=torch.Generator().manual_seed(2))
    found = model.click_evidence(users, items, negatives)
    assert isinstance(found, ClickEvidence)
    for name, values in slow(model, users.tolist(), items.tolist(), negatives.tolist()).items():
        got = getattr(found, name)
        assert torch.allclose(got.double(), torch.tensor(values, dtype=torch.float64), rtol=1e-6, atol=1e-9), name
    assert found.posterior.std() > 0 and (found.contradiction > 0).any()
    assert found.relations == model.relation_names
    assert found.support.shape == (len(found.relations), len(users))


def test_the_ablations_own_terms() -> None:
    data = tiny_dataset()
    users, items = data.train.users, data.train.items
    without_f = build("damrs", data, reliability=False).click_evidence(users, items, items[:, None])
    without_g = build("damrs", data, contradiction=False).click_evidence(users, items, items[:, None])
    assert without_f is not None and without_g is not None
    assert without_f.reliability.eq(1).all() and without_g.contradiction.eq(0).all()
    assert without_g.posterior.eq(1).all()


def test_a_system_without_doubt_has_none_and_a_wrapper_asks_what_it_wraps() -> None:
    data = tiny_dataset()
    users, items = data.train.users, data.train.items
    assert build("lightgcn", data).click_evidence(users, items, items[:, None]) is None
    assert build("tce", data, backbone="lightgcn").click_evidence(users, items, items[:, None]) is None
    assert build("tce", data, backbone="damrs").click_evidence(users, items, items[:, None]) is not None
