"""MMGCN (Wei et al., "MMGCN: multi-modal graph convolution network for personalized recommendation", MM 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from damrs_dgl.models.base import Batch, Encoded, ModelConfig, ModelInputs
from damrs_dgl.models.bpr import BPRModel, RegularizedConfig
from damrs_dgl.models.core.ranges import AUTHORS, LEARNING_RATES, Range, Space
from damrs_dgl.models.layers.content import Projection
from damrs_dgl.models.layers.propagation import BipartiteConvolution
from damrs_dgl.models.layers.rows import chosen_rows, mean_squares, rows_of, unit_rows
from damrs_dgl.models.registry import register
from damrs_dgl.settings import Name


class MMGCNConfig(RegularizedConfig):
    """The keys of MMGCN."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "original": {
            "model.regularization": 1e-4,
            "training.learning_rate": 1e-4,
            "training.batch_size": 1024,
        },
        "authors": {
            "model.regularization": 1e-3,
            "model.train_tables": False,
            "training.learning_rate": 1e-3,
            "training.batch_size": 4096,
        },
    }
    MODALITY_KEYS: ClassVar[tuple[str, ...]] = ("projected",)

    regularization: float = Field(default=1e-4, ge=0, description="Weight of the tables' mean squares; usual 0 to 0.1")
    num_layers: int = Field(default=3, ge=1, le=10, description="Layers of each modality's network")
    train_tables: bool = Field(
        default=True, description="Train the ID and preference tables; the public code leaves them as they were drawn"
    )
    projected: Annotated[tuple[Name, ...], Field(strict=False)] = Field(
        default=("visual",), description="Modalities that enter through a projection; the others enter as they are"
    )
    projected_dim: int = Field(default=256, ge=1, le=4096, description="Width of the projection")
    max_raw_dim: int = Field(
        default=1024, ge=1, description="Content wider than this is projected too: users get a table of its width"
    )


Pair = tuple[Tensor, Tensor]  # of users and of items


class _Layer(nn.Module):
    """h = LReLU(MEAN(X W_h)), x = LReLU(X W_x + b) + E, LReLU([h, x] W_g + b_g): width_in -> width_out, both sides."""

    def __init__(self, inputs: ModelInputs, width_in: int, width_out: int) -> None:
        super().__init__()
        self.message = Projection(inputs, width_in, width_in, bias=False)
        self.own = Projection(inputs, width_in, width_out)
        self.combine = Projection(inputs, width_in + width_out, width_out)

    def forward(self, nodes: Pair, emb: Pair, mean: BipartiteConvolution, chosen: Pair | None) -> Pair:
        """X of users and items, their E, and the users and items whose new X is wanted (all: None)."""
        messages = chosen_rows(self._messages(*nodes, mean), chosen)
        users, items = map(self._update, chosen_rows(nodes, chosen), chosen_rows(emb, chosen), messages)
        return users, items

    def _messages(self, users: Tensor, items: Tensor, mean: BipartiteConvolution) -> tuple[Tensor, Tensor]:
        """The mean over neighbours commutes with W_h, so both products are taken where there are fewer rows."""
        if len(items) <= len(users):
            return mean.to_users(self.message(items)), self.message(mean.to_items(users))
        return self.message(mean.to_users(items)), mean.to_items(self.message(users))

    def _update(self, own: Tensor, emb: Tensor, messages: Tensor) -> Tensor:
        received = leaky_relu(messages, inplace=True)
        own = leaky_relu(self.own(own), inplace=True) + emb
        of_messages, of_own = self.combine.weight.split([received.shape[1], own.shape[1]])
        # Without putting both side by side, a copy that would be kept for the gradient
        return leaky_relu(
            torch.addmm(torch.addmm(cast(Tensor, self.combine.bias), received, of_messages), own, of_own), inplace=True
        )


class _ModalityNetwork(nn.Module):
    """One modality's layers over the content of items and a preference table of users, each row of length 1."""

    features: Tensor
    preference: Tensor

    def __init__(self, inputs: ModelInputs, modality: str, config: MMGCNConfig) -> None:
        super().__init__()
        content = inputs.content(modality)
        width = content.shape[1]
        self.projection: Projection | None = None
        if modality in config.projected or width > config.max_raw_dim:
            self.projection = Projection(inputs, width, config.projected_dim)
            width = config.projected_dim
        else:
            content = unit_rows(content)
        self.register_buffer("features", content, persistent=False)
        self.preference = inputs.table(inputs.num_users, width)
        widths = [width] + [config.dim] * (config.num_layers - 1)
        self.layers = nn.ModuleList(_Layer(inputs, width_in, config.dim) for width_in in widths)

    def forward(self, emb: Pair, mean: BipartiteConvolution, chosen: Pair | None) -> Pair:
        items = self.features if self.projection is None else unit_rows(self.projection(self.features))
        nodes = (unit_rows(self.preference), items)
        for number, layer in enumerate(self.layers, 1):
            nodes = layer(nodes, emb, mean, chosen if number == len(self.layers) else None)
        return nodes


@register
class MMGCN(BPRModel):
    """One graph network per modality over the user-item graph, and the mean of their outputs.

    For each modality m, with a preference table P^m of users, the ID tables E = [U; I], which all modalities share,
    and MEAN the mean over a node's neighbours (W_h, W_x, W_g, b and b_g are each layer's own)::

        X = rows of [P^m; F^m] at length 1                     F^m may be projected first, with a bias
        h = LReLU(MEAN(X W_h)),  x = LReLU(X W_x + b) + E,  X <- LReLU([h, x] W_g + b_g)

    Loss: BPR + regularization * [mean of the squares of the batch's rows of U, plus that of I, plus the mean of the
    squares of each P^m]; the public code counts one modality's P^m.

    In the public code the optimiser is never given E and P^m, `n_layers` is not read (three layers) and `concat` is on
    whatever it says; `train_tables = false` is that. Then the regulariser is a constant.

    O(M L (E d + n d^2)) a step, with D_m for d in the first layer; P^m takes |U| D_m values.
    """

    name = "mmgcn"
    Config: ClassVar[type[ModelConfig]] = MMGCNConfig
    search_space: ClassVar[Space] = {
        **LEARNING_RATES,
        "model.regularization": Range(1e-6, 0.1, log=True),
        "model.num_layers": (1, 2, 3),
    }
    grid: ClassVar[Space] = {**AUTHORS, "model.regularization": (1e-3, 0.0), "training.learning_rate": (1e-4, 1e-3)}
    needs_content = True
    citation = (
        "Wei et al., MMGCN: multi-modal graph convolution network for personalized recommendation of micro-video, "
        "MM 2019"
    )
    config: MMGCNConfig

    def __init__(self, inputs: ModelInputs, config: MMGCNConfig) -> None:
        super().__init__(inputs, config)
        self.networks = nn.ModuleList(_ModalityNetwork(inputs, modality, config) for modality in inputs.modalities)
        self.mean = BipartiteConvolution(inputs.graph, inputs.device, normalization="mean")
        if not config.train_tables:
            _freeze(self, "user_table")
            _freeze(self, "item_table")
            for network in self.networks:
                _freeze(network, "preference")

    def encode(self) -> Encoded:
        users, items = self._outputs(None)
        return Encoded(users, items, self.user_table, self.item_table)

    def _outputs(self, chosen: Pair | None) -> Pair:
        """The mean over the modalities of users and items, or of the chosen ones."""
        emb = (self.user_table, self.item_table)
        outputs = [network(emb, self.mean, chosen) for network in self.networks]
        users, items = (torch.stack(side).mean(0) for side in zip(*outputs, strict=True))
        return users, items

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        """The last layer is computed for the batch's nodes alone."""
        (users, user_places), (items, item_places) = (
            nodes.unique(return_inverse=True) for nodes in (batch.users, batch.pair_items)
        )
        chosen = (users, items)
        encoded = Encoded(*self._outputs(chosen), *chosen_rows((self.user_table, self.item_table), chosen))
        positive, negative = item_places.chunk(2)
        return self.losses(replace(batch, users=user_places, positive_items=positive, negative_items=negative), encoded)

    def regularizer(self, batch: Batch, encoded: Encoded, users: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        tables = [rows_of(encoded.user_input, batch.users), rows_of(encoded.item_input, batch.pair_items)]
        tables += [cast(_ModalityNetwork, network).preference for network in self.networks]
        return mean_squares(tables)

    def tables(self) -> None:
        """None: between the layers' weights no spectrum of the tables is kept."""


def _freeze(module: nn.Module, name: str) -> None:
    """A parameter becomes a buffer: kept with the model, and never trained."""
    table = getattr(module, name).detach()
    delattr(module, name)
    module.register_buffer(name, table)
