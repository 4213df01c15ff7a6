"""What goes into a system and comes out of a pass through it: inputs, batches, vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.dgl_backend import dgl


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

    def cpu(self) -> ClickEvidence:
        """The same on the CPU."""
        return self._with(values.cpu() for values in self._tensors())

    def take(self, clicks: Tensor) -> ClickEvidence:
        """Of some of the clicks (`clicks` int64 [m]: their places), in that order."""
        return self._with(values[..., clicks] for values in self._tensors())

    @staticmethod
    def joined(parts: Sequence[ClickEvidence]) -> ClickEvidence:
        """Of several systems' clicks, one after the other; the systems have the same relations."""
        tensors = zip(*(part._tensors() for part in parts), strict=True)
        return parts[0]._with(torch.cat(values, dim=-1) for values in tensors)

    def _tensors(self) -> tuple[Tensor, ...]:
        return self.reliability, self.contradiction, self.posterior, self.batch_posterior, self.support

    def _with(self, tensors: Iterable[Tensor]) -> ClickEvidence:
        f, g, posterior, batch_posterior, support = tensors
        return ClickEvidence(f, g, posterior, batch_posterior, self.relations, support)


@dataclass(frozen=True)
class ModelInputs:
    """What a constructor may look at: the data set, the heterograph, the device, and a CPU generator for tables."""

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

    def table(self, rows: int, width: int) -> nn.Parameter:
        """A Xavier-uniform table [rows, width], drawn on the CPU so that every device starts from the same numbers."""
        table = nn.init.xavier_uniform_(torch.empty(rows, width), generator=self.generator)
        return nn.Parameter(table.to(self.device))

    def zeros(self, *shape: int) -> nn.Parameter:
        """A parameter of zeros, such as a bias."""
        return nn.Parameter(torch.zeros(*shape, device=self.device))
