"""Candidate neighbours from the estimated cosines of all pairs, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from damrs_dgl.graphs.approximate.rescoring import Candidates, Content
from damrs_dgl.graphs.buffers import Buffers
from damrs_dgl.selection import largest, place_in_group

_SCAN_VALUES = 2**22  # estimates of one modality in memory at once, 16 MB
_FEWEST_ROWS = 16  # a block has that many, or reading the columns takes longer than working with them


@dataclass(frozen=True)
class Wanted:
    """What is asked for: `k` neighbours, and the consistency rule or not."""

    k: int
    consistency: bool


class DuplicateGroups:
    """Items by feature vector: `members[starts[g] : starts[g] + sizes[g]]` have vector g and are in ascending order.

    Groups are in the order of their lowest item, `lowest[g]`; `group[i]` is the group of item i.
    """

    def __init__(self, duplicate_of: Tensor) -> None:
        self.lowest, self.group, self.sizes = torch.unique(duplicate_of, return_inverse=True, return_counts=True)
        self.members = torch.argsort(self.group, stable=True)
        self.starts = self.sizes.cumsum(0) - self.sizes

    def of(self, groups: Tensor, most: int | None = None) -> tuple[Tensor, Tensor]:
        """(position in `groups`, member): the members of each group, only the `most` lowest where that is given."""
        sizes = self.sizes[groups] if most is None else self.sizes[groups].clamp(max=most)
        places = torch.repeat_interleave(torch.arange(len(groups), device=groups.device), sizes)
        offsets = place_in_group(places, sizes)
        return places, self.members[self.starts[groups[places]] + offsets]

    def crowded(self, most: int) -> tuple[Tensor, Tensor]:
        """Items of groups larger than `most`, group by group, and for each the place where its group starts."""
        groups = torch.nonzero(self.sizes > most).squeeze(1)
        places, members = self.of(groups)
        sizes = self.sizes[groups]
        return members, (sizes.cumsum(0) - sizes)[places]


class Scan:
    """Candidates from the estimates of all pairs of some rows, block by block."""

    def __init__(
        self, contents: Mapping[str, Content], duplicates: Mapping[str, DuplicateGroups], wanted: Wanted
    ) -> None:
        self.contents, self.duplicates, self.wanted = contents, duplicates, wanted
        self.num_items = max((content.table.num_items for content in contents.values()), default=0)
        self.present = {name: content.table.present.float() for name, content in contents.items()}
        self.crowded = {name: group.crowded(wanted.k) for name, group in duplicates.items()}

    def __call__(self, rows: Tensor, modalities: list[str]) -> Iterator[tuple[str, Candidates]]:
        """(modality, candidates), block by block; a row that lacks a modality is left out of it."""
        step = max(1, min(max(_SCAN_VALUES // max(self.num_items, 1), _FEWEST_ROWS), len(rows)))
        buffer = Buffers(step * self.num_items, rows.device)
        for block in rows.split(step) if len(rows) else ():
            shape = (len(block), self.num_items)
            estimates = {
                name: self._estimates(name, block, buffer(f"estimates of {name}", *shape)) for name in self.contents
            }
            # masks as numbers, 1 or 0, and by multiplication: several times faster than by booleans, and an estimate
            # that is not above 0 leads to no edge anyway
            masks = {}
            if self.wanted.consistency:
                for name, part in estimates.items():
                    masks[name] = self._mask(name, block, part, buffer(f"mask of {name}", *shape))
            for name in modalities:
                # its own mean needs no mask: what is below it comes last
                others = [mask for other, mask in masks.items() if other != name]
                complete = self.contents[name].table.complete
                if not (others and complete):
                    others.append(self.present[name])
                allowed = reduce(torch.mul, others)
                promise = self._without_crowds(
                    name, torch.mul(estimates[name], allowed, out=buffer("promise", *shape)), allowed
                )
                best, items = largest(promise, min(self.contents[name].projection.scored, promise.shape[1]))
                gathered = {other: part.gather(1, items) for other, part in estimates.items()}
                found = Candidates(block, items, best > 0, gathered)
                yield name, found if complete else found.of(self.contents[name].table.present[block])

    def _estimates(self, name: str, block: Tensor, buffer: Tensor) -> Tensor:
        rows = self.contents[name].projection.rows
        estimates = torch.mm(rows[block], rows.T, out=buffer)
        estimates[self.duplicates[name].of(self.duplicates[name].group[block])] = 1.0
        return estimates

    def _mask(self, name: str, block: Tensor, estimates: Tensor, buffer: Tensor) -> Tensor:
        """1 where no veto is to be expected (`Content.may_reach`), as numbers."""
        table = self.contents[name].table
        mask = buffer.copy_(estimates).ge_(self.contents[name].threshold)
        if not table.complete:
            mask[~table.present[block]] = 1.0
            mask[:, ~table.present] = 1.0
        return mask

    def _without_crowds(self, name: str, promise: Tensor, allowed: Tensor) -> Tensor:
        """Of items with the same vector only the k first that are allowed can be among the k best: others leave."""
        items, starts = self.crowded[name]
        if not len(items):
            return promise
        part = allowed.expand_as(promise)[:, items]
        before = part.cumsum(1) - part
        promise[:, items] *= before - before[:, starts] < self.wanted.k
        return promise
