"""VBPR, MMGCN, GRCN, SLMRec, BM3 and MMSSL in plain torch; see plain_systems.py."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.plain_general_systems import PlainMF
from benchmarks.plain_system import (
    PlainSystem,
    Terms,
    bpr,
    mean_of_layers,
    nce,
    rows_of,
    squares,
)
from damrs_dgl.models.base import Batch


class PlainVBPR(PlainMF):
    """All items are projected at each step, as in MMRec; the squares are those of what ranks."""

    def prepare(self) -> None:
        self.features = torch.cat([F.normalize(content, dim=1) for content in self.content()], dim=1)

    def terms(self, batch: Batch) -> Terms:
        items = torch.cat([self["item_table"], self.linear(self.features, "projection")], dim=1)
        rows = rows_of(batch, self["user_table"], items)
        return {"feedback": bpr(*rows), "regularization": self.config.regularization * squares(*rows)}


def mean_squares(*tables: Tensor) -> Tensor:
    return torch.stack([table.square().mean() for table in tables]).sum()


class PlainMMGCN(PlainSystem):
    def prepare(self) -> None:
        self.matrix = self.adjacency("mean")
        self.features = list(self.content())

    def encode(self, modality: int) -> Tensor:
        """One modality's network over users and items."""
        name = f"networks.{modality}"
        items = self.features[modality]
        if f"{name}.projection.weight" in self.weights:
            items = self.linear(items, f"{name}.projection")
        nodes = F.normalize(torch.cat([self[f"{name}.preference"], items]), dim=1)
        for layer in range(self.config.num_layers):
            part = f"{name}.layers.{layer}"
            messages = F.leaky_relu(torch.sparse.mm(self.matrix, nodes @ self[f"{part}.message.weight"]))
            own = F.leaky_relu(self.linear(nodes, f"{part}.own")) + self.tables
            nodes = F.leaky_relu(self.linear(torch.cat([messages, own], dim=1), f"{part}.combine"))
        return nodes

    def terms(self, batch: Batch) -> Terms:
        count = len(self.features)
        nodes = torch.stack([self.encode(modality) for modality in range(count)]).mean(dim=0)
        tables = [self["user_table"][batch.users], self["item_table"][batch.pair_items]]
        tables += [self[f"networks.{modality}.preference"] for modality in range(count)]
        feedback = bpr(*rows_of(batch, *self.split(nodes)))
        return {"feedback": feedback, "regularization": self.config.regularization * mean_squares(*tables)}


class PlainGRCN(PlainSystem):
    """Messages of edges are rows of their own, [E, d]."""

    def prepare(self) -> None:
        self.features = list(self.content())

    def gather(self, weights: Tensor, values: Tensor, senders: Tensor, receivers: Tensor, count: int) -> Tensor:
        """sum of w_e x_sender(e) at each receiver."""
        messages = weights.unsqueeze(1) * values[senders]
        return torch.zeros(count, values.shape[1], dtype=self.dtype).index_add(0, receivers, messages)

    def softmax(self, scores: Tensor, ends: Tensor, count: int) -> Tensor:
        """Over the edges of each node."""
        highest = torch.full((count,), -torch.inf, dtype=self.dtype).scatter_reduce(0, ends, scores.detach(), "amax")
        shares = torch.exp(scores - highest[ends])
        return shares / torch.zeros(count, dtype=self.dtype).index_add(0, ends, shares)[ends]

    def refine(self, modality: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Contents of both sides, and each edge's attention for its user and for its item."""
        u, i, sizes = self.users, self.items, (self.num_users, self.num_items)
        name = f"refinements.{modality}"
        items = F.normalize(F.leaky_relu(self.linear(self.features[modality], f"{name}.projection")), dim=1)
        users = F.normalize(self[f"{name}.preference"], dim=1)
        for _ in range(self.config.num_routings):
            attention = self.softmax((users[u] * items[i]).sum(dim=1), u, sizes[0])
            users = F.normalize(users + self.gather(attention, items, i, u, sizes[0]), dim=1)
        scores = (users[u] * items[i]).sum(dim=1)
        by_user, by_item = self.softmax(scores, u, sizes[0]), self.softmax(scores, i, sizes[1])
        user_content = users + self.gather(by_user, items, i, u, sizes[0])
        item_content = items + self.gather(by_item, users, u, i, sizes[1])
        return user_content, item_content, by_user, by_item

    def terms(self, batch: Batch) -> Terms:
        count = len(self.features)
        user_contents, item_contents, by_user, by_item = zip(*map(self.refine, range(count)), strict=True)
        trust_users, trust_items = self.split(self["confidence"])
        to_users = (torch.stack(by_user, dim=1) * trust_items[self.items]).amax(dim=1).relu()
        to_items = (torch.stack(by_item, dim=1) * trust_users[self.users]).amax(dim=1).relu()
        users, items = F.normalize(self["user_table"], dim=1), F.normalize(self["item_table"], dim=1)
        user_sum, item_sum = users, items
        for _ in range(2):
            new_users = self.gather(to_users, items, self.items, self.users, self.num_users)
            items = self.gather(to_items, users, self.users, self.items, self.num_items)
            users = new_users
            user_sum, item_sum = user_sum + users, item_sum + items
        users, items = torch.cat([user_sum, *user_contents], dim=1), torch.cat([item_sum, *item_contents], dim=1)
        tables = [self["user_table"][batch.users], self["item_table"][batch.pair_items]]
        tables += [self[f"refinements.{modality}.preference"][batch.users] for modality in range(count)]
        feedback = bpr(*rows_of(batch, users, items))
        return {"feedback": feedback, "regularization": self.config.regularization * mean_squares(*tables)}


class PlainSLMRec(PlainSystem):
    def prepare(self) -> None:
        self.matrix = self.adjacency("symmetric")
        self.features = [F.normalize(content, dim=1) for content in self.content()]

    def terms(self, batch: Batch) -> Terms:
        inputs = [self["item_table"]]
        inputs += [self.linear(content, f"projections.{m}") for m, content in enumerate(self.features)]
        nodes = [torch.cat([self["user_table"], items]) for items in inputs]
        views = [self.split(mean_of_layers(self.matrix, part, self.config.num_layers)) for part in nodes]
        users = self.linear(torch.cat([view[0] for view in views], dim=1), "user_fusion")[batch.users]
        items = self.linear(torch.cat([view[1] for view in views], dim=1), "item_fusion")[batch.positive_items]
        own = torch.arange(len(users))
        query, alignments = views[0][1][batch.positive_items], []
        for step, view in enumerate(views[1:]):
            query = self.linear(query, f"alignment.queries.{step}")
            key = self.linear(view[1][batch.positive_items], f"alignment.keys.{step}")
            alignments.append(F.cross_entropy(query @ key.T / self.config.alignment_temperature, own))
        decay = torch.stack([weight.square().sum() for weight in self.weights.values()]).sum()
        return {
            "feedback": nce(users, items, own, self.config.temperature),
            "alignment": self.config.alignment_weight * torch.stack(alignments).sum(),
            "regularization": self.config.weight_decay / 2 * decay,
        }


class PlainBM3(PlainSystem):
    """All items' content is projected at each step, as in BM3's repository."""

    def prepare(self) -> None:
        self.matrix = self.adjacency("symmetric")

    def target(self, rows: Tensor) -> Tensor:
        return F.dropout(rows.detach(), self.config.dropout)

    def terms(self, batch: Batch) -> Terms:
        users, items = self.split(mean_of_layers(self.matrix, self.tables, self.config.num_layers))
        items = items + self["item_table"]
        user_rows, item_rows = users[batch.users], items[batch.positive_items]
        user_target, item_target = self.target(user_rows), self.target(item_rows)

        def apart(rows: Tensor, target: Tensor) -> Tensor:
            return 1 - F.cosine_similarity(self.linear(rows, "predictor"), target, dim=1).mean()

        alignment, masking = [], []
        for modality in range(len(self.inputs.modalities)):
            projected = self.linear(self[f"content_tables.{modality}"], f"projections.{modality}")
            rows = projected[batch.positive_items]
            alignment.append(apart(rows, item_target))
            masking.append(apart(rows, self.target(rows)))
        norms = torch.linalg.vector_norm(users) + torch.linalg.vector_norm(items)
        return {
            "feedback": apart(user_rows, item_target) + apart(item_rows, user_target),
            "alignment": self.config.content_weight * torch.stack(alignment).sum(),
            "masking": self.config.content_weight * torch.stack(masking).sum(),
            "regularization": self.config.regularization * norms / self.num_items,
        }
