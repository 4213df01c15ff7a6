"""SGL (Wu et al., "Self-supervised graph learning for recommendation", SIGIR 2021)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn.functional import embedding

from damrs_dgl.losses.contrast import info_nce
from damrs_dgl.models.base import Batch, Encoded, ModelInputs
from damrs_dgl.models.bpr import BPRConfig, BPRModel
from damrs_dgl.models.core.ranges import AUTHORS, AUTHORS_TRAINING, LEARNING_RATES, Range, Space
from damrs_dgl.models.layers.propagation import UserItemConvolution
from damrs_dgl.models.layers.views import ObservedPairs, ThinnedGraph, drop_edges, drop_nodes, mean_of_layers
from damrs_dgl.models.registry import register
from damrs_dgl.settings import Share

View = list[ThinnedGraph]  # the graph of each layer


class SGLConfig(BPRConfig):
    """The keys of SGL.

    The authors chose `contrast_weight` 0.01 on Baby, 0.1 on Sports and Clothing, 0.001 on TikTok.
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "original": {"model.num_layers": 3, "model.regularization": 1e-4},
        "authors": {
            "model.num_layers": 2,
            "model.regularization": 0.0,
            "model.second_drop_rate": 0.2,
            "model.kept_edges": "unpopular",
            "model.redraw": "step",
            "model.candidates": "batch",
            "training.learning_rate_decay": 0.96,
            **AUTHORS_TRAINING,
        },
    }

    num_layers: int = Field(default=3, ge=1, le=10, description="Layers of user-item propagation")
    view: Literal["edge_dropout", "node_dropout", "random_walk"] = Field(
        default="edge_dropout",
        description="Views: edges dropped (ED), users and items dropped (ND), or edges anew for each layer (RW)",
    )
    drop_rate: Share = Field(default=0.1, description="Share of edges, or of users and of items, that view 1 drops")
    second_drop_rate: Share = Field(default=0.1, description="The same of view 2")
    kept_edges: Literal["uniform", "unpopular"] = Field(
        default="uniform",
        description="How edges are drawn to be kept: alike, or with probability ~ (user's degree * item's degree)^-1/2",
    )
    redraw: Literal["epoch", "step"] = Field(default="epoch", description="How often the views are drawn")
    candidates: Literal["all", "batch"] = Field(
        default="all",
        description="What a node is told from: all nodes of its side, or the batch's (each once, negatives too)",
    )
    contrast_weight: float = Field(
        default=0.1, ge=0, description="Weight of the contrast of the views; usual 0.001 to 1"
    )
    temperature: float = Field(default=0.2, gt=0, description="Temperature of the cosines of the contrast")

    @model_validator(mode="after")
    def _edges_are_drawn(self) -> SGLConfig:
        if self.view == "node_dropout" and self.kept_edges == "unpopular":
            raise ValueError('kept_edges = "unpopular" needs a view that draws edges, but view = "node_dropout"')
        return self


@register
class SGL(BPRModel):
    """LightGCN, and two thinned graphs in which each node should look like itself and unlike the others.

    L = BPR + contrast_weight * (NCE(users) + NCE(positive items)) + regularization * ||layer 0||^2 / 2B, with
    NCE = mean_r -log softmax_c(cos(z1_r, z2_c) / temperature) at c = r; z1, z2 are LightGCN on the two views. Anchors
    are the batch's rows, so that a node counts as often as it stands there (`candidates = "all"`), or its distinct
    nodes ("batch"). The original sums over the batch where this takes means: one factor for all terms.

    O(3 L E d + B n d) a step over all n nodes, O(3 L E d + B^2 d) over the batch's; blocks of logits, three pairs of
    tables.
    """

    name = "sgl"
    reads_content = False
    Config: ClassVar[type[SGLConfig]] = SGLConfig
    search_space: ClassVar[Space] = {
        **LEARNING_RATES,
        "model.contrast_weight": Range(1e-3, 1.0, log=True),
        "model.temperature": Range(0.1, 1.0),
        "model.drop_rate": Range(0.05, 0.5),
        "model.num_layers": (1, 2, 3),
    }
    grid: ClassVar[Space] = {
        **AUTHORS,
        "model.contrast_weight": (1.0, 0.1, 0.01, 1e-3),
    }
    citation = "Wu et al., Self-supervised graph learning for recommendation, SIGIR 2021"
    config: SGLConfig

    def __init__(self, inputs: ModelInputs, config: SGLConfig) -> None:
        super().__init__(inputs, config)
        self.convolution = UserItemConvolution(inputs.graph, config.num_layers, inputs.device)
        self._pairs = ObservedPairs(inputs.graph, inputs.device)
        self._edge_weights = self._pairs.unpopularity() if config.kept_edges == "unpopular" else None
        self._views: tuple[View, View] | None = None

    def encode(self) -> Encoded:
        users, items = self.convolution(self.user_table, self.item_table)
        return Encoded(users, items, self.user_table, self.item_table)

    def on_epoch_start(self, epoch: int, generator: torch.Generator) -> None:
        if self.config.contrast_weight and self.config.redraw == "epoch":
            self._views = self.draw_views(generator)

    def draw_views(self, generator: torch.Generator) -> tuple[View, View]:
        """Two views, each the graphs of layers 1..L."""
        return (
            self._draw_view(self.config.drop_rate, generator),
            self._draw_view(self.config.second_drop_rate, generator),
        )

    def _draw_view(self, share: float, generator: torch.Generator) -> View:
        if self.config.view == "random_walk":
            return [self._thin_edges(share, generator) for _ in range(self.config.num_layers)]
        if self.config.view == "node_dropout":
            thinned = ThinnedGraph(self._pairs, drop_nodes(self._pairs, share, generator))
        else:
            thinned = self._thin_edges(share, generator)
        return [thinned] * self.config.num_layers

    def _thin_edges(self, share: float, generator: torch.Generator) -> ThinnedGraph:
        return ThinnedGraph(self._pairs, drop_edges(self._pairs, share, generator, weights=self._edge_weights))

    def auxiliary_losses(self, batch: Batch, encoded: Encoded) -> dict[str, Tensor]:
        """The weighted contrast of both views, for the users and for the items of the batch; nothing at weight 0."""
        if not self.config.contrast_weight:
            return {}
        if self._views is None or self.config.redraw == "step":  # None: a step before the first epoch
            self._views = self.draw_views(batch.generator)
        tables = (encoded.user_input, encoded.item_input)
        (users_1, items_1), (users_2, items_2) = (mean_of_layers(view, *tables) for view in self._views)
        if self.config.candidates == "all":
            return {
                "user_contrast": self._contrast(users_1, users_2, batch.users),
                "item_contrast": self._contrast(items_1, items_2, batch.positive_items),
            }
        return {
            "user_contrast": self._contrast_within(users_1, users_2, batch.distinct_users),
            "item_contrast": self._contrast_within(items_1, items_2, batch.distinct_items),
        }

    def _contrast(self, first: Tensor, second: Tensor, nodes: Tensor) -> Tensor:
        """Weighted NCE of some nodes' rows of `first` among all rows of `second`, each node as often as it comes."""
        distinct, counts = nodes.unique(return_counts=True)
        anchors, weights = embedding(distinct, first), counts.to(first.dtype) / len(nodes)
        contrast = info_nce(anchors, second, distinct, temperature=self.config.temperature, weights=weights)
        return self.config.contrast_weight * contrast

    def _contrast_within(self, first: Tensor, second: Tensor, nodes: Tensor) -> Tensor:
        """Weighted NCE among the rows of some distinct nodes."""
        anchors, candidates = embedding(nodes, first), embedding(nodes, second)
        return self.config.contrast_weight * info_nce(anchors, candidates, temperature=self.config.temperature)
