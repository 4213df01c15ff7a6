"""What the systems that are trained in the plain way share: weights, a training step, matrices, losses."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from damrs_dgl.graphs.schema import INTERACTS
from damrs_dgl.models.base import Batch, ModelInputs, RankingModel

Terms = dict[str, Tensor]
Normalization = Literal["symmetric", "mean", "target_sqrt", "mean_with_self"]


class PlainSystem:
    """Takes over a model's weights and trains them. `terms` is the loss, `step` one optimiser step.

    Subclasses write `terms`, and `begin_epoch` where an epoch has a beginning. The terms are weighted and have the
    names that the model gives them. `weights` are by the model's names.
    """

    def __init__(self, model: RankingModel, inputs: ModelInputs, learning_rate: float = 1e-3) -> None:
        self.config: Any = model.config
        self.weights: dict[str, Any] = dict(model.named_parameters())
        self.inputs = inputs
        self.num_users, self.num_items = inputs.num_users, inputs.num_items
        self.users, self.items = (ids.long() for ids in inputs.graph.edges(etype=INTERACTS))
        self.dtype = self.weights["user_table"].dtype
        self.optimizer = self.make_optimizer(learning_rate)
        self.prepare()

    def make_optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.weights.values(), lr=learning_rate, fused=True)

    def prepare(self) -> None:
        """Make what all steps share."""

    def begin_epoch(self, generator: torch.Generator) -> None:
        """What the model does in `on_epoch_start`."""

    def terms(self, batch: Batch) -> Terms:
        """The weighted terms of the loss, scalars."""
        raise NotImplementedError

    def step(self, batch: Batch) -> Terms:
        """One step; the terms without gradient."""
        self.optimizer.zero_grad()
        terms = self.terms(batch)
        torch.stack(list(terms.values())).sum().backward()
        self.optimizer.step()
        return {name: value.detach() for name, value in terms.items()}

    def __getitem__(self, name: str) -> Tensor:
        return self.weights[name]

    @property
    def tables(self) -> Tensor:
        """Users and items in one table, [U + I, d]."""
        return torch.cat([self["user_table"], self["item_table"]])

    def split(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Users and items apart."""
        users, items = nodes.split([self.num_users, self.num_items])
        return users, items

    def linear(self, x: Tensor, name: str) -> Tensor:
        """x W + b of the projection of that name."""
        return x @ self[f"{name}.weight"] + self[f"{name}.bias"]

    def content(self) -> Iterator[Tensor]:
        """Each modality's content, [I, D_m]."""
        return (self.inputs.content(name).to(self.dtype) for name in self.inputs.modalities)

    def adjacency(self, normalization: Normalization, kept: Tensor | None = None) -> Tensor:
        """The normalised user-item graph, CSR [U + I, U + I]; `kept`: the pairs that are in it, all by default."""
        users, items = (self.users, self.items) if kept is None else (self.users[kept], self.items[kept])
        size = self.num_users + self.num_items
        rows, columns = torch.cat([users, items + self.num_users]), torch.cat([items + self.num_users, users])
        degrees = torch.bincount(rows, minlength=size).to(self.dtype)
        if normalization == "mean_with_self":
            rows, columns = torch.cat([rows, torch.arange(size)]), torch.cat([columns, torch.arange(size)])
            values = (1 / (degrees + 1))[rows]
        elif normalization == "mean":
            values = (1 / degrees)[rows]
        elif normalization == "target_sqrt":
            values = degrees.rsqrt()[rows]
        else:
            values = degrees.rsqrt()[rows] * degrees.rsqrt()[columns]
        return sparse(rows, columns, values, size)


def sparse(rows: Tensor, columns: Tensor, values: Tensor, size: int) -> Tensor:
    """A CSR matrix [size, size]; its product takes a third of a COO matrix's time."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse")
        indices = torch.stack([rows, columns])
        return torch.sparse_coo_tensor(indices, values, (size, size), check_invariants=False).coalesce().to_sparse_csr()


def mean_of_layers(matrix: Tensor, nodes: Tensor, num_layers: int) -> Tensor:
    """LightGCN: the mean of x, A x, ..., A^L x."""
    layers = [nodes]
    for _ in range(num_layers):
        layers.append(torch.sparse.mm(matrix, layers[-1]))
    return torch.stack(layers).mean(dim=0)


def bpr(users: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Of the batch's rows, [B, d] each."""
    return -F.logsigmoid((users * positive).sum(dim=1) - (users * negative).sum(dim=1)).mean()


def squares(*rows: Tensor) -> Tensor:
    """Half the squares of the batch's rows ([B, d] each) over B."""
    return torch.stack([part.square().sum() for part in rows]).sum() / (2 * len(rows[0]))


def nce(anchors: Tensor, candidates: Tensor, positives: Tensor, temperature: float) -> Tensor:
    """InfoNCE of cosines, the logits in one matrix."""
    logits = F.normalize(anchors, dim=1) @ F.normalize(candidates, dim=1).T / temperature
    return F.cross_entropy(logits, positives)


def rows_of(batch: Batch, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The batch's users, positive and negative items, [B, d] each."""
    assert batch.negative_items is not None
    return users[batch.users], items[batch.positive_items], items[batch.negative_items]
