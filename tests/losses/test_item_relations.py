"""AI: graded sets and contrast against slow loops from Eq. 11, the kernels against their plain forms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from damrs_dgl.errors import RecipeError
from damrs_dgl.losses.graded_sets import GradedSets, graded_item_sets
from damrs_dgl.losses.item_relations import item_relation_alignment
from tests.losses.plain import item_relation_alignment_plain
from tests.losses.relation_tables import cosines, random_tables

STRATEGIES = ["AI", "MP", "SP"]


@dataclass
class Problem:
    tables: list[Tensor]
    anchors: Tensor
    sets: GradedSets
    candidates: Tensor | None


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Few or many items, repeated set padding, candidates that hold all, some or none of the sets' items."""
    items, relations, k = draw(st.integers(2, 14)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    seed = draw(st.integers(0, 999))
    tables = random_tables(relations, items, seed)
    rng = np.random.default_rng(seed)
    anchors = torch.tensor(rng.permutation(items)[: draw(st.integers(1, items))])
    sets = graded_item_sets(tables, anchors, k=k)
    every = draw(st.booleans())
    some = torch.tensor(np.sort(rng.permutation(items)[: draw(st.integers(1, items))]))
    return Problem(tables, anchors, sets, None if every else some)


def slow_contrast(problem: Problem, temperature: float, strategy: str, epsilon: float) -> float:
    total = 0.0
    for m, table in enumerate(problem.tables):
        cosine = cosines(table)
        pool = range(len(cosine)) if problem.candidates is None else problem.candidates.tolist()
        for place, i in enumerate(problem.anchors.tolist()):
            near = [j for j in problem.sets.similar[m, place].tolist() if j >= 0]
            less = [j for j in problem.sets.less_similar[m, place].tolist() if j >= 0]
            far = [j for j in pool if j not in near and j not in less]
            r, t, n = (math.fsum(math.exp(cosine[i, j] / temperature) for j in grade) for grade in (near, less, far))
            ratios = {"AI": [(r, r + t + n), (t, t + n)], "MP": [(r, r + t + n)], "SP": [(r + t, r + t + n)]}[strategy]
            total -= sum(math.log(top / bottom + epsilon) for top, bottom in ratios if top > 0)
    return total / (len(problem.tables) * len(problem.anchors))


@given(problems(), st.sampled_from(STRATEGIES), st.sampled_from([0.0, 1e-9, 0.1]), st.sampled_from([0.2, 0.5]))
def test_plain_contrast_is_equation_11(problem: Problem, strategy: str, epsilon: float, temperature: float) -> None:
    loss = item_relation_alignment_plain(
        problem.tables,
        problem.anchors,
        problem.sets,
        problem.candidates,
        temperature=temperature,
        strategy=strategy,
        log_epsilon=epsilon,
    )
    assert np.isclose(loss.item(), slow_contrast(problem, temperature, strategy, epsilon), rtol=1e-10, atol=1e-12)


@given(
    problems(),
    st.sampled_from(STRATEGIES),
    st.sampled_from([0.0, 1e-9, 0.1]),
    st.sampled_from([0.01, 0.05, 0.2]),
    st.sampled_from([1, 3, 256]),
)
def test_fast_contrast_equals_plain(
    problem: Problem, strategy: str, epsilon: float, temperature: float, chunk_size: int
) -> None:
    arguments = (problem.tables, problem.anchors, problem.sets, problem.candidates)
    settings = {"temperature": temperature, "strategy": strategy, "log_epsilon": epsilon}
    fast = item_relation_alignment(*arguments, **settings, chunk_size=chunk_size)
    plain = item_relation_alignment_plain(*arguments, **settings)
    assert abs(fast.item() - plain.item()) <= 1e-10 * max(abs(plain.item()), 1e-3)
    expected = torch.autograd.grad(plain, problem.tables, allow_unused=True, materialize_grads=True)
    for left, right in zip(torch.autograd.grad(fast, problem.tables), expected, strict=True):
        assert (left - right).abs().max().item() <= 1e-10 * max(right.abs().max().item(), 1e-3)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("temperature", [0.02, 0.3])
@pytest.mark.parametrize("candidates", [None, torch.tensor([0, 3, 4, 8])])
def test_gradcheck(strategy: str, temperature: float, candidates: Tensor | None) -> None:
    tables, anchors = random_tables(2, 9, 0), torch.tensor([3, 0, 8])
    sets = graded_item_sets(tables, anchors, k=2)
    sets.less_similar[0, 1] = -1

    def loss(*tables: Tensor) -> Tensor:
        settings = {"temperature": temperature, "strategy": strategy, "log_epsilon": 1e-3, "chunk_size": 2}
        return item_relation_alignment(tables, anchors, sets, candidates, **settings)

    assert torch.autograd.gradcheck(loss, tables)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_coldest_temperature_stays_finite_and_right_in_float32(strategy: str) -> None:
    tables, anchors = random_tables(2, 40, 1), torch.arange(40)
    sets = graded_item_sets(tables, anchors, k=3)
    exact = item_relation_alignment_plain(tables, anchors, sets, None, temperature=0.01, strategy=strategy)
    single = [table.detach().float().requires_grad_() for table in tables]
    loss = item_relation_alignment(single, anchors, sets, None, temperature=0.01, strategy=strategy)
    assert math.isclose(loss.item(), exact.item(), rel_tol=1e-4, abs_tol=1e-6)
    gradients = zip(torch.autograd.grad(loss, single), torch.autograd.grad(exact, tables), strict=True)
    for left, right in gradients:
        torch.testing.assert_close(left.double(), right, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("temperature", [0.01, 0.2])
def test_opposite_and_equal_items_stay_finite_in_float32(temperature: float) -> None:
    table = torch.tensor([[1.0, 0], [1, 0], [-1, 0], [-1, 0]], requires_grad=True)
    ones = torch.tensor([[[0], [1], [2]]])
    sets = GradedSets(ones, (ones + 2) % 4)  # the opposite of each anchor is its less similar item
    for candidates in (None, torch.tensor([0, 2]), torch.tensor([3])):
        loss = item_relation_alignment([table], torch.arange(3), sets, candidates, temperature=temperature)
        assert torch.isfinite(loss)
        assert torch.isfinite(torch.autograd.grad(loss, table)[0]).all()


def test_an_empty_set_adds_no_loss() -> None:
    tables, nothing = random_tables(1, 5, 2), torch.full((1, 2, 3), -1)
    loss = item_relation_alignment(tables, torch.tensor([1, 4]), GradedSets(nothing, nothing), None)
    assert loss.item() == 0
    assert not torch.autograd.grad(loss, tables)[0].any()


def test_no_negatives_leave_the_less_similar_term_at_zero() -> None:
    tables, anchors = random_tables(1, 6, 3), torch.tensor([2])
    sets = graded_item_sets(tables, anchors, k=3)
    assert item_relation_alignment(tables, anchors, sets, None, strategy="SP").item() == pytest.approx(0, abs=1e-12)


def test_unknown_strategy_is_refused() -> None:
    tables, anchors = random_tables(1, 4, 0), torch.tensor([0])
    sets = graded_item_sets(tables, anchors, k=1)
    with pytest.raises(RecipeError, match=r"'ai'.*AI, MP, SP"):
        item_relation_alignment(tables, anchors, sets, None, strategy="ai")


def test_nothing_of_the_size_of_the_cosine_matrix_is_kept() -> None:
    tables, anchors = random_tables(2, 60, 4), torch.arange(50)
    sets = graded_item_sets(tables, anchors, k=2)
    sizes: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        item_relation_alignment(tables, anchors, sets, None).backward()
    assert 0 < max(sizes) <= 60 * 4
    with torch.no_grad():
        assert not item_relation_alignment(tables, anchors, sets, None).requires_grad
