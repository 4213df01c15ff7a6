"""The pieces of a filter's matrix; what a change of the keys leaves as it is, is not computed again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from damrs_dgl.models.base import ModelInputs
from damrs_dgl.models.graph_filter.config import GraphFilterConfig
from damrs_dgl.models.layers.filters import CoClicks, KeptShare, content_matrix, polynomial_rows
from damrs_dgl.models.layers.item_item import Factors, degrees, largest_entries, row_blocks, scaled
from damrs_dgl.models.layers.spectrum import truncated_svd

SparsePart = tuple[sp.csr_matrix, float]
"""A matrix whose rows were shortened, and the share of its weight that was kept."""


class FilterParts:
    """The low-pass factors and the sparse rest of F between its scales, for one configuration after another.

    inputs: of the system.  interactions: R [U, I].  room: bytes that may be kept for C_q (layers/filters.py).

    The first configuration has the highest `rank`. The singular vectors and the content graph are computed once; C_q
    with all its entries when q is new and there is no room for it, its shortened rows when q or b are, the sparse part
    when anything but `lowpass` and `rank` is.
    """

    def __init__(self, inputs: ModelInputs, interactions: sp.csr_matrix, *, room: int) -> None:
        self.inputs = inputs
        self.popularity = np.maximum(degrees(interactions, 0), 1)
        self.coclicks = CoClicks(interactions, room=room)
        self._vectors: np.ndarray | None = None
        self._last_together: tuple[object, SparsePart] | None = None
        self._last_sparse: tuple[object, SparsePart] | None = None

    def factors(self, config: GraphFilterConfig) -> Factors:
        """Factors [I, r] of lowpass (V V^T + cross (A V V^T + V V^T A) / 2) between its scales."""
        basis = self._basis(config.rank)
        left, right = basis, config.lowpass * basis
        if config.cross and self._content is not None:
            around, half = self._content @ basis, np.float32(config.lowpass * config.cross / 2)
            left, right = np.hstack([basis, around]), np.hstack([right + half * around, half * basis])
        before, after = self._item_scales(config, lowpass=True)
        return (before[:, None] * left).astype(np.float32), (after[:, None] * right).astype(np.float32)

    def sparse(self, config: GraphFilterConfig, done: Callable[[int], None]) -> SparsePart:
        """F without its low-pass part; `done` is told how many rows there are so far."""
        key = config.model_copy(update={"lowpass": 0.0, "rank": 1})
        if self._last_sparse is None or self._last_sparse[0] != key:
            together, kept = self._together(config) if config.has_co_clicks else (None, 1.0)
            parts, share, rows = [], KeptShare(), 0
            for part in self._sparse_rows(config, together, share):
                parts.append(part)
                rows += part.shape[0]
                done(rows)
            self._last_sparse = key, (sp.vstack(parts, format="csr"), kept * share.value)
        return self._last_sparse[1]

    @cached_property
    def _content(self) -> sp.csr_matrix | None:
        return content_matrix(self.inputs.graph)

    def _basis(self, rank: int) -> np.ndarray:
        """V_k [I, k], the leading ones of those of the first rank that was asked for."""
        if self._vectors is None:
            train, inputs = self.inputs.dataset.train, self.inputs
            spectrum = truncated_svd(train.users, train.items, inputs.num_users, inputs.num_items, rank)
            self._vectors = spectrum.items.numpy()
        return self._vectors[:, :rank]

    def _item_scales(self, config: GraphFilterConfig, *, lowpass: bool) -> tuple[np.ndarray, np.ndarray]:
        """D_i^-a and D_i^b as float32 [I] each; ones where they do not hold for that part."""
        if config.scaled == "lowpass" and not lowpass:
            ones = np.ones(self.inputs.num_items, dtype=np.float32)
            return ones, ones
        scales = (self.popularity**-config.history_exponent, self.popularity**config.candidate_exponent)
        return scales[0].astype(np.float32), scales[1].astype(np.float32)

    def _together(self, config: GraphFilterConfig) -> SparsePart:
        """C_q, the `top_n` entries of each row that weigh most in scores."""
        key = (config.user_exponent, config.candidate_exponent)
        if self._last_together is None or self._last_together[0] != key:
            weights = self._item_scales(config, lowpass=False)[1]
            parts, share = [], KeptShare()
            for whole in self.coclicks.rows(config.user_exponent):
                parts.append(largest_entries(whole, config.top_n, weights))
                share.add(whole, parts[-1], weights)
            self._last_together = key, (sp.vstack(parts, format="csr"), share.value)
        return self._last_together[1]

    def _sparse_rows(
        self, config: GraphFilterConfig, together: sp.csr_matrix | None, share: KeptShare
    ) -> Iterator[sp.csr_matrix]:
        """Blocks of rows of F without its low-pass part, between its scales, the `top_n` entries of each row."""
        num_items = self.inputs.num_items
        content = self._content if config.content or config.cross else None
        before, after = self._item_scales(config, lowpass=False)
        identity = sp.eye(num_items, dtype=np.float32, format="csr")
        for rows in row_blocks(num_items, num_items):
            part = sp.csr_matrix((rows.stop - rows.start, num_items), dtype=np.float32)
            if together is not None:
                part = config.linear * polynomial_rows(identity[rows], together, config.polynomial)
            if content is not None and together is not None and config.cross:
                around = config.linear * polynomial_rows(content[rows], together, config.polynomial)
                part = part + config.cross / 2 * (part @ content + around)
            if content is not None and config.content:
                part = part + config.content * content[rows]
            part = scaled(before[rows], part, after)
            shortened = largest_entries(part, config.top_n)
            share.add(part, shortened)
            yield shortened
