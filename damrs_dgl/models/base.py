"""What a system is: its keys, its vectors or scores, its loss. Trainer, stages and recipes know this page alone.

A new system is one file: a `ModelConfig` with its keys and a `RankingModel` registered under a name. A training step
of it is `training_step`, what ranks is `embeddings`; everything else has a default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, cast

import torch
from pydantic import Field, SerializeAsAny
from torch import Tensor, nn

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.errors import RecipeError
from damrs_dgl.models.optimizers import Adam
from damrs_dgl.models.ranges import Range, Space
from damrs_dgl.scoring import DotProduct, Scorer
from damrs_dgl.settings import Section

__all__ = [
    "Backbone",
    "Batch",
    "ClosedFormModel",
    "Embeddings",
    "Encoded",
    "ModelConfig",
    "ModelInputs",
    "Progress",
    "Range",
    "RankingModel",
    "Space",
    "TableConfig",
    "TableModel",
    "WrapperConfig",
    "pair_scores",
]

Progress = Callable[[int, int, str], None]  # (done, total, label)


class ModelConfig(Section):
    """The keys of a system in a recipe's [model].

    PRESETS: named sets of values for keys that a recipe leaves out, `{preset: {"model.key": value}}`; keys of other
    sections (`training.learning_rate`) may stand there too. The first is the default.  PRESET_KEY: the key that
    chooses among them.
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {}
    PRESET_KEY: ClassVar[str] = "preset"

    name: str = Field(min_length=1, description="The system")

    @classmethod
    def for_table(cls, table: Mapping[str, Any]) -> type[ModelConfig]:
        """The class that a [model] table of this system is checked by; a wrapper's depends on its backbone."""
        return cls

    @classmethod
    def preset_values(cls, table: Mapping[str, Any]) -> dict[str, object]:
        """The values that the preset which a [model] table chooses gives to keys that the recipe leaves out."""
        chosen = table.get(cls.PRESET_KEY, next(iter(cls.PRESETS), None))
        return dict(cls.PRESETS.get(chosen, {})) if isinstance(chosen, str) else {}


class TableConfig(ModelConfig):
    """The keys of a system that learns a vector for each user and item."""

    dim: int = Field(default=64, ge=1, le=4096, description="Width of the embeddings")


Backbone = TypeVar("Backbone", bound=ModelConfig)


class WrapperConfig(ModelConfig, Generic[Backbone]):
    """The keys of a system that is wrapped round another; `backbone` holds that other's keys, its name among them."""

    DEFAULT_BACKBONE: ClassVar[str] = "lightgcn"

    backbone: SerializeAsAny[Backbone] = Field(description="The system that is wrapped, with its own keys")


class Embeddings(NamedTuple):
    """What ranks: score = users @ items.T. Shapes [U, d], [I, d]."""

    users: Tensor
    items: Tensor


@dataclass(frozen=True)
class Encoded:
    """One forward pass with the parts that losses and wrappers look at.

    users, items: [U, d], [I, d], what ranks.  user_input, item_input: the vectors before propagation, which
    regularisers hold small; `item_input` [I, d] is what DA-MRS convolves over the item-item relations.
    """

    users: Tensor
    items: Tensor
    user_input: Tensor
    item_input: Tensor


@dataclass(frozen=True)
class Batch:
    """One training step's material; index tensors are int64 on the training device.

    users, positive_items [B]: observed pairs.  negative_items [B]: an item for each that its user has not met, or None
    where the system takes pairs only.  generator: all randomness of the step, on the training device.
    extra: what the system's `sample_extra` drew.
    """

    users: Tensor
    positive_items: Tensor
    negative_items: Tensor | None
    generator: torch.Generator
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    @cached_property
    def pair_items(self) -> Tensor:
        """The positive and then the negative items, [2B]: one gather, and one scatter of gradients, for both."""
        if self.negative_items is None:
            return self.positive_items
        return torch.cat([self.positive_items, self.negative_items])

    @cached_property
    def distinct_users(self) -> Tensor:
        """The batch's users, each once, ascending."""
        return self.users.unique()

    @cached_property
    def distinct_items(self) -> Tensor:
        """The batch's positive and negative items, each once, ascending."""
        return self.pair_items.unique()

    @cached_property
    def distinct_positive_items(self) -> Tensor:
        """The batch's positive items, each once, ascending."""
        return self.positive_items.unique()


@dataclass(frozen=True)
class ClickEvidence:
    """What a system that doubts clicks thinks of some, beside its score: DA-MRS's terms of Eq. 6 and 7.

    reliability, contradiction: f and g in [0, 1], [n] each, with one y_n for all, as in a batch.
    posterior: f s / (f s + g (1 - s)), s = sigmoid(y_ui - y_uj), averaged over the sampled items j, each with its own
    y_n; [n] in [0, 1].  batch_posterior: the same with the one y_n.
    relations: the names of what the user's taste was compared in.  support [R, n]: how well the clicked item fits the
    user in each of them, in standard deviations above the sampled items.
    """

    reliability: Tensor
    contradiction: Tensor
    posterior: Tensor
    batch_posterior: Tensor
    relations: tuple[str, ...]
    support: Tensor


@dataclass(frozen=True)
class ModelInputs:
    """What a constructor may look at: the data set, the heterograph, the device, and a CPU generator for tables.

    Raises nothing by itself; `require_content` and `require_item_relations` are for systems that cannot do without.
    """

    dataset: MultimodalDataset
    graph: dgl.DGLGraph
    device: torch.device
    generator: torch.Generator

    def from_the_seed(self) -> ModelInputs:
        """The same with a generator of its own that begins anew at the same seed."""
        return replace(self, generator=torch.Generator().manual_seed(self.generator.initial_seed()))

    @property
    def num_users(self) -> int:
        return self.dataset.num_users

    @property
    def num_items(self) -> int:
        return self.dataset.num_items

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the content modalities, in the data set's order."""
        return self.dataset.modalities

    def content(self, modality: str) -> Tensor:
        """A modality's vectors [I, D] float32 on the device; rows of items without content are zero."""
        return self.dataset.features[modality].block(0, self.num_items).to(self.device)

    def require_content(self, name: str) -> None:
        """Raise RecipeError where the data set has no content modality."""
        if not self.dataset.features:
            raise RecipeError(
                f"{name} needs the content of at least one modality",
                where="[data.modalities]",
                fix="name one, or take another model",
            )

    def table(self, rows: int, width: int) -> nn.Parameter:
        """A Xavier-uniform table [rows, width], drawn on the CPU so that every device starts from the same numbers."""
        table = nn.init.xavier_uniform_(torch.empty(rows, width), generator=self.generator)
        return nn.Parameter(table.to(self.device))

    def zeros(self, *shape: int) -> nn.Parameter:
        """A parameter of zeros, such as a bias."""
        return nn.Parameter(torch.zeros(*shape, device=self.device))


class RankingModel(nn.Module):
    """A system that ranks items for users. A subclass is built as `Model(inputs, config)` and registered by name.

    Attributes
    ----------
    name: how a recipe calls it.  Config: its keys.
    num_negatives: sampled items per observed pair, 1 or 0 (pairs only).
    needs_content: it cannot be built without a content modality.
    needs_item_relations: it reads the item-item relations of the graph (else `fit` may build a graph without them).
    citation: where the system was published.
    can_be_wrapped: another system may be wrapped round it: it has vectors and is trained by steps.
    ablations: systems that are settings of this one, `{name: {"model.key": value}}`, for studies.
    is_floor: every comparison of systems shows it, as what a system has to be better than.
    search_space, grid: what `tune` tries, `{"section.key": Range(...) or (value, ...)}`; a grid has lists alone.
        Where there is none, learning rate and regularisation are tried (`models.spaces`).

    State that outlives an epoch is a parameter or a buffer: checkpoints hold those and nothing else.
    """

    name: ClassVar[str]
    Config: ClassVar[type[ModelConfig]]
    num_negatives: ClassVar[int] = 1
    needs_content: ClassVar[bool] = False
    needs_item_relations: ClassVar[bool] = False
    can_be_wrapped: ClassVar[bool] = True
    citation: ClassVar[str] = ""
    ablations: ClassVar[Mapping[str, Mapping[str, object]]] = {}
    is_floor: ClassVar[bool] = False
    search_space: ClassVar[Space] = {}
    grid: ClassVar[Space] = {}

    def embeddings(self) -> Embeddings:
        """What ranks; without randomness in evaluation mode."""
        raise TypeError(f"{type(self).__name__} ranks by no vectors")

    def encode(self) -> Encoded:
        """A forward pass with its parts; by default what ranks stands for the vectors before propagation too."""
        users, items = self.embeddings()
        return Encoded(users, items, users, items)

    def encode_batch(self, batch: Batch) -> Encoded:
        """The forward pass of a training step; where it is random (dropout inside), it draws from `batch.generator`."""
        return self.encode()

    def scorer(self) -> Scorer:
        """Scores of blocks of users, as the model is now; by default dot products of `embeddings`."""
        return DotProduct(*self.embeddings())

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        """The loss terms of a batch (scalars), already weighted; their sum is minimised and each is logged."""
        raise TypeError(f"{type(self).__name__} is not trained by gradient steps")

    def auxiliary_losses(self, batch: Batch, encoded: Encoded) -> dict[str, Tensor]:
        """The terms beside ranking loss and regulariser, which a wrapper that brings its own ranking loss keeps."""
        return {}

    def on_epoch_start(self, epoch: int, generator: torch.Generator) -> None:
        """Called before the steps of each epoch (from 1): views redrawn, structures mined anew."""

    def sample_extra(
        self, users: Tensor, positive_items: Tensor, negative_items: Tensor | None, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """More material for a batch, drawn on the CPU; becomes `Batch.extra` on the training device."""
        return {}

    def configure_optimizers(self, learning_rate: float) -> dict[str, Adam]:
        """The optimisers by name; a system with a second player has more than one."""
        return {"model": Adam(self.parameters(), lr=learning_rate)}

    def optimize(self, batch: Batch, optimizers: Mapping[str, Adam]) -> dict[str, Tensor]:
        """One training step; returns the loss terms without gradient."""
        optimizer = optimizers["model"]
        optimizer.zero_grad()  # before the forward pass, which then has their room
        terms = self.training_step(batch)
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        return {name: value.detach() for name, value in terms.items()}

    def click_evidence(self, users: Tensor, items: Tensor, negatives: Tensor) -> ClickEvidence | None:
        """What the model thinks of clicks (users [n], items [n]) beside its score; None for one that has no such terms.

        `negatives` [n, S]: sampled items that the click's user has not met, to compare with.
        """
        return None

    def members(self) -> dict[str, RankingModel]:
        """Systems inside this one that are trained first, each with early stopping of its own."""
        return {}

    def tables(self) -> tuple[nn.Parameter, nn.Parameter] | None:
        """The user and item tables [U, d], [I, d] that a spectral start fills; None for a system without."""
        return None


class TableModel(RankingModel):
    """A system with a user table and an item table of width `config.dim`, the item one the vector before propagation.

    Subclasses override `encode` (and never `embeddings`).
    """

    Config: ClassVar[type[ModelConfig]] = TableConfig

    def __init__(self, inputs: ModelInputs, config: TableConfig, *, user_dim: int | None = None) -> None:
        super().__init__()
        self.config = config
        self.user_table = inputs.table(inputs.num_users, user_dim or config.dim)
        self.item_table = inputs.table(inputs.num_items, config.dim)

    def embeddings(self) -> Embeddings:
        encoded = self.encode()
        return Embeddings(encoded.users, encoded.items)

    def encode(self) -> Encoded:
        return Encoded(self.user_table, self.item_table, self.user_table, self.item_table)

    def tables(self) -> tuple[nn.Parameter, nn.Parameter] | None:
        return self.user_table, self.item_table

    def extra_repr(self) -> str:
        return f"users={tuple(self.user_table.shape)}, items={tuple(self.item_table.shape)}"


class ClosedFormModel(RankingModel):
    """A system that is computed and not trained: `fit_closed_form` fills buffers, once.

    The buffers may have any shape: `load_state_dict` takes what was stored.
    """

    num_negatives: ClassVar[int] = 0
    can_be_wrapped: ClassVar[bool] = False

    def fit_closed_form(self, progress: Progress | None = None) -> None:
        """Compute the system's state from the data set and graph that it was built with."""
        raise TypeError(f"{type(self).__name__} has no closed form")

    def tune(self, judge: Callable[[], float], progress: Progress | None = None) -> Mapping[str, float]:
        """Choose what validation is to choose, after `fit_closed_form`; `judge` gives the monitored score as it is.

        Returns the values chosen, by name, for the history of the training.
        """
        return {}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        device = self._device()
        for name, value in state_dict.items():
            self.register_buffer(name, cast(Tensor, value).to(device))
        return torch.nn.modules.module._IncompatibleKeys([], [])

    def _device(self) -> torch.device:
        return next((buffer.device for buffer in self.buffers()), torch.device("cpu"))


def pair_scores(user_emb: Tensor, item_emb: Tensor) -> Tensor:
    """Row-wise dot products. Shapes: [B, d], [B, d] -> [B]."""
    return (user_emb * item_emb).sum(-1)
