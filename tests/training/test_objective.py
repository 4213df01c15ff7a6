"""The loss of one batch, term by term, against the loops in reference.py: values and gradients, in float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from damrs_dgl.assembly import build_objective, build_recipe_graph, prepare_training
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.graphs.schema import item_relations
from damrs_dgl.recipe import load_recipe
from damrs_dgl.training.objective import VARIANTS, Objective
from damrs_dgl.training.sampling import Batch
from damrs_dgl.training.trainer import Trainer
from tests.training import reference
from tests.training.reference import Settings, Vectors

SIZES = {"users": 15, "items": 24, "styles": 4, "clicks_per_user": 5, "dims": {"visual": 4, "textual": 4}}
CASES = [("paper", "lightgcn"), ("authors", "lightgcn"), ("paper", "mf"), ("authors", "mf")]


def scattered_graph(graph: dgl.DGLGraph) -> dgl.DGLGraph:
    """The graph with random content relations instead of its own.

    In a small catalogue many items have the same nearest neighbours, so equal rows h^m and ties between them in the
    graded sets, which two implementations may break differently.
    """
    items, generator = graph.num_nodes("item"), torch.Generator().manual_seed(8)
    edges = {kind: graph.edges(etype=kind) for kind in graph.canonical_etypes}
    for modality in ("visual", "textual"):
        neighbors = torch.rand(items, items, generator=generator).topk(3).indices
        targets = torch.arange(items).repeat_interleave(3)
        edges["item", modality, "item"] = (neighbors.flatten().int(), targets.int())
    made = dgl.heterograph(edges, {kind: graph.num_nodes(kind) for kind in ("user", "item")}, idtype=torch.int32)
    if "weight" in graph.edges["behavior"].data:
        made.edges["behavior"].data["weight"] = graph.edges["behavior"].data["weight"]
    return made


class Case:
    """A small model in float64, one batch of it, and the same written out."""

    def __init__(self, variant: str, backbone: str, **changes: Any) -> None:
        self.settings = Settings()
        self.authors = variant == "authors"
        s = self.settings
        self.data = synthetic_shop(**SIZES, seed=5).dataset
        self.recipe = load_recipe("demo").with_values(
            {
                "model.variant": variant,
                "model.backbone": backbone,
                "model.dim": 5,
                "graphs.k": 3,
                "losses.alpha": s.alpha,
                "losses.beta": s.beta,
                "losses.gamma": s.gamma,
                "losses.relation_k": s.k,
                "losses.preference_weight": s.preference_weight,
                "losses.relation_weight": s.relation_weight,
                "losses.regularization": s.regularization,
                "losses.anchors": "all",
                "losses.refresh": "step",
                "training.batch_size": 13,
                **{key.replace("__", "."): value for key, value in changes.items()},
            }
        )
        graph = scattered_graph(build_recipe_graph(self.recipe, self.data).graph)
        trainer: Trainer = prepare_training(self.recipe, self.data, graph, device=torch.device("cpu"))
        self.model: Any = trainer.model.double()
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.mul_(4)  # scores far enough from 0 that f, g and both softmaxes vary
        self.objective: Objective = trainer.objective
        self.batch: Batch = next(iter(trainer.sampler.epoch(torch.Generator().manual_seed(1))))
        table = self.model.backbone
        self.tables = tuple(t.detach().clone().requires_grad_() for t in (table.user_table, table.item_table))
        layers = self.recipe.model.layers if backbone == "lightgcn" else None
        self.vectors: Vectors = reference.propagate(
            graph, item_relations(graph), *self.tables, layers=layers, summed=self.authors
        )
        with torch.no_grad():
            self.fg = reference.confidences(self.vectors, self.batch, s, authors=self.authors)

    def expected(self) -> dict[str, Tensor]:
        s, authors = self.settings, self.authors
        return {
            "feedback": reference.feedback(self.vectors, self.batch, self.fg, authors=authors),
            "preference": s.preference_weight * reference.preference(self.vectors, self.batch, authors=authors),
            "relations": s.relation_weight * reference.item_relations(self.vectors, self.batch, s, authors=authors),
            "regularization": s.regularization
            * reference.regularizer(self.vectors, self.batch, self.tables, authors=authors),
        }

    def assert_same(self, mine: Tensor, theirs: Tensor) -> None:
        assert mine.item() == pytest.approx(theirs.item(), rel=1e-10, abs=1e-12)
        table = self.model.backbone
        gradients = torch.autograd.grad(mine, [table.user_table, table.item_table], allow_unused=True)
        wanted = torch.autograd.grad(theirs, self.tables, allow_unused=True, retain_graph=True)
        for got, want in zip(gradients, wanted, strict=True):
            assert (got is None) == (want is None)
            if got is not None and want is not None:
                assert torch.allclose(got, want, rtol=1e-9, atol=1e-11)
                assert want.any()


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


@pytest.mark.parametrize("term", ["feedback", "preference", "relations", "regularization"])
def test_each_term(case: Case, term: str) -> None:
    case.assert_same(case.objective(case.batch)[term], case.expected()[term])


def test_the_sum(case: Case) -> None:
    """Eq. 12."""
    case.assert_same(torch.stack(list(case.objective(case.batch).values())).sum(), sum(case.expected().values()))  # type: ignore[arg-type]


def test_the_batch_shows_both_sides_of_g(case: Case) -> None:
    """Else a wrong condition in Eq. 7 would not be seen above."""
    assert reference.above_and_below([g for _, g in case.fg])
    assert len({f for f, _ in case.fg}) > 5


@pytest.mark.parametrize("variant", ["paper", "authors"])
@pytest.mark.parametrize("strategy", ["MP", "SP"])
def test_strategies_of_table_4(variant: str, strategy: str) -> None:
    case = Case(variant, "lightgcn", losses__relation_strategy=strategy)
    case.settings.strategy = strategy
    case.assert_same(case.objective(case.batch)["relations"], case.expected()["relations"])


@pytest.mark.parametrize("variant", ["paper", "authors"])
def test_f_and_g_can_be_switched_off(variant: str) -> None:
    for switched, fixed in (("reliability", 0), ("contradiction", 1)):
        case = Case(variant, "lightgcn", **{f"losses__{switched}": False})
        constant = (1.0, 0.0)[fixed]
        case.fg = [(constant, g) if fixed == 0 else (f, constant) for f, g in case.fg]
        case.assert_same(case.objective(case.batch)["feedback"], case.expected()["feedback"])


@pytest.mark.parametrize("variant", ["paper", "authors"])
def test_without_f_and_g_it_is_bpr(variant: str) -> None:
    neither = Case(variant, "lightgcn", losses__reliability=False, losses__contradiction=False)
    plain = Case(variant, "lightgcn", losses__denoised_bpr=False)
    assert torch.equal(neither.objective(neither.batch)["feedback"], plain.objective(plain.batch)["feedback"])
    vectors, batch = plain.vectors, plain.batch
    x = (vectors.users[batch.users] * (vectors.items[batch.positive_items] - vectors.items[batch.negative_items])).sum(
        1
    )
    plain.assert_same(plain.objective(batch)["feedback"], -torch.log(torch.sigmoid(x)).mean())


def test_weight_zero_leaves_a_term_out() -> None:
    for weight, term in (
        ("preference_weight", "preference"),
        ("relation_weight", "relations"),
        ("regularization", "regularization"),
    ):
        case = Case("paper", "mf", **{f"losses__{weight}": 0.0})
        assert set(case.objective(case.batch)) == {"feedback", "preference", "relations", "regularization"} - {term}


def test_a_plain_backbone_has_bpr_and_its_regulariser() -> None:
    case = Case("paper", "mf", model__name="damrs")
    recipe = case.recipe.with_values({"model.name": "mf"})
    terms = build_objective(recipe, case.model.backbone)(case.batch)
    assert set(terms) == {"feedback", "regularization"}


def test_sets_of_an_epoch_are_those_of_its_first_model() -> None:
    """refresh = 2: computed in epochs 0 and 2, kept in between; equal to the step's own sets on the same weights."""
    case = Case("paper", "lightgcn")
    by_step = case.objective(case.batch)["relations"]
    kept = build_objective(case.recipe.with_values({"losses.refresh": 2}), case.model)
    kept.start_epoch(0)
    sets = kept.graded_sets
    assert sets is not None
    assert torch.equal(kept(case.batch)["relations"], by_step)
    with torch.no_grad():
        case.model.backbone.item_table.add_(torch.randn(24, 5, generator=torch.Generator().manual_seed(0)))
    kept.start_epoch(1)
    assert kept.graded_sets is sets
    kept.start_epoch(2)
    assert kept.graded_sets is not None and not torch.equal(kept.graded_sets.similar, sets.similar)
    assert [kept.due(epoch) for epoch in range(4)] == [True, False, True, False]
    assert not any(case.objective.due(epoch) for epoch in range(4))  # "step"


def test_confidences_carry_no_gradient() -> None:
    """D-BPR's gradient is that of Eq. 8 with f and g as numbers: the relations alone get it through the fused items."""
    case = Case("paper", "mf")
    vectors = case.model()
    gradients = torch.autograd.grad(case.objective(case.batch)["feedback"], list(case.model.parameters()))
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    users = vectors.users[case.batch.users]
    f, g = case.objective._confidences(vectors, case.batch, users, (users * users).sum(1))
    assert not f.requires_grad and not g.requires_grad


def test_variants_are_two() -> None:
    assert set(VARIANTS) == {"paper", "authors"}


@pytest.mark.parametrize("variant", ["paper", "authors"])
def test_sampled_anchors_are_unbiased(variant: str) -> None:
    """The mean of the alignment losses over draws of 3 anchors is that over all anchors, within 5 standard errors."""
    case = Case(variant, "lightgcn", losses__refresh="step")
    whole = case.objective(case.batch)
    generator = torch.Generator().manual_seed(3)
    draws: dict[str, list[float]] = {"preference": [], "relations": []}
    with torch.no_grad():
        for _ in range(150):
            users, items = (
                ids[torch.randperm(len(ids), generator=generator)[:3]]
                for ids in (case.batch.anchor_users, case.batch.anchor_items)
            )
            batch = Batch(
                case.batch.users, case.batch.positive_items, case.batch.negative_items, case.batch.items, users, items
            )
            terms = case.objective(batch)
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
    others = torch.tensor(sorted(set(range(24)) - set(case.batch.items.tolist()))).flip(0)
    assert len(others) > 1
    sampled = case.objective(replace(case.batch, softmax_items=others))["preference"]
    case.assert_same(sampled, case.expected()["preference"])


def test_sampled_softmax_weighs_the_others() -> None:
    """Two of the others stand for all: Eq. 9-10 with their exponentials times N / 2, in plain torch."""
    case = Case("paper", "lightgcn")
    others = torch.tensor(sorted(set(range(24)) - set(case.batch.items.tolist())))
    chosen = torch.cat([case.batch.items, others[:2]])
    weights = torch.ones(len(chosen), dtype=torch.float64)
    weights[-2:] = len(others) / 2
    users = case.vectors.users[case.batch.anchor_users]
    a, b = users @ case.vectors.content()[chosen].T, users @ case.vectors.id_items[chosen].T
    p, q = (weights * torch.exp(s) for s in (a, b))
    p, q = p / p.sum(1, keepdim=True), q / q.sum(1, keepdim=True)
    expected = case.settings.preference_weight * (p * torch.log(p / q) + q * torch.log(q / p)).sum(1).mean()
    case.assert_same(case.objective(replace(case.batch, softmax_items=others[:2]))["preference"], expected)
