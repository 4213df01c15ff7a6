"""Graph filters without training: an item-item matrix F from interactions and content, applied to histories."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor

from damrs_dgl.models.base import ClosedFormModel, Embeddings, ModelConfig, ModelInputs
from damrs_dgl.models.core.ranges import Range, Space
from damrs_dgl.models.graph_filter.config import CHOICES, GraphFilterConfig
from damrs_dgl.models.graph_filter.parts import FilterParts
from damrs_dgl.models.graph_filter.search import Point, coordinate_search
from damrs_dgl.models.layers.item_item import Factors, ItemItemScorer, as_buffers, from_buffers
from damrs_dgl.models.registry import register
from damrs_dgl.progress import OnProgress, silent
from damrs_dgl.scoring import DotProduct, Scorer

_LABEL = "graph filter"
_ROOM = 2**30  # bytes of C_q that a search keeps


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

    With `search`, q, b, lowpass, content and k are chosen on validation (`tune`): up to 28 filters are judged. What
    was chosen stands in buffers, in the training's history, and in `repr`.

    O(co-clicks + E k) to compute, I top_n + 2 I k numbers to keep, nothing |I| x |I|. In a search V_k and A are
    computed once, and up to 1 GiB of C_q held until it is done.
    """

    name = "graph_filter"
    Config: ClassVar[type[ModelConfig]] = GraphFilterConfig
    search_space: ClassVar[Space] = {
        "model.rank": Range(256, 1024, log=True),  # below, `search` chooses
        "model.linear": Range(0.0, 2.0),
        "model.history_exponent": Range(-0.5, 1.0),
        "model.cross": Range(0.0, 1.0),
    }
    grid: ClassVar[Space] = {"model.rank": (256, 512), "model.linear": (0.0, 0.5, 1.0), "model.cross": (0.0, 0.5)}
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
    user_exponent: Tensor
    candidate_exponent: Tensor
    lowpass: Tensor
    content: Tensor
    rank: Tensor

    def __init__(self, inputs: ModelInputs, config: GraphFilterConfig) -> None:
        super().__init__()
        self.config = config
        self.inputs = inputs
        self.interactions = inputs.dataset.train.matrix(inputs.num_users, inputs.num_items)
        self.is_lowpass = not (config.has_co_clicks or config.content)
        self._parts: FilterParts | None = None

    def fit_closed_form(self, progress: OnProgress = silent) -> None:
        total = self.inputs.num_items
        progress(0, total, _LABEL)
        parts = FilterParts(self.inputs, self.interactions, room=_ROOM if self.config.search else 0)
        self._compute(parts, self.config, lambda done: progress(done, total, _LABEL))
        self._parts = parts if self.config.search else None  # until `tune` is done
        progress(total, total, _LABEL)

    def tune(self, judge: Callable[[], float], progress: OnProgress = silent) -> dict[str, float]:
        """Choose the values of `config.choices` by a coordinate search (search.py) from the recipe's."""
        parts, self._parts = self._parts, None
        if parts is None:
            return {}

        def score(values: Point) -> float:
            self._compute(parts, self.config.model_copy(update=values))
            return judge()

        vectors = min(self.inputs.num_users, self.inputs.num_items) - 1
        choices = self.config.choices(has_content=bool(self.inputs.modalities), most=vectors)
        start = self.config.model_dump(include=set(choices))
        best = coordinate_search(start, choices, score, lambda done, most: progress(done, most, f"{_LABEL} search"))
        self._compute(parts, self.config.model_copy(update=best))
        return best

    def _compute(
        self, parts: FilterParts, config: GraphFilterConfig, done: Callable[[int], None] = lambda rows: None
    ) -> None:
        """Fill the buffers with the filter that `config` says."""
        if config.lowpass:
            left, right = parts.factors(config)
            self.register_buffer("history_factors", torch.from_numpy(left))
            self.register_buffer("candidate_factors", torch.from_numpy(right))
        if not self.is_lowpass:
            sparse, kept = parts.sparse(config, done)
            for name, value in as_buffers(sparse).items():
                self.register_buffer(name, value)
            self.register_buffer("kept", torch.tensor(kept))
        for key in CHOICES:
            self.register_buffer(key, torch.tensor(getattr(config, key)))

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
        buffers = dict(self.named_buffers())
        return ", ".join(f"{name}={float(buffers[name]):.4g}" for name in (*CHOICES, "kept") if name in buffers)

    def _factors(self) -> Factors:
        return self.history_factors.cpu().numpy(), self.candidate_factors.cpu().numpy()
