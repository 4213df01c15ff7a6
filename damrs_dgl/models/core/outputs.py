"""What comes out of a system: vectors that rank, the parts of a forward pass, what it thinks of clicks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor


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


Own = TypeVar("Own", bound=Encoded)


def own_pass(encoded: Encoded, kind: type[Own]) -> Own:
    """A system's own forward pass, which alone has what its auxiliary losses look at; TypeError for another's."""
    if not isinstance(encoded, kind):
        raise TypeError(
            f"auxiliary losses need the {kind.__name__} of the system's own pass, not {type(encoded).__name__}"
        )
    return encoded


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
