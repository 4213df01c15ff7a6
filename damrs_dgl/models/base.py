"""What a system is: its keys, its vectors or scores, its loss. Trainer and stages know no single system.

A new system is one file: a `ModelConfig` with its keys and a `RankingModel` registered under a name. A training step
of it is `training_step`, what ranks is `embeddings`; everything else has a default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from damrs_dgl.errors import SystemFault, fault_of
from damrs_dgl.models.core.configs import Backbone, ModelConfig, PresetTableConfig, TableConfig, WrapperConfig
from damrs_dgl.models.core.inputs import Batch, ModelInputs
from damrs_dgl.models.core.optimizers import Adam
from damrs_dgl.models.core.outputs import ClickEvidence, Embeddings, Encoded
from damrs_dgl.models.core.ranges import Range, Space
from damrs_dgl.progress import OnProgress, silent
from damrs_dgl.scoring import DotProduct, Scorer

__all__ = [
    "Backbone",
    "Batch",
    "ClickEvidence",
    "ClosedFormModel",
    "Embeddings",
    "Encoded",
    "ModelConfig",
    "ModelInputs",
    "OnProgress",
    "PresetTableConfig",
    "Range",
    "RankingModel",
    "Space",
    "TableConfig",
    "TableModel",
    "WrapperConfig",
    "pair_scores",
]


class RankingModel(nn.Module):
    """A system that ranks items for users. A subclass is built as `Model(inputs, config)` and registered by name.

    Attributes
    ----------
    name: how a recipe calls it.  Config: its keys.
    num_negatives: sampled items per observed pair; 0: pairs only, above 1: `Batch.more_negatives` has the others.
    needs_content: it cannot be built without a content modality.
    reads_content: content changes its numbers, as it does unless a class itself says otherwise. Of one that it says
        nothing to, `stress` spares the trainings under noisy content, and a spectral start is of interactions alone.
    needs_item_relations: it cannot be built without an item-item relation, by content or by behaviour.
    citation: where the system was published.
    can_be_wrapped: another system may be wrapped round it: it has vectors and is trained by steps.
    ablations: systems that are settings of this one, `{name: {"model.key": value}}`, for studies.
    is_floor: every comparison of systems shows it, as what a system has to be better than.
    logged_only: names of terms that are a second player's: logged, and no part of the loss.
    is_random: its numbers depend on the seed; studies compute one that is not for a single seed.
    search_space, grid: what `tune` tries, `{"section.key": Range(...) or (value, ...)}`; a grid has lists alone.
        Where there is none, learning rate and regularisation are tried (`models.specification.spaces`).

    State that outlives an epoch is a parameter or a buffer: checkpoints hold those and nothing else.
    """

    name: ClassVar[str]
    Config: ClassVar[type[ModelConfig]]
    num_negatives: int = 1
    needs_content: ClassVar[bool] = False
    reads_content: ClassVar[bool] = True
    needs_item_relations: ClassVar[bool] = False
    can_be_wrapped: ClassVar[bool] = True
    citation: ClassVar[str] = ""
    ablations: ClassVar[Mapping[str, Mapping[str, object]]] = {}
    is_floor: ClassVar[bool] = False
    is_random: ClassVar[bool] = True
    logged_only: ClassVar[frozenset[str]] = frozenset()
    search_space: ClassVar[Space] = {}
    grid: ClassVar[Space] = {}

    def __init_subclass__(cls, **keywords: Any) -> None:
        """What reads content is not inherited: what extends a system of clicks may well read some."""
        super().__init_subclass__(**keywords)
        if "reads_content" not in vars(cls):
            cls.reads_content = True

    def embeddings(self) -> Embeddings:
        """What ranks; without randomness in evaluation mode."""
        raise TypeError(f"{type(self).__name__} has no user and item vectors, only scores")

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
        """One step of all optimisers on the sum of the loss terms; returns these without gradient."""
        for optimizer in optimizers.values():
            optimizer.zero_grad()  # before the forward pass, which then has their room
        terms = self.training_step(batch)
        total = torch.stack(list(checked_terms(self, terms).values())).sum()
        if not total.requires_grad:
            raise _fault(self, "gives a loss that depends on no parameter")
        total.backward()
        for optimizer in optimizers.values():
            optimizer.step()  # what has no part in this step has no gradient, and stays
        return {name: value.detach() for name, value in terms.items()}

    def click_evidence(self, users: Tensor, items: Tensor, negatives: Tensor) -> ClickEvidence | None:
        """What the model thinks of clicks (users [n], items [n]) beside its score; None for one that has no such terms.

        `negatives` [n, S]: sampled items that the click's user has not met, to compare with.
        """
        return None

    def members(self) -> dict[str, RankingModel]:
        """Systems inside this one that are trained first, each with early stopping of its own.

        By the names under which `config.inside()` has their keys.
        """
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

    num_negatives = 0
    can_be_wrapped: ClassVar[bool] = False
    is_random: ClassVar[bool] = False

    def fit_closed_form(self, progress: OnProgress = silent) -> None:
        """Compute the system's state from the data set and graph that it was built with."""
        raise TypeError(f"{type(self).__name__} has no closed form")

    def tune(self, judge: Callable[[], float], progress: OnProgress = silent) -> Mapping[str, float]:
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


def checked_terms(model: RankingModel, terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """A step's loss terms. Raises SystemFault where they are not named tensors without dimensions, one at least."""
    if not isinstance(terms, dict):
        found = f"gives a {type(terms).__name__}"
    elif not terms:
        found = "gives no loss term"
    else:
        kinds = {
            name: f"of shape {list(term.shape)}" if isinstance(term, Tensor) else f"a {type(term).__name__}"
            for name, term in terms.items()
            if not (isinstance(term, Tensor) and term.dim() == 0)
        }
        if not kinds:
            return terms
        found = "gives " + ", ".join(f"{name!r} {kind}" for name, kind in kinds.items())
    raise _fault(model, found)


def _fault(model: RankingModel, what: str) -> SystemFault:
    fix = "it gives {name: a tensor without dimensions, with gradient}"
    return fault_of(type(model), f"a training step {what}", fix)


def pair_scores(user_emb: Tensor, item_emb: Tensor) -> Tensor:
    """Row-wise dot products. Shapes: [B, d], [B, d] -> [B]."""
    return (user_emb * item_emb).sum(-1)
