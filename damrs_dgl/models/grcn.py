"""GRCN (Wei et al., "Graph-refined convolutional network for multimedia recommendation with implicit feedback").

ACM Multimedia 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import embedding, leaky_relu

from damrs_dgl.graphs.schema import INTERACTED_BY
from damrs_dgl.models.base import Batch, Encoded, ModelConfig, ModelInputs
from damrs_dgl.models.bpr import BPRModel, RegularizedConfig
from damrs_dgl.models.core.ranges import AUTHORS, LEARNING_RATES, Range, Space
from damrs_dgl.models.layers.content import Projection
from damrs_dgl.models.layers.edges import DGLEdges, TorchEdges, make_edges
from damrs_dgl.models.layers.rows import mean_squares, unit_rows
from damrs_dgl.models.registry import register


class GRCNConfig(RegularizedConfig):
    """The keys of GRCN."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "original": {
            "model.regularization": 1e-4,
            "training.learning_rate": 1e-4,
            "training.batch_size": 1024,
        },
        "authors": {
            "model.regularization": 0.0,
            "model.route_to_users": False,
            "training.learning_rate": 1e-4,
            "training.batch_size": 256,
        },
    }

    regularization: float = Field(default=1e-4, ge=0, description="Weight of the tables' mean squares; usual 0 to 0.1")
    num_routings: int = Field(default=3, ge=0, le=10, description="Rounds in which users gather the content they like")
    route_to_users: bool = Field(
        default=True, description="Route from items to users; in the public code users receive nothing from it"
    )


class _Refinement(nn.Module):
    """One modality's prototypes of users, and the attention of both sides to each other by content."""

    features: Tensor

    def __init__(self, inputs: ModelInputs, modality: str, dim: int) -> None:
        super().__init__()
        content = inputs.content(modality)
        self.register_buffer("features", content, persistent=False)
        self.projection = Projection(inputs, content.shape[1], dim)
        self.preference = inputs.table(inputs.num_users, dim)

    def forward(self, edges: DGLEdges | TorchEdges, rounds: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Contents of users [U, d] and items [I, d], and each edge's attention [E] of its user and of its item."""
        items = unit_rows(leaky_relu(self.projection(self.features)))
        users = unit_rows(self.preference)
        for _ in range(rounds):
            attention = edges.softmax(edges.dot(items, users), at="target")
            users = unit_rows(users + edges.sum_to_targets(attention, items))
        scores = edges.dot(items, users)
        by_user, by_item = edges.softmax(scores, at="target"), edges.softmax(scores, at="source")
        user_content = users + edges.sum_to_targets(by_user, items)
        item_content = items + edges.sum_to_sources(by_item, users)
        return user_content, item_content, by_user, by_item


@register
class GRCN(BPRModel):
    """Content attention weighs the user-item edges, and prunes those that it takes for false clicks.

    For each modality m, with a preference table P^m of users and rn the rows at length 1::

        f = rn(LReLU(F^m W + b)),  p = rn(P^m)
        T times:  a_ui = softmax of p_u . f_i over the items of u,   p_u <- rn(p_u + sum_i a_ui f_i)
        c_u = p_u + sum_i a_ui f_i,   c_i = f_i + sum_u a_iu p_u     a_iu: the softmax over the users of i

    The edge w -> v weighs relu(max_m a^m_vw k_wm) with the confidences k [n, M]. With x0 = rn([U; I]), x1 = A x0 and
    x2 = A x1 over these weights, [x0 + x1 + x2, c^1, ..., c^M] ranks; it has width (M + 1) d. All of it is
    differentiated. Loss: BPR + regularization * [mean of the squares of the batch's rows of U, plus that of I, plus
    that of each P^m].

    In the public code the routing runs from users to items, so that users receive nothing and p_u stays rn(P^m_u):
    `route_to_users = false`. MMRec's regulariser also counts the visual P over all users; that is left out.

    O(M (T + 1) E d + M |I| D d) a step; no [E, d] tensor is made on the CPU.
    """

    name = "grcn"
    Config: ClassVar[type[ModelConfig]] = GRCNConfig
    search_space: ClassVar[Space] = {
        **LEARNING_RATES,
        "model.regularization": Range(1e-5, 0.1, log=True),
        "model.num_routings": (1, 2, 3, 4),
    }
    grid: ClassVar[Space] = {
        **AUTHORS,
        "training.learning_rate": (1.0, 0.1, 0.01, 1e-3, 1e-4),
        "training.batch_size": (256,),
    }
    needs_content = True
    citation = (
        "Wei et al., Graph-refined convolutional network for multimedia recommendation with implicit feedback, MM 2020"
    )
    config: GRCNConfig

    def __init__(self, inputs: ModelInputs, config: GRCNConfig) -> None:
        super().__init__(inputs, config)
        self.refinements = nn.ModuleList(_Refinement(inputs, modality, config.dim) for modality in inputs.modalities)
        confidence = torch.empty(inputs.num_users + inputs.num_items, len(inputs.modalities))
        nn.init.xavier_normal_(confidence, generator=inputs.generator)
        self.confidence = nn.Parameter(confidence.to(inputs.device))
        self.edges = make_edges(inputs.graph, INTERACTED_BY, inputs.device)  # from items to users

    def encode(self) -> Encoded:
        rounds = self.config.num_routings if self.config.route_to_users else 0
        found = [refinement(self.edges, rounds) for refinement in self.refinements]
        user_contents, item_contents, by_user, by_item = zip(*found, strict=True)
        of_users, of_items = self.confidence.T.contiguous().split([len(self.user_table), len(self.item_table)], dim=1)
        to_users = _strongest(by_user, of_items, self.edges.sources)
        to_items = _strongest(by_item, of_users, self.edges.targets)
        users, items = self._propagate(to_users, to_items)
        users, items = torch.cat([users, *user_contents], dim=1), torch.cat([items, *item_contents], dim=1)
        return Encoded(users, items, users, items)

    def _propagate(self, to_users: Tensor, to_items: Tensor) -> tuple[Tensor, Tensor]:
        """Layers 0 to 2 of both sides added up, over edges of the given weights [E]."""
        user_layers, item_layers = [unit_rows(self.user_table)], [unit_rows(self.item_table)]
        for _ in range(2):
            users, items = user_layers[-1], item_layers[-1]
            user_layers.append(self.edges.sum_to_targets(to_users, items))
            item_layers.append(self.edges.sum_to_sources(to_items, users))
        return torch.stack(user_layers).sum(0), torch.stack(item_layers).sum(0)

    def regularizer(self, batch: Batch, encoded: Encoded, users: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        rows = [embedding(batch.users, self.user_table), embedding(batch.pair_items, self.item_table)]
        rows += [embedding(batch.users, cast(_Refinement, part).preference) for part in self.refinements]
        return mean_squares(rows)


def _strongest(attention: tuple[Tensor, ...], confidence: Tensor, senders: Tensor) -> Tensor:
    """relu(max_m a^m_e k_m,sender(e)): M times [E], [M, n], int64 [E] -> [E]."""
    weighted = [share * trust.index_select(0, senders) for share, trust in zip(attention, confidence, strict=True)]
    return torch.stack(weighted).amax(0).relu()
