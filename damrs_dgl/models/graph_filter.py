"""Graph filters without training: an item-item matrix F from interactions and content, applied to histories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
import scipy.sparse as sp
import torch
from pydantic import Field, model_validator
from torch import Tensor

from damrs_dgl.models.base import ClosedFormModel, Embeddings, ModelConfig, ModelInputs, Progress
from damrs_dgl.models.layers.filters import KeptShare, content_matrix, cooccurrence, polynomial_rows
from damrs_dgl.models.layers.item_item import (
    Factors,
    ItemItemScorer,
    as_buffers,
    degrees,
    from_buffers,
    interaction_matrix,
    largest_entries,
    row_blocks,
    scaled,
)
from damrs_dgl.models.layers.spectrum import truncated_svd
from damrs_dgl.models.registry import register
from damrs_dgl.scoring import DotProduct, Scorer
from damrs_dgl.settings import Count, Weight

Exponent = Annotated[float, Field(ge=-2, le=2)]
_LABEL = "graph filter"


class GraphFilterConfig(ModelConfig):
    """The keys of graph filters.

    The defaults were chosen on the validation splits of TikTok, Baby, Sports, ML-1M, Last.fm and the synthetic shop
    together: on each they reach 91 to 99 % of the Recall@20 of settings chosen for it alone. What differs most from one
    to another is `candidate_exponent` (0.2 to 0.5) and `user_exponent` (0 where all users are busy, -1 where few are).
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "default": {},
        "gf_cf": {
            "model.lowpass": 0.3,
            "model.user_exponent": -1.0,
            "model.history_exponent": 0.5,
            "model.candidate_exponent": 0.5,
            "model.scaled": "lowpass",
            "model.content": 0.0,
        },
        "turbo_cf": {
            "model.polynomial": (2.0, -1.0),
            "model.lowpass": 0.0,
            "model.user_exponent": -1.0,
            "model.history_exponent": 0.0,
            "model.candidate_exponent": 0.0,
            "model.content": 0.0,
        },
        "linear": {
            "model.lowpass": 0.0,
            "model.user_exponent": -1.0,
            "model.history_exponent": 0.0,
            "model.candidate_exponent": 0.0,
            "model.content": 0.0,
        },
    }

    preset: Literal["default", "gf_cf", "turbo_cf", "linear"] = Field(
        default="default", description="Values of keys left out: ours, GF-CF, Turbo-CF, or one layer of LightGCN"
    )
    linear: Weight = Field(default=1.0, description="Weight of the co-occurrence C_q")
    polynomial: tuple[float, ...] = Field(
        default=(1.0,),
        min_length=1,
        max_length=5,
        strict=False,  # an array of a recipe arrives as a list
        description="What stands for C_q: p1 C_q + p2 C_q^2 + ...",
    )
    user_exponent: Exponent = Field(default=-0.85, description="q: how much a co-click of a busy user counts, d_u^q")
    lowpass: Weight = Field(default=0.6, description="Weight of the projection on the leading singular vectors")
    rank: Count = Field(default=256, le=4096, description="How many singular vectors")
    content: Weight = Field(default=0.3, description="Weight of the content graph A")
    cross: Weight = Field(default=0.0, description="Weight of the content neighbours of co-clicked items, and back")
    history_exponent: Exponent = Field(default=0.0, description="a: a popular item of the history counts d_i^-a")
    candidate_exponent: Exponent = Field(default=0.4, description="b: a popular candidate counts d_i^b")
    scaled: Literal["all", "lowpass"] = Field(
        default="all", description="What the item exponents hold for: the whole filter, or its low-pass part alone"
    )
    top_n: Count = Field(default=1000, description="Entries kept per row of what is not low-pass")

    @model_validator(mode="after")
    def _something_left(self) -> GraphFilterConfig:
        if not (self.linear or self.lowpass or self.content):
            raise ValueError("linear, lowpass and content are all 0, which leaves no filter")
        return self


@register
class GraphFilter(ClosedFormModel):
    """Scores R D_i^-a F D_i^b, F = linear p(C_q) + lowpass V_k V_k^T + content A + cross (A F' + F' A) / 2.

    * C_q = D_i^-1/2 R^T D_u^q R D_i^-1/2, brought to the sum of C_-1 so that the weights mean the same whatever q;
      p(C) = p1 C + p2 C^2 + ... C_-1 is one layer of LightGCN there and back.
    * V_k: the k leading right singular vectors of N = D_u^-1/2 R D_i^-1/2 (layers/spectrum.py). Where singular values
      are exactly equal and k cuts through them, V_k is one of many: of the components' values of 1 those of the largest
      components are taken, of other ties those that a fixed start gives.
    * A: the content relations of the graph, denoised as it was built, without loops, symmetrised and added up, then
      normalised to D^-1/2 A D^-1/2. Both its parts are left out where the data set has no content.
    * F' = linear p(C_q) + lowpass V_k V_k^T.

    An item that nobody chose has degree 1 in D_i^-a and D_i^b, so that its content can still be recommended.

    The low-pass part stays factors; the rest is sparse, the `top_n` entries of each row that weigh most in scores,
    found in blocks of rows. `kept` is the share of its weight (sum of sizes) that was kept, 1 where no row was longer:
    of ML-1M, whose items meet nearly all others, 1000 a row keep 0.82 and cost 0.0003 of 0.246 of Recall@20. Where
    linear and content are 0 the system is a dot product of vectors of width k (2 k with cross).

    O(co-clicks + E k) to compute, I top_n + 2 I k numbers to keep, nothing |I| x |I|.
    """

    name = "graph_filter"
    Config: ClassVar[type[ModelConfig]] = GraphFilterConfig
    needs_item_relations = True
    citation = (
        "Shen et al., How powerful is graph convolution for recommendation?, CIKM 2021 (gf_cf); Park, Shin, Shin, "
        "Turbo-CF: matrix decomposition-free graph filtering for fast recommendation, SIGIR 2024 (turbo_cf); with "
        "content in the spirit of MM-GF, arXiv 2503.04406"
    )
    ablations: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "without content": {"model.content": 0.0, "model.cross": 0.0},
        "without low-pass": {"model.lowpass": 0.0},
        "low-pass alone": {"model.linear": 0.0, "model.content": 0.0, "model.cross": 0.0},
    }
    filter_offsets: Tensor
    filter_items: Tensor
    filter_values: Tensor
    history_factors: Tensor
    candidate_factors: Tensor
    kept: Tensor

    def __init__(self, inputs: ModelInputs, config: GraphFilterConfig) -> None:
        super().__init__()
        if not (config.linear or config.lowpass):
            inputs.require_content(f"{self.name} without linear and lowpass")
        self.config = config
        self.inputs = inputs
        self.interactions = interaction_matrix(inputs)
        self.is_lowpass = not (config.linear or config.content)

    def fit_closed_form(self, progress: Progress | None = None) -> None:
        config, report = self.config, progress or (lambda done, total, label: None)
        total, done = self.inputs.num_items, 0
        report(done, total, _LABEL)
        content = content_matrix(self.inputs.graph) if config.content or config.cross else None
        if config.lowpass:
            left, right = self._low_pass(content)
            self.register_buffer("history_factors", torch.from_numpy(left))
            self.register_buffer("candidate_factors", torch.from_numpy(right))
        if not self.is_lowpass:
            together, kept = None, 1.0
            if config.linear:
                weights = self._item_scales(lowpass=False)[1]
                together, kept = cooccurrence(self.interactions, config.user_exponent, config.top_n, weights)
            parts, share = [], KeptShare()
            for part in self._sparse_rows(together, content, share):
                parts.append(part)
                done += part.shape[0]
                report(done, total, _LABEL)
            for name, value in as_buffers(sp.vstack(parts, format="csr")).items():
                self.register_buffer(name, value)
            self.register_buffer("kept", torch.tensor(kept * share.value))
        report(total, total, _LABEL)

    def embeddings(self) -> Embeddings:
        """Vectors of a filter that is wholly low-pass. Raises TypeError for another."""
        if not self.is_lowpass:
            return super().embeddings()
        left, right = self._factors()
        users, items = torch.from_numpy(self.interactions @ left), torch.from_numpy(right)
        return Embeddings(users.to(self.inputs.device), items.to(self.inputs.device))

    def scorer(self) -> Scorer:
        if self.is_lowpass:
            return DotProduct(*self.embeddings())
        sparse = from_buffers(self.filter_offsets, self.filter_items, self.filter_values)
        return ItemItemScorer(
            self.interactions, sparse, self._factors() if self.config.lowpass else None, self.inputs.device
        )

    def extra_repr(self) -> str:
        return f"kept={float(self.kept):.4f}" if "kept" in self._buffers else ""

    def _factors(self) -> Factors:
        return self.history_factors.cpu().numpy(), self.candidate_factors.cpu().numpy()

    def _item_scales(self, *, lowpass: bool) -> tuple[np.ndarray, np.ndarray]:
        """D_i^-a and D_i^b as float32 [I] each; ones where they do not hold for that part."""
        if self.config.scaled == "lowpass" and not lowpass:
            ones = np.ones(self.inputs.num_items, dtype=np.float32)
            return ones, ones
        degree = np.maximum(degrees(self.interactions, 0), 1)
        a, b = self.config.history_exponent, self.config.candidate_exponent
        return (degree**-a).astype(np.float32), (degree**b).astype(np.float32)

    def _low_pass(self, content: sp.csr_matrix | None) -> Factors:
        """Factors [I, r] of lowpass (V V^T + cross (A V V^T + V V^T A) / 2) between its scales."""
        train, inputs = self.inputs.dataset.train, self.inputs
        vectors = truncated_svd(train.users, train.items, inputs.num_users, inputs.num_items, self.config.rank)
        basis = vectors.items.numpy()
        left, right = basis, self.config.lowpass * basis
        if content is not None and self.config.cross:
            around, half = content @ basis, np.float32(self.config.lowpass * self.config.cross / 2)
            left, right = np.hstack([basis, around]), np.hstack([right + half * around, half * basis])
        before, after = self._item_scales(lowpass=True)
        return (before[:, None] * left).astype(np.float32), (after[:, None] * right).astype(np.float32)

    def _sparse_rows(
        self, together: sp.csr_matrix | None, content: sp.csr_matrix | None, share: KeptShare
    ) -> Iterator[sp.csr_matrix]:
        """Blocks of rows of F without its low-pass part, between its scales, the `top_n` entries of each row."""
        config, num_items = self.config, self.inputs.num_items
        before, after = self._item_scales(lowpass=False)
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
