"""From candidate neighbours to edges: the exact cosine, the consistency rule and the k best among them (Eq. 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from damrs_dgl.graphs.approximate.projection import Projection
from damrs_dgl.graphs.similarity import CosineTable
from damrs_dgl.graphs.top_k import top_k_pairs


@dataclass(frozen=True)
class Content:
    """One modality: its exact similarities and their estimates."""

    table: CosineTable
    projection: Projection

    @property
    def threshold(self) -> float:
        """Pairs estimated below this are dropped without the exact check.

        A quarter of the margin below the mean: a lower bar would fill the list with pairs that the check rejects, in
        the place of good ones.
        """
        return self.table.mean - self.projection.margin / 4

    def may_reach(self, estimates: Tensor, rows: Tensor, items: Tensor) -> Tensor:
        """Bool: no veto is to be expected; `rows` and `items` broadcast to the pairs' `estimates`."""
        reached = estimates >= self.threshold
        return reached if self.table.complete else reached | self.table.lacks(rows, items)


@dataclass(frozen=True)
class Candidates:
    """What may become edges of one modality, for some rows.

    Attributes
    ----------
    rows: int64 [n], items that have the modality.
    items: int64 [n, C], their candidates, each once per row; any index where not `allowed`.
    allowed: bool [n, C].
    estimates: {modality: float32 [n, C]}, the pairs' estimated cosines in every modality.
    """

    rows: Tensor
    items: Tensor
    allowed: Tensor
    estimates: Mapping[str, Tensor]

    def of(self, chosen: Tensor) -> Candidates:
        """Those of the rows that are `chosen`, bool [n]."""
        estimates = {name: part[chosen] for name, part in self.estimates.items()}
        return Candidates(self.rows[chosen], self.items[chosen], self.allowed[chosen], estimates)


def best_candidates(
    found: Candidates, contents: Mapping[str, Content], modality: str, *, k: int, consistency: bool
) -> tuple[Tensor, Tensor]:
    """(items, neighbours): the k best candidates by the exact cosine, ties to the lower item.

    Of each row the candidates of the highest estimates are looked at (`Projection.scored`). In the modality itself
    their consistency is decided by the exact cosine; in another one by the estimate where that is further than its
    margin from the mean, by the exact cosine where it is not.
    """
    found = _in_order(found, modality, contents[modality].projection.scored)
    table = contents[modality].table
    own = (
        found.estimates[modality] if contents[modality].projection.is_exact else table.cosines(found.rows, found.items)
    )
    allowed = found.allowed.clone()
    if consistency:
        allowed &= table.reaches_mean(own.masked_fill(~allowed, -1), found.rows[:, None], found.items)
        for name, content in contents.items():
            if name != modality:
                allowed &= _reaches_mean(content, found.estimates[name], found, allowed)
    rows, columns = top_k_pairs(
        own.masked_fill(~allowed, -torch.inf),
        k,
        tolerance=table.tolerance,
        levels=lambda row, column: table.levels(found.rows[row], found.items[row, column]),
    )
    return found.rows[rows], found.items[rows, columns]


def _in_order(found: Candidates, modality: str, count: int) -> Candidates:
    """The `count` most promising candidates of each row, by item: then columns stand in the order that breaks ties."""
    promise = found.estimates[modality].masked_fill(~found.allowed, -torch.inf)
    chosen = torch.topk(promise, min(count, promise.shape[1]), dim=1, sorted=False).indices
    chosen = chosen.gather(1, found.items.gather(1, chosen).argsort(1))
    estimates = {name: part.gather(1, chosen) for name, part in found.estimates.items()}
    return Candidates(found.rows, found.items.gather(1, chosen), found.allowed.gather(1, chosen), estimates)


def _reaches_mean(content: Content, estimate: Tensor, found: Candidates, asked: Tensor) -> Tensor:
    """Bool [n, C]: at least the modality's mean, or no say of the modality, where `asked`."""
    table, margin = content.table, content.projection.margin
    reached, doubtful = estimate >= table.mean, asked & ((estimate - table.mean).abs() <= margin)
    if not table.complete:
        silent = table.lacks(found.rows[:, None], found.items)
        reached |= silent
        doubtful &= ~silent
    close = torch.nonzero(doubtful, as_tuple=True)
    rows, items = found.rows[close[0]], found.items[close]
    similarity = table.cosines(rows, items[:, None])[:, 0]
    reached[close] = table.reaches_mean(similarity, rows, items)
    return reached
