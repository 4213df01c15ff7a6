"""DA-MRS around LightGCN, trained in the plain way: the slow side of the training benchmarks.

What the authors' code computes, written cleanly: one (U + I) x (U + I) sparse matrix for the user-item graph, one
sparse I x I matrix an item relation, every loss over whole matrices (plain_losses.py) with all of the batch's users and
items, the graded sets anew at each step, autograd's backward, torch's Adam as it comes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.plain_losses import (
    bernoulli_preference_alignment,
    confidences,
    denoised_bpr,
    item_relation_alignment,
    preference_alignment,
)
from damrs_dgl.data.parts import Interactions
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.graphs.schema import INTERACTS, WEIGHT, item_relations
from damrs_dgl.models.damrs.variants import VARIANTS
from damrs_dgl.recipe import Recipe

Triples = tuple[Tensor, Tensor, Tensor]
"""Users, positive items, negative items of a batch, int64 [B] each."""


@dataclass(frozen=True)
class Vectors:
    """Users [U, d], fused items t, ID items h^id and each relation's h^m, [I, d] (Eq. 3)."""

    users: Tensor
    items: Tensor
    id_items: Tensor
    relations: list[Tensor]


def normalized(rows: Tensor, columns: Tensor, values: Tensor, size: int) -> Tensor:
    """D^-1/2 A D^-1/2 as a sparse CSR matrix (faster in torch than COO) [size, size], D the row sums of A."""
    degrees = torch.zeros(size).index_add_(0, rows, values)
    scale = torch.where(degrees > 0, degrees.clamp(min=1e-12).rsqrt(), torch.zeros_like(degrees))
    values = scale[rows] * values * scale[columns]
    indices = torch.stack([rows, columns])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        return torch.sparse_coo_tensor(indices, values, (size, size), check_invariants=False).coalesce().to_sparse_csr()


class PlainDAMRS(nn.Module):
    """The model: two tables and the sparse matrices of a heterograph, made from its edges."""

    def __init__(self, graph: dgl.DGLGraph, recipe: Recipe[Any]) -> None:
        super().__init__()
        settings = recipe.model
        self.num_users, self.num_items = graph.num_nodes("user"), graph.num_nodes("item")
        dim, self.layers, self.item_layers = settings.backbone.dim, settings.backbone.num_layers, settings.item_layers
        self.summed = settings.variant != "paper"
        self.user_table = nn.Parameter(nn.init.xavier_uniform_(torch.empty(self.num_users, dim)))
        self.item_table = nn.Parameter(nn.init.xavier_uniform_(torch.empty(self.num_items, dim)))
        users, items = (ids.long() for ids in graph.edges(etype=INTERACTS))
        rows, columns = torch.cat([users, items + self.num_users]), torch.cat([items + self.num_users, users])
        size = self.num_users + self.num_items
        self.adjacency = normalized(rows, columns, torch.ones(len(rows)), size)
        self.relations = []
        for name in item_relations(graph):
            sources, targets = (ids.long() for ids in graph.edges(etype=name))
            weights = graph.edges[name].data.get(WEIGHT, torch.ones(len(sources)))
            self.relations.append(normalized(targets, sources, weights, self.num_items))

    def double(self) -> PlainDAMRS:
        """The model in float64 (sparse CSR matrices are no buffers of a module)."""
        self.adjacency = self.adjacency.double()
        self.relations = [relation.double() for relation in self.relations]
        return super().double()

    def forward(self) -> Vectors:
        layer = torch.cat([self.user_table, self.item_table])
        layers = [layer]
        for _ in range(self.layers):
            layer = torch.sparse.mm(self.adjacency, layer)
            layers.append(layer)
        users, id_items = torch.stack(layers).mean(dim=0).split([self.num_users, self.num_items])
        hidden = []
        for relation in self.relations:
            items: Tensor = self.item_table
            for _ in range(self.item_layers):
                items = torch.sparse.mm(relation, items)
            hidden.append(items)
        content = torch.stack(hidden).mean(dim=0)
        fused = id_items + content if self.summed else (id_items + content) / 2
        return Vectors(users, fused, id_items, hidden)


class PlainTraining:
    """The plain training step. All four terms are computed, whatever their weights; `recipe` as it stands otherwise.

    `terms` gives them weighted and by the names that damrs_dgl's objective gives; `step` takes one optimiser step.
    """

    def __init__(self, model: PlainDAMRS, recipe: Recipe[Any]) -> None:
        self.model = model
        self.losses = recipe.model
        self.authors = recipe.model.variant != "paper"  # their forms of the losses
        self.variant = VARIANTS[recipe.model.variant]
        self.optimizer = torch.optim.Adam(model.parameters(), lr=recipe.training.learning_rate)

    def step(self, batch: Triples) -> float:
        """One step; returns the loss."""
        loss = torch.stack(list(self.terms(batch).values())).sum()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def terms(self, batch: Triples) -> dict[str, Tensor]:
        """The weighted terms of Eq. 12 and the regulariser, scalars."""
        losses, vectors = self.losses, self.model()
        users, positive, negative = batch
        rows = (vectors.users[users], vectors.items[positive], vectors.items[negative])
        items = torch.cat([positive, negative]).unique()
        relations = item_relation_alignment(
            vectors.relations,
            items,
            k=losses.relation_k,
            temperature=losses.temperature,
            all_candidates=self.variant.all_candidates,
            epsilon=self.variant.log_epsilon,
        )
        return {
            "feedback": self._feedback(vectors, batch, rows),
            "preference": losses.preference_weight * self._preference(vectors, users.unique(), items),
            "relations": losses.relation_weight * relations,
            "regularization": losses.regularization * self._regularizer(batch, rows),
        }

    def _feedback(self, vectors: Vectors, batch: Triples, rows: Triples) -> Tensor:
        users, positive, negative = rows
        tables = [nn.functional.normalize(t, dim=1) for t in vectors.relations] if self.authors else vectors.relations
        of_positive, of_negative = (
            torch.stack([(users * table[items]).sum(dim=1) for table in tables]) for items in batch[1:]
        )
        positive_scores, negative_scores = (users * positive).sum(dim=1), (users * negative).sum(dim=1)
        f, g = confidences(
            of_positive,
            of_negative,
            negative_scores,
            authors=self.authors,
            gap=self.losses.contradiction_form == "gap",
            alpha=self.losses.alpha,
            beta=self.losses.beta,
            gamma=self.losses.gamma,
        )
        return denoised_bpr(positive_scores, negative_scores, f, g, authors=self.authors)

    def _preference(self, vectors: Vectors, users: Tensor, items: Tensor) -> Tensor:
        content = torch.stack(vectors.relations).mean(dim=0)
        if self.authors:
            return bernoulli_preference_alignment(vectors.users[users], content[items], vectors.id_items[items])
        return preference_alignment(vectors.users[users], content, vectors.id_items)

    def _regularizer(self, batch: Triples, rows: Triples) -> Tensor:
        """Half the squares of the batch's rows of the tables, or the authors' norms of the fused vectors; over B."""
        users, positive, negative = batch
        if not self.variant.regularize_inputs:
            return torch.stack([row.norm() for row in rows]).sum() / len(users)
        tables = (self.model.user_table[users], self.model.item_table[positive], self.model.item_table[negative])
        return torch.stack([row.square().sum() for row in tables]).sum() / (2 * len(users))


class PlainSampler:
    """Shuffled observations with one negative each, drawn again while its user's set of known items holds it."""

    def __init__(self, train: Interactions, num_items: int, *, batch_size: int, seed: int = 0) -> None:
        self.users, self.items = train.users.numpy(), train.items.numpy()
        self.num_items, self.batch_size = num_items, batch_size
        self.known: dict[int, set[int]] = {}
        for user, item in zip(self.users.tolist(), self.items.tolist(), strict=True):
            self.known.setdefault(user, set()).add(item)
        self.rng = np.random.default_rng(seed)

    @property
    def clicks(self) -> int:
        """Observations per epoch."""
        return len(self.users)

    def __len__(self) -> int:
        """Batches per epoch."""
        return math.ceil(len(self.users) / self.batch_size)

    def epoch(self) -> Iterator[Triples]:
        """All observations once."""
        order = self.rng.permutation(len(self.users))
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            users, items = self.users[chosen], self.items[chosen]
            negatives = self.rng.integers(self.num_items, size=len(users)).tolist()
            for place, user in enumerate(users.tolist()):
                while negatives[place] in self.known[user]:
                    negatives[place] = int(self.rng.integers(self.num_items))
            yield torch.from_numpy(users), torch.from_numpy(items), torch.tensor(negatives)
