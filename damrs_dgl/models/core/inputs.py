"""What goes into a system: what a constructor may look at, and the batches of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.dgl_backend import dgl


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


@dataclass(frozen=True)
class Batch:
    """One training step's material; index tensors are int64 on the training device.

    users, positive_items [B]: observed pairs.  negative_items [B]: an item for each that its user has not met, or None
    where the system takes pairs only.  generator: all randomness of the step, on the training device.
    extra: what the system's `sample_extra` drew.  more_negatives [S - 1, B]: more such items, where it wants S > 1.
    """

    users: Tensor
    positive_items: Tensor
    negative_items: Tensor | None
    generator: torch.Generator
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    more_negatives: Tensor | None = None

    @torch.no_grad()
    def with_hardest_negatives(self, users: Tensor, items: Tensor) -> Batch:
        """The batch with that of each pair's sampled items which these vectors [U, d], [I, d] score highest.

        Dynamic negative sampling (Zhang et al., SIGIR 2013). With one sampled item a pair, the batch itself.
        """
        if self.more_negatives is None or self.negative_items is None:
            return self
        sampled = torch.stack([self.negative_items, *self.more_negatives])
        rows = embedding(self.users, users)
        scores = torch.stack([(rows * embedding(column, items)).sum(-1) for column in sampled])
        hardest = sampled.gather(0, scores.argmax(0, keepdim=True))[0]
        return replace(self, negative_items=hardest, more_negatives=None)

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
