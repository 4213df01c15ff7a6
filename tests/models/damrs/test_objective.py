"""The loss of one batch, term by term, against the loops in reference.py: values and gradients, in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from damrs_dgl.losses.graded_sets import graded_item_sets
from damrs_dgl.models.base import Batch
from damrs_dgl.models.damrs.objective import confidences, ranking_terms, relation_share
from damrs_dgl.models.damrs.variants import VARIANTS
from tests.models.damrs import reference
from tests.models.damrs.case import Case

CASES = [(variant, backbone) for variant in VARIANTS for backbone in ("lightgcn", "mf")]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


@pytest.mark.parametrize("term", ["feedback", "preference", "relations", "regularization"])
def test_each_term(case: Case, term: str) -> None:
    case.assert_same(case.terms()[term], case.expected()[term])


def test_the_sum(case: Case) -> None:
    """Eq. 12."""
    case.assert_same(torch.stack(list(case.terms().values())).sum(), sum(case.expected().values()))  # type: ignore[arg-type]


def test_the_batch_shows_both_sides_of_g(case: Case) -> None:
    """Else a wrong condition in Eq. 7 would not be seen above."""
    assert reference.above_and_below([g for _, g in case.fg])
    assert len({f for f, _ in case.fg}) > 5


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("strategy", ["MP", "SP"])
def test_strategies_of_table_4(variant: str, strategy: str) -> None:
    case = Case(variant, "lightgcn", relation_strategy=strategy)
    case.settings.strategy = strategy
    case.assert_same(case.terms()["relations"], case.expected()["relations"])


@pytest.mark.parametrize("variant", VARIANTS)
def test_f_and_g_can_be_switched_off(variant: str) -> None:
    for switched, fixed in (("reliability", 0), ("contradiction", 1)):
        case = Case(variant, "lightgcn", **{switched: False})
        constant = (1.0, 0.0)[fixed]
        case.fg = [(constant, g) if fixed == 0 else (f, constant) for f, g in case.fg]
        case.assert_same(case.terms()["feedback"], case.expected()["feedback"])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("denoised", [True, False])
def test_a_softmax_over_the_batchs_items(variant: str, denoised: bool) -> None:
    case = Case(variant, "lightgcn", feedback="softmax", denoised_bpr=denoised)
    users, items = case.vectors.users, case.vectors.items
    candidates = case.batch.extra["candidates"].tolist()
    assert candidates == sorted({*case.batch.pair_items.tolist()})
    total = torch.zeros((), dtype=torch.float64)
    for user, item, (f, _) in zip(case.batch.users, case.batch.positive_items, case.fg, strict=True):
        scores = {other: users[user] @ items[other] for other in {*candidates, int(item)}}
        chance = scores[int(item)].exp() / sum(score.exp() for score in scores.values())
        total = total - (f if denoised else 1.0) * torch.log(chance)
    case.assert_same(case.terms()["feedback"], total / len(case.batch.users))


@pytest.mark.parametrize("variant", VARIANTS)
def test_without_f_and_g_it_is_bpr(variant: str) -> None:
    neither = Case(variant, "lightgcn", reliability=False, contradiction=False)
    plain = Case(variant, "lightgcn", denoised_bpr=False)
    assert torch.equal(neither.terms()["feedback"], plain.terms()["feedback"])
    vectors, batch = plain.vectors, plain.batch
    x = (vectors.users[batch.users] * (vectors.items[batch.positive_items] - vectors.items[batch.negative_items])).sum(
        1
    )
    plain.assert_same(plain.terms()["feedback"], -torch.log(torch.sigmoid(x)).mean())


def test_weight_zero_leaves_a_term_out() -> None:
    for weight, term in (
        ("preference_weight", "preference"),
        ("relation_weight", "relations"),
        ("regularization", "regularization"),
    ):
        case = Case("paper", "mf", **{weight: 0.0})
        assert set(case.terms()) == {"feedback", "preference", "relations", "regularization"} - {term}


def test_neighbours_count_less_where_items_have_many_clicks() -> None:
    assert relation_share(0.0, 10_000, 10) == relation_share(40.0, 400, 10) == relation_share(40.0, 0, 0) == 1.0
    assert relation_share(40.0, 800, 10) == 0.25
    whole, damped = Case("authors", "lightgcn"), Case("authors", "lightgcn", relation_damping=1.0)
    share = (damped.data.num_items / len(damped.data.train)) ** 2
    assert damped.model.relation_share == pytest.approx(share) and share < 1
    terms = damped.model.auxiliary_losses(damped.batch, damped.model.represent())
    plain = whole.model.auxiliary_losses(whole.batch, whole.model.represent())
    vectors, fused = damped.model.represent(), damped.model.embeddings().items
    neighbours = torch.stack(list(vectors.relation_items.values())).mean(0)
    torch.testing.assert_close(fused, vectors.id_items + share * neighbours)
    assert terms["relations"].item() == pytest.approx(share * plain["relations"].item())
    assert terms["preference"].item() == pytest.approx(plain["preference"].item())


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_clicks_are_weighed_less_where_items_have_many(share: float) -> None:
    case = Case("authors", "lightgcn")
    vectors, whole = case.model.represent(), case.terms()["feedback"]
    found = ranking_terms(case.model.config, case.model.variant, vectors, case.batch, share)["feedback"]
    users = vectors.users[case.batch.users]
    x = (users * (vectors.items[case.batch.positive_items] - vectors.items[case.batch.negative_items])).sum(1)
    bpr = torch.nn.functional.softplus(-x).mean()
    assert not torch.isclose(whole, bpr)
    torch.testing.assert_close(found, share * whole + (1 - share) * bpr)
    damped = Case("authors", "lightgcn", relation_damping=1.0)
    vectors, share = damped.model.represent(), damped.model.relation_share
    ranked = ranking_terms(damped.model.config, damped.model.variant, vectors, damped.batch, share)
    assert torch.equal(damped.terms()["feedback"], ranked["feedback"])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("form", ["printed", "gap"])
def test_both_forms_of_equation_7(variant: str, form: str) -> None:
    case = Case(variant, "lightgcn", contradiction_form=form)
    case.settings.gap = form == "gap"
    with torch.no_grad():
        case.fg = reference.confidences(case.vectors, case.batch, case.settings, authors=case.authors)
    assert reference.above_and_below([g for _, g in case.fg])
    case.assert_same(case.terms()["feedback"], case.expected()["feedback"])


def test_terms_that_the_backbone_brings_are_kept() -> None:
    """Its ranking loss and regulariser are not: DA-MRS has its own."""
    model = Case("authors", "sgl").model
    model.on_epoch_start(1, torch.Generator().manual_seed(0))
    batch = Case("authors", "sgl").batch
    alone = model.backbone.training_step(batch)
    terms = model.training_step(batch)
    own = {"feedback", "preference", "relations", "regularization"}
    assert set(alone) - own and set(terms) == own | set(alone)
    for name in set(alone) - own:
        assert torch.equal(terms[name], alone[name])
    assert not torch.equal(terms["feedback"], alone["feedback"])


def test_graded_sets_of_all_items_are_those_of_the_anchors() -> None:
    """`refresh = "epoch"` on the weights of the epoch's beginning is `refresh = "step"`."""
    case = Case("paper", "lightgcn")
    with torch.no_grad():
        relations = list(case.model.represent().relation_items.values())
    sets = graded_item_sets(relations, None, k=case.settings.k)
    assert torch.equal(case.terms_with(sets)["relations"], case.terms()["relations"])
    with torch.no_grad():
        case.model.backbone.item_table.add_(torch.randn(24, 5, generator=torch.Generator().manual_seed(0)))
    assert not torch.equal(case.terms_with(sets)["relations"], case.terms()["relations"])


def test_confidences_carry_no_gradient() -> None:
    """D-BPR's gradient is that of Eq. 8 with f and g as numbers: the relations alone get it through the fused items."""
    case = Case("paper", "mf")
    vectors = case.model.represent()
    gradients = torch.autograd.grad(case.terms()["feedback"], list(case.model.parameters()))
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    users = vectors.users[case.batch.users]
    f, g = confidences(case.model.config, case.model.variant, vectors, case.batch, users, (users * users).sum(1))
    assert not f.requires_grad and not g.requires_grad


def test_pairs_without_negatives_are_refused() -> None:
    case = Case("paper", "mf")
    with pytest.raises(TypeError, match="a batch needs negative items"):
        case.terms(replace(case.batch, negative_items=None))


def with_extra(batch: Batch, **extra: Any) -> Batch:
    return replace(batch, extra={**batch.extra, **extra})


@pytest.mark.parametrize("variant", VARIANTS)
def test_sampled_anchors_are_unbiased(variant: str) -> None:
    """The mean of the alignment losses over draws of 3 anchors is that over all anchors, within 5 standard errors."""
    case = Case(variant, "lightgcn")
    whole = case.terms()
    generator = torch.Generator().manual_seed(3)
    draws: dict[str, list[float]] = {"preference": [], "relations": []}
    with torch.no_grad():
        for _ in range(150):
            chosen = {
                name: ids[torch.randperm(len(ids), generator=generator)[:3]]
                for name, ids in case.batch.extra.items()
                if name.startswith("anchor")
            }
            terms = case.terms(with_extra(case.batch, **chosen))
            for name, values in draws.items():
                values.append(float(terms[name]))
    for name, values in draws.items():
        sample = torch.tensor(values, dtype=torch.float64)
        error = float(sample.std()) / len(values) ** 0.5
        assert float(sample.std()) > 0
        assert abs(float(sample.mean()) - whole[name].item()) < 5 * error, name


def test_sampled_softmax_with_all_other_items_is_exact() -> None:
    """The batch's items and a "sample" of all others, in another order: the softmax over all items."""
    case = Case("paper", "lightgcn")
    others = torch.tensor(sorted(set(range(24)) - set(case.batch.extra["items"].tolist()))).flip(0)
    assert len(others) > 1
    sampled = case.terms(with_extra(case.batch, softmax_items=others))["preference"]
    case.assert_same(sampled, case.expected()["preference"])


def test_sampled_softmax_weighs_the_others() -> None:
    """Two of the others stand for all: Eq. 9-10 with their exponentials times N / 2, in plain torch."""
    case = Case("paper", "lightgcn")
    others = torch.tensor(sorted(set(range(24)) - set(case.batch.extra["items"].tolist())))
    chosen = torch.cat([case.batch.extra["items"], others[:2]])
    weights = torch.ones(len(chosen), dtype=torch.float64)
    weights[-2:] = len(others) / 2
    users = case.vectors.users[case.batch.extra["anchor_users"]]
    a, b = users @ case.vectors.content()[chosen].T, users @ case.vectors.id_items[chosen].T
    p, q = (weights * torch.exp(s) for s in (a, b))
    p, q = p / p.sum(1, keepdim=True), q / q.sum(1, keepdim=True)
    expected = case.settings.preference_weight * (p * torch.log(p / q) + q * torch.log(q / p)).sum(1).mean()
    case.assert_same(case.terms(with_extra(case.batch, softmax_items=others[:2]))["preference"], expected)
