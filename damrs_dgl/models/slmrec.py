"""SLMRec (Tao et al., "Self-supervised learning for multimedia recommendation", IEEE Trans. Multimedia 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import embedding

from damrs_dgl.losses.contrast import info_nce, softmax_contrast
from damrs_dgl.models.base import Batch, Encoded, ModelConfig, ModelInputs, PresetTableConfig, TableModel
from damrs_dgl.models.core.outputs import own_pass
from damrs_dgl.models.core.ranges import AUTHORS, Range, Space
from damrs_dgl.models.layers.content import Projection, unit_content
from damrs_dgl.models.layers.propagation import UserItemConvolution
from damrs_dgl.models.registry import register
from damrs_dgl.settings import Name


class SLMRecConfig(PresetTableConfig):
    """The keys of SLMRec."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "original": {
            "model.alignment_weight": 0.1,
            "training.learning_rate": 1e-2,
            "training.batch_size": 2048,
        },
        "authors": {
            "model.alignment_weight": 0.01,
            "model.left_out": ("acoustic",),
            "training.learning_rate": 1e-3,
            "training.batch_size": 256,
        },
    }
    MODALITY_KEYS: ClassVar[tuple[str, ...]] = ("left_out",)

    num_layers: int = Field(default=3, ge=0, le=10, description="Layers of user-item propagation")
    temperature: float = Field(default=0.2, gt=0, description="Temperature of the in-batch softmax; usual 0.1 to 1")
    alignment_weight: float = Field(default=0.1, ge=0, description="Weight of the alignment (FAC); usual 0.01 to 1")
    alignment_temperature: float = Field(default=0.2, gt=0, description="Temperature of the alignment; usual 0.1 to 1")
    weight_decay: float = Field(default=1e-4, ge=0, description="Weight of half the squares of all weights")
    mask_duplicates: bool = Field(
        default=False, description="An item that stands in a batch more than once is no negative of itself"
    )
    left_out: Annotated[tuple[Name, ...], Field(strict=False)] = Field(
        default=(), description="Modalities that the system does not look at"
    )

    def looked_at(self, modalities: Sequence[str]) -> list[str]:
        return [modality for modality in modalities if modality not in self.left_out]


@dataclass(frozen=True)
class SLMRecEncoded(Encoded):
    """A forward pass with what is aligned: item_views, each [I, d], by ID and then by each modality."""

    item_views: tuple[Tensor, ...]


class _Alignment(nn.Module):
    """FAC: the views of an item are told apart from those of the batch's other items, one pair after the other.

    Along the chain ID, m_1, m_2, ...: q_0 is the ID view, q_t = G_t q_{t-1} and key_t = K_t x^{m_t}; the t-th term is
    mean_r -log softmax_c(q_t,r . key_t,c / temperature) at c = r. Heads are d -> d, those of the last pair d -> d/2
    where there is more than one.
    """

    def __init__(self, inputs: ModelInputs, dim: int, num_modalities: int) -> None:
        super().__init__()
        widths = [dim] * num_modalities
        if num_modalities > 1:
            widths[-1] = max(1, dim // 2)
        self.queries = nn.ModuleList(Projection(inputs, dim, width) for width in widths)
        self.keys = nn.ModuleList(Projection(inputs, dim, width) for width in widths)

    def forward(self, views: list[Tensor], counts: Tensor, temperature: float, *, own_once: bool) -> Tensor:
        """The sum of the terms over distinct items, each of which stands in the batch `counts` times.

        Shapes: 1 + M times [n, d], int64 [n].  own_once: as in `softmax_contrast`.
        """
        own = torch.arange(len(views[0]), device=views[0].device)
        query, terms, weights = views[0], [], counts.to(views[0].dtype) / counts.sum()
        for to_query, to_key, view in zip(self.queries, self.keys, views[1:], strict=True):
            query = to_query(query)
            terms.append(
                softmax_contrast(
                    query / temperature, to_key(view), own, weights=weights, counts=counts, own_once=own_once
                )
            )
        return torch.stack(terms).sum()


@register
class SLMRec(TableModel):
    """LightGCN over the IDs and over each modality, fused by a linear map, with an alignment of the items' views.

    With LGC the mean of the layers 0..L over the symmetrically normalised user-item graph and F^m the content with
    rows of length 1::

        x0 = LGC(U, I),   x^m = LGC(U, F^m W_m + b_m)          the same U
        user = [x0_u, x^1_u, ...] W_U + b_U,   item = [x0_i, x^1_i, ...] W_I + b_I

    Loss: InfoNCE of the batch's users among its positive items at `temperature`, no negative is drawn
    + alignment_weight * FAC (`_Alignment`) + weight_decay / 2 * the squares of all weights (Adam's weight decay, as a
    term of the loss). The repository scores by sigmoid(u . i), which ranks the same.

    MMRec, which DA-MRS's authors ran, leaves the acoustic modality out but not its query map: two linear maps in a row
    where one is here.

    O((M + 1) L E d + B^2 d + M |I| D d) a step.
    """

    name = "slmrec"
    Config: ClassVar[type[ModelConfig]] = SLMRecConfig
    search_space: ClassVar[Space] = {
        "training.learning_rate": Range(1e-4, 0.1, log=True),
        "model.alignment_weight": Range(0.01, 1.0, log=True),
        "model.alignment_temperature": Range(0.1, 1.0),
        "model.temperature": Range(0.1, 1.0),
    }
    grid: ClassVar[Space] = {
        **AUTHORS,
        "model.alignment_temperature": (0.1, 0.2, 0.5, 1.0),
        "model.alignment_weight": (0.01, 0.05, 0.1, 0.5, 1.0),
        "training.batch_size": (256,),
    }
    num_negatives = 0
    needs_content = True
    citation = (
        "Tao et al., Self-supervised learning for multimedia recommendation, IEEE Transactions on Multimedia 2022"
    )
    config: SLMRecConfig

    def __init__(self, inputs: ModelInputs, config: SLMRecConfig) -> None:
        super().__init__(inputs, config)
        modalities = config.looked_at(inputs.modalities)
        for modality in modalities:
            self.register_buffer(f"features_{modality}", unit_content([inputs.content(modality)]), persistent=False)
        self._features = [f"features_{modality}" for modality in modalities]
        width = (1 + len(modalities)) * config.dim
        self.projections = nn.ModuleList(
            Projection(inputs, getattr(self, name).shape[1], config.dim) for name in self._features
        )
        self.user_fusion, self.item_fusion = (
            Projection(inputs, width, config.dim),
            Projection(inputs, width, config.dim),
        )
        self.alignment = _Alignment(inputs, config.dim, len(modalities)) if config.alignment_weight else None
        self.convolution = UserItemConvolution(inputs.graph, config.num_layers, inputs.device)

    def _views(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """x^0, x^1, ... of users and of items, each [U, d] and [I, d]."""
        inputs = [self.item_table]
        for name, projection in zip(self._features, self.projections, strict=True):
            inputs.append(projection(getattr(self, name)))
        user_views, item_views = zip(*(self.convolution(self.user_table, table) for table in inputs), strict=True)
        return user_views, item_views

    def encode(self) -> SLMRecEncoded:
        user_views, item_views = self._views()
        users, items = self.user_fusion(torch.cat(user_views, dim=1)), self.item_fusion(torch.cat(item_views, dim=1))
        return SLMRecEncoded(users, items, self.user_table, self.item_table, item_views)

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        """Rows that are alike, those of an item that stands in the batch more than once, are computed once."""
        user_views, item_views = self._views()
        items, places, counts = batch.positive_items.unique(return_inverse=True, return_counts=True)
        chosen_views = [embedding(items, view) for view in item_views]
        users = self.user_fusion(torch.cat([embedding(batch.users, view) for view in user_views], dim=1))
        candidates = self.item_fusion(torch.cat(chosen_views, dim=1))
        alike = {"counts": counts, "own_once": self.config.mask_duplicates}
        terms = {"feedback": info_nce(users, candidates, places, temperature=self.config.temperature, **alike)}
        terms |= self._aligned(chosen_views, counts)
        if self.config.weight_decay:
            squares = torch.stack([parameter.square().sum() for parameter in self.parameters()])
            terms["regularization"] = self.config.weight_decay / 2 * squares.sum()
        return terms

    def auxiliary_losses(self, batch: Batch, encoded: Encoded) -> dict[str, Tensor]:
        items, counts = batch.positive_items.unique(return_counts=True)
        return self._aligned([embedding(items, view) for view in own_pass(encoded, SLMRecEncoded).item_views], counts)

    def _aligned(self, views: list[Tensor], counts: Tensor) -> dict[str, Tensor]:
        """FAC of distinct items' views, weighted."""
        if self.alignment is None:
            return {}
        temperature, own_once = self.config.alignment_temperature, self.config.mask_duplicates
        return {
            "alignment": self.config.alignment_weight * self.alignment(views, counts, temperature, own_once=own_once)
        }

    def tables(self) -> None:
        """None: the two fusions map users and items each in their own way, so no dot product of the tables is kept."""
