"""The graded item sets of AI: for each item and relation, which items are similar and which less so (Section 3.4.2).

In the set tensors -1 stands for "no item".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from damrs_dgl.losses.user_preference import rows_per_chunk
from damrs_dgl.selection import largest


@dataclass(frozen=True)
class GradedSets:
    """Item ids by relation and anchor, nearest first, int64 [R, A, k] each; -1 = none."""

    similar: Tensor
    less_similar: Tensor

    def take(self, positions: Tensor) -> GradedSets:
        """The sets of some anchors by their positions [n]: of items by their ids, where the anchors were all items."""
        return GradedSets(self.similar[:, positions], self.less_similar[:, positions])


@torch.no_grad()
def graded_item_sets(
    relation_embs: Sequence[Tensor], anchors: Tensor | None = None, *, k: int = 10, block_size: int = 128
) -> GradedSets:
    """The k most similar and the k less similar items of each anchor in each relation.

    T^m_i = softmax over all items j of cos(h^m_i, h^m_j), the anchor itself included; R^m_i = T^m_i + sum over all
    relations m' of T^m'_i. Similar = top-k of R^m_i; less similar = top-k of T^m_i without those.

    ``relation_embs`` are R tables [I, d], not normalised; ``anchors`` int64 [A], or None for all items. ``block_size``
    anchors are worked on at a time, in (R + 1) x block_size x I elements. With fewer than 2k items the rest is -1.
    """
    tables = [F.normalize(emb, dim=1) for emb in relation_embs]
    num_items = len(tables[0])
    anchors = torch.arange(num_items, device=tables[0].device) if anchors is None else anchors
    rows = rows_per_chunk(block_size, num_items)
    sets = anchors.new_full((2, len(tables), len(anchors), k), -1)
    width = min(k, num_items)
    buffers = tables[0].new_empty((len(tables) + 2, min(rows, len(anchors)), num_items))
    for start in range(0, len(anchors), rows):
        block = anchors[start : start + rows]
        work, total, *shares = buffers[:, : len(block)].unbind()
        total.zero_()
        for table, share in zip(tables, shares, strict=True):
            torch.mm(table[block], table.T, out=work)
            torch.softmax(work, dim=1, out=share)
            total.add_(share)
        for relation, share in enumerate(shares):
            _, similar = largest(torch.add(total, share, out=work), width)
            share.scatter_(1, similar, -1.0)  # below every softmax: out of the second choice
            values, less_similar = largest(share, width)
            sets[0, relation, start : start + rows, :width] = similar
            sets[1, relation, start : start + rows, :width] = less_similar.masked_fill_(values < 0, -1)
    return GradedSets(sets[0], sets[1])
