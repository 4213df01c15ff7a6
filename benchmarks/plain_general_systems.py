"""MF, NGCF, LightGCN, SGL and SimGCL in plain torch; see plain_systems.py."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.plain_system import PlainSystem, Terms, bpr, mean_of_layers, nce, rows_of, squares
from damrs_dgl.models.base import Batch
from damrs_dgl.models.layers.views import ObservedPairs, drop_edges


class PlainMF(PlainSystem):
    def terms(self, batch: Batch) -> Terms:
        users, items = self["user_table"], self["item_table"]
        return self.feedback(batch, users, items)

    def feedback(self, batch: Batch, users: Tensor, items: Tensor) -> Terms:
        """BPR of what ranks, and squares of the tables."""
        tables = (self["user_table"], self["item_table"])
        regularization = self.config.regularization * squares(*rows_of(batch, *tables))
        return {"feedback": bpr(*rows_of(batch, users, items)), "regularization": regularization}


class PlainLightGCN(PlainMF):
    def prepare(self) -> None:
        self.matrix = self.adjacency("symmetric")

    def terms(self, batch: Batch) -> Terms:
        return self.feedback(batch, *self.split(mean_of_layers(self.matrix, self.tables, self.config.num_layers)))


class PlainNGCF(PlainSystem):
    def prepare(self) -> None:
        self.matrix = self.adjacency("mean_with_self")

    def terms(self, batch: Batch) -> Terms:
        nodes, slope = self.tables, self.config.negative_slope
        layers = [nodes]
        for layer in range(self.config.num_layers):
            near = torch.sparse.mm(self.matrix, nodes)
            by_sum = F.leaky_relu(self.linear(near, f"layers.{layer}.sum"), slope)
            by_product = F.leaky_relu(self.linear(nodes * near, f"layers.{layer}.product"), slope)
            nodes = F.dropout(by_sum + by_product, self.config.dropout)
            layers.append(F.normalize(nodes, dim=1))
        rows = rows_of(batch, *self.split(torch.cat(layers, dim=1)))
        return {"feedback": bpr(*rows), "regularization": self.config.regularization * squares(*rows)}


class PlainSGL(PlainLightGCN):
    """Two graphs of dropped edges an epoch; each node told from all others of its side."""

    def begin_epoch(self, generator: torch.Generator) -> None:
        pairs = ObservedPairs(self.inputs.graph, torch.device("cpu"))
        self.users, self.items = pairs.users.long(), pairs.items.long()
        shares = (self.config.drop_rate, self.config.second_drop_rate)
        self.views = [self.adjacency("symmetric", drop_edges(pairs, share, generator)) for share in shares]

    def terms(self, batch: Batch) -> Terms:
        views = [self.split(mean_of_layers(view, self.tables, self.config.num_layers)) for view in self.views]
        contrasts = {}
        for name, side, nodes in (("user", 0, batch.users), ("item", 1, batch.positive_items)):
            contrast = nce(views[0][side][nodes], views[1][side], nodes, self.config.temperature)
            contrasts[f"{name}_contrast"] = self.config.contrast_weight * contrast
        return super().terms(batch) | contrasts


class PlainSimGCL(PlainSystem):
    def prepare(self) -> None:
        self.matrix = self.adjacency("symmetric")

    def encode(self, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        nodes, layers = self.tables, []
        for _ in range(self.config.num_layers):
            nodes = torch.sparse.mm(self.matrix, nodes)
            if generator is not None:
                noise = torch.rand(nodes.shape, generator=generator, dtype=nodes.dtype)
                nodes = nodes + self.config.noise * nodes.sign() * F.normalize(noise, dim=1)
            layers.append(nodes)
        return self.split(torch.stack(layers).mean(dim=0))

    def terms(self, batch: Batch) -> Terms:
        users, positive, negative = rows_of(batch, *self.encode(None))
        views = [self.encode(batch.generator) for _ in range(2)]
        terms = {"feedback": bpr(users, positive, negative)}
        for name, side, nodes in (("user", 0, batch.users.unique()), ("item", 1, batch.positive_items.unique())):
            own = torch.arange(len(nodes))
            contrast = nce(views[0][side][nodes], views[1][side][nodes], own, self.config.temperature)
            terms[f"{name}_contrast"] = self.config.contrast_weight * contrast
        norms = torch.linalg.vector_norm(users) + torch.linalg.vector_norm(positive)
        return terms | {"regularization": self.config.regularization * norms / len(users)}
