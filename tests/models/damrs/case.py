"""A small DA-MRS in float64, one batch of it, and the same written out by reference.py."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.factory import build_recipe_graph, prepare_training
from damrs_dgl.graphs.schema import item_relations
from damrs_dgl.models.base import Batch
from damrs_dgl.models.damrs.objective import alignment_terms, ranking_terms
from damrs_dgl.recipe import load_recipe, with_values
from tests.models.damrs import reference
from tests.models.damrs.reference import Settings, Vectors

SIZES: dict[str, Any] = {
    "users": 15,
    "items": 24,
    "styles": 4,
    "clicks_per_user": 5,
    "dims": {"visual": 4, "textual": 4},
}


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
    """The model, its batch, and what the equations say of them."""

    def __init__(self, variant: str, backbone: str, **changes: Any) -> None:
        authors = variant != "paper"
        self.authors = authors
        self.settings = s = Settings(gap=authors, inputs=not authors, everything=authors)
        if variant == "recommended":  # the authors' but for what was chosen on validation
            s.inputs, s.everything = True, False
        self.data = synthetic_shop(**SIZES, seed=5).dataset
        values: dict[str, object] = {
            "model.variant": variant,
            "model.backbone": backbone,
            "model.dim": 5,
            "graphs.k": 3,
            "model.alpha": s.alpha,
            "model.beta": s.beta,
            "model.gamma": s.gamma,
            "model.relation_k": s.k,
            "model.preference_weight": s.preference_weight,
            "model.relation_weight": s.relation_weight,
            "model.regularization": s.regularization,
            "model.anchors": "all",
            "model.refresh": "step",
            "training.batch_size": 13,
            "training.start": "random",
        }
        changed = {f"model.{key}": value for key, value in changes.items()}
        recipe = with_values(load_recipe("demo"), {**values, **changed})
        graph = scattered_graph(build_recipe_graph(recipe, self.data).graph)
        trainer = prepare_training(recipe, self.data, graph, device=torch.device("cpu"))
        self.model: Any = trainer.model.double()
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.mul_(4)  # scores far enough from 0 that f, g and both softmaxes vary
        self.batch: Batch = next(iter(trainer.sampler.epoch(torch.Generator().manual_seed(1))))
        table = self.model.backbone
        self.tables = tuple(t.detach().clone().requires_grad_() for t in (table.user_table, table.item_table))
        layers = recipe.model.backbone.num_layers if backbone == "lightgcn" else None
        self.vectors: Vectors = reference.propagate(
            graph, item_relations(graph), *self.tables, layers=layers, summed=authors
        )
        with torch.no_grad():
            self.fg = reference.confidences(self.vectors, self.batch, s, authors=authors)

    def terms(self, batch: Batch | None = None) -> dict[str, Tensor]:
        """The package's terms of the batch."""
        found: dict[str, Tensor] = self.model.training_step(batch or self.batch)
        return found

    def terms_with(self, sets: Any) -> dict[str, Tensor]:
        """The package's terms with given graded item sets."""
        config, variant, vectors = self.model.config, self.model.variant, self.model.represent()
        terms = ranking_terms(config, variant, vectors, self.batch, 1.0)
        return terms | alignment_terms(config, variant, vectors, self.batch, sets, 1.0)

    def expected(self) -> dict[str, Tensor]:
        s, authors = self.settings, self.authors
        return {
            "feedback": reference.feedback(self.vectors, self.batch, self.fg, authors=authors),
            "preference": s.preference_weight * reference.preference(self.vectors, self.batch, authors=authors),
            "relations": s.relation_weight * reference.item_relations(self.vectors, self.batch, s, authors=authors),
            "regularization": s.regularization * reference.regularizer(self.vectors, self.batch, self.tables, s),
        }

    def assert_same(self, mine: Tensor, theirs: Tensor) -> None:
        """Equal values, and equal gradients of both tables."""
        assert mine.item() == pytest.approx(theirs.item(), rel=1e-10, abs=1e-12)
        table = self.model.backbone
        gradients = torch.autograd.grad(mine, [table.user_table, table.item_table], allow_unused=True)
        wanted = torch.autograd.grad(theirs, self.tables, allow_unused=True, retain_graph=True)
        for got, want in zip(gradients, wanted, strict=True):
            assert (got is None) == (want is None)
            if got is not None and want is not None:
                assert torch.allclose(got, want, rtol=1e-9, atol=1e-11)
                assert want.any()
