"""BM3 (Zhou et al., "Bootstrap latent representations for multi-modal recommendation", WWW 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import embedding

from damrs_dgl.losses.bpr import norm_sum
from damrs_dgl.models.base import Batch, Encoded, ModelConfig, ModelInputs, PresetTableConfig, TableModel, pair_scores
from damrs_dgl.models.core.outputs import own_pass
from damrs_dgl.models.core.ranges import AUTHORS, LEARNING_RATES, Range, Space
from damrs_dgl.models.layers.content import Projection
from damrs_dgl.models.layers.dropout import dropout
from damrs_dgl.models.layers.propagation import UserItemConvolution
from damrs_dgl.models.layers.rows import unit_rows
from damrs_dgl.models.registry import register


class BM3Config(PresetTableConfig):
    """The keys of BM3. The presets hold the Baby row of each side's own table of best settings."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "original": {"model.num_layers": 1, "model.dropout": 0.5, "model.regularization": 0.1},
        "authors": {
            "model.num_layers": 2,
            "model.dropout": 0.3,
            "model.regularization": 0.01,
            "training.batch_size": 256,
            "training.learning_rate": 1e-3,
        },
    }

    num_layers: int = Field(default=1, ge=0, le=10, description="Layers of user-item propagation")
    dropout: float = Field(
        default=0.5, ge=0, lt=1, description="Share of a target's entries that is dropped; usual 0.3 to 0.5"
    )
    content_weight: float = Field(default=2.0, ge=0, description="Weight of the content terms beside the feedback's")
    regularization: float = Field(
        default=0.1, ge=0, description="Weight of the norms of all users' and items' vectors; usual 0 to 0.1"
    )
    train_content: bool = Field(
        default=True, description="Train the content vectors too (most of all parameters), or leave them as they are"
    )


@dataclass(frozen=True)
class BM3Encoded(Encoded):
    """Encoded with the items' vectors before the predictor, [I, d], which content is drawn to."""

    convolved_items: Tensor


@register
class BM3(TableModel):
    """Bootstrapping without negatives: predict, from one side of a pair, the other side with dropped entries.

    x_u, x_i: LightGCN of both tables, x_i plus the item's own row; v_i^m = f_i^m W_m + b_m with f^m trained too;
    h(x) = x W + b. Ranking is h(x_u) . h(x_i). With C(a, b) = 1 - mean cos(a, b) and ~ for a target (entries dropped,
    no gradient), the loss over the observed pairs of a batch is

        C(h(x_u), ~x_i) + C(h(x_i), ~x_u) + w sum_m [C(h(v_i^m), ~x_i) + C(h(v_i^m), ~v_i^m)]
        + lambda (||x_U||_F + ||x_I||_F) / |I|.

    Only the batch's items are projected, each once. O(L E d + B D d) a step, and Adam's O(|I| D) for trained content,
    which takes four times its size: values, gradients and two moments.
    """

    name = "bm3"
    Config: ClassVar[type[ModelConfig]] = BM3Config
    search_space: ClassVar[Space] = {
        **LEARNING_RATES,
        "model.num_layers": (1, 2),
        "model.dropout": Range(0.1, 0.7),
        "model.regularization": Range(1e-4, 1.0, log=True),
        "model.content_weight": Range(0.5, 4.0),
    }
    grid: ClassVar[Space] = {
        **AUTHORS,
        "model.num_layers": (1, 2),
        "model.regularization": (0.1, 0.01, 0.0),
        "model.dropout": (0.3, 0.5),
        "training.batch_size": (256,),
    }
    num_negatives = 0
    needs_content = True
    citation = "Zhou et al., Bootstrap latent representations for multi-modal recommendation, WWW 2023"
    config: BM3Config

    def __init__(self, inputs: ModelInputs, config: BM3Config) -> None:
        super().__init__(inputs, config)
        self.convolution = UserItemConvolution(inputs.graph, config.num_layers, inputs.device)
        self.predictor = Projection(inputs, config.dim, config.dim)
        self.projections = nn.ModuleList()
        self.content_tables = nn.ParameterList()
        for position, modality in enumerate(inputs.modalities):
            content = inputs.content(modality)
            self.projections.append(Projection(inputs, content.shape[1], config.dim))
            if config.train_content:
                self.content_tables.append(nn.Parameter(content))
            else:
                self.register_buffer(f"content_{position}", content, persistent=False)

    def _content(self) -> list[Tensor]:
        """The content vectors [I, D_m] of each modality: parameters, or buffers where they stay as they are."""
        if self.config.train_content:
            return list(self.content_tables)
        return [self.get_buffer(f"content_{position}") for position in range(len(self.projections))]

    def _convolve(self) -> tuple[Tensor, Tensor]:
        users, items = self.convolution(self.user_table, self.item_table)
        return users, items + self.item_table

    def encode(self) -> BM3Encoded:
        users, items = self._convolve()
        return BM3Encoded(self.predictor(users), self.predictor(items), self.user_table, self.item_table, items)

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        users, items = self._convolve()  # the predictor is for the batch's rows only
        user_rows, item_rows = embedding(batch.users, users), embedding(batch.positive_items, items)
        user_target, item_target = self._target(user_rows, batch), self._target(item_rows, batch)
        to_items = pair_scores(self._predicted(user_rows), item_target).mean()
        to_users = pair_scores(self._predicted(item_rows), user_target).mean()
        terms = {"feedback": 2 - to_items - to_users, **self._content_losses(batch, items)}
        if self.config.regularization:
            terms["regularization"] = self.config.regularization * norm_sum(items, users)
        return terms

    def auxiliary_losses(self, batch: Batch, encoded: Encoded) -> dict[str, Tensor]:
        """The content terms."""
        return self._content_losses(batch, own_pass(encoded, BM3Encoded).convolved_items)

    def _content_losses(self, batch: Batch, items: Tensor) -> dict[str, Tensor]:
        """Alignment with the item's vector and with the content's own target, each weighted, over the batch's pairs."""
        distinct, counts = batch.positive_items.unique(return_counts=True)
        share = counts.to(items.dtype) / len(batch.positive_items)
        item_target = self._target(embedding(distinct, items), batch)
        alignment, masking = [], []
        for table, projection in zip(self._content(), self.projections, strict=True):
            projected = cast(Projection, projection).of_rows(table, distinct)
            predicted = self._predicted(projected)
            alignment.append(1 - share @ pair_scores(predicted, item_target))
            masking.append(1 - share @ pair_scores(predicted, self._target(projected, batch)))
        weight = self.config.content_weight
        return {"alignment": weight * torch.stack(alignment).sum(), "masking": weight * torch.stack(masking).sum()}

    def _predicted(self, rows: Tensor) -> Tensor:
        """h of rows, of length 1: its product with a unit target is their cosine."""
        return unit_rows(self.predictor(rows))

    def _target(self, rows: Tensor, batch: Batch) -> Tensor:
        """Unit rows with a share of the entries dropped, without gradient."""
        return unit_rows(dropout(rows.detach(), self.config.dropout, batch.generator if self.training else None))
