"""Item-item graphs that are learned, mined from projected content at each epoch's start, beside the content's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from damrs_dgl.models.base import ModelInputs
from damrs_dgl.models.layers.content import Projection
from damrs_dgl.models.layers.neighbors import ConstantGraph, Edges, NeighborGraph, content_graph, learned_edges, mine

GraphProduct = Callable[[Tensor], Tensor]


class LearnedStructure(nn.Module, ABC):
    """One content graph and one learned graph for each modality, and what a subclass makes of them in `mix`.

    Content graphs A^m are made once. Learned graphs S^m = kNN(F^m W_m + b_m) are mined anew by `begin_epoch`; their
    cosines carry gradient until the first backward pass through them, after which the graph of the epoch is constant
    (Zhang et al., MM 2021, do so: later steps detach it). In evaluation mode the graphs are those of the weights as
    they are, made when the weights have changed and not at each call.

    The content F^m is a parameter with `train_content`, else not part of the state. Time: O(|I|^2 d) an epoch for each
    modality; memory: O(|I| k) beside a block of cosines and the content.
    """

    def __init__(self, inputs: ModelInputs, *, k: int, content_dim: int, train_content: bool) -> None:
        super().__init__()
        self.k, self.num_items, self.modalities = k, inputs.num_items, inputs.modalities
        self.projections = nn.ModuleList()
        for place, name in enumerate(self.modalities):
            features = inputs.dataset.features[name]
            for part, values in content_graph(features, k, inputs.device)._asdict().items():
                self.register_buffer(f"{part}_{place}", values, persistent=False)
            missing = torch.from_numpy(features.missing).to(inputs.device)
            self.register_buffer(f"missing_{place}", missing, persistent=False)
            content = inputs.content(name)
            if train_content:
                self.register_parameter(f"content_{place}", nn.Parameter(content))
            else:
                self.register_buffer(f"content_{place}", content, persistent=False)
            self.projections.append(Projection(inputs, features.dim, content_dim))
        self._lists: list[NeighborGraph] | None = None  # of this epoch
        self._constant: list[ConstantGraph] | None = None  # of this epoch
        self._evaluated: tuple[object, list[ConstantGraph]] | None = None
        self._learning = False

    @abstractmethod
    def mix(self, content: Sequence[Edges], learned: Sequence[Edges]) -> list[Edges]:
        """The graphs that the system convolves over, from each modality's content graph (normalised) and cosines."""

    def content_edges(self) -> list[Edges]:
        """Each modality's content graph, normalised."""
        return [
            Edges(*(getattr(self, f"{part}_{place}") for part in ("items", "neighbors", "weights")))
            for place in range(len(self.modalities))
        ]

    def vectors(self) -> list[Tensor]:
        """Each modality's projected content [I, content_dim]."""
        return [projection(getattr(self, f"content_{place}")) for place, projection in enumerate(self.projections)]

    def begin_epoch(self) -> None:
        """Choose the neighbours by the weights as they are, and let the next step differentiate through them."""
        self._lists, self._constant, self._learning = self._mined(), None, True

    def products(self) -> Sequence[GraphProduct]:
        """The graphs of `mix` as linear maps [I, d] -> [I, d]."""
        if not self.training:
            return self._of_evaluation()
        self._evaluated = None
        if self._lists is None:
            self.begin_epoch()
        if self._constant is None or (self._learning and torch.is_grad_enabled()):
            return self._of_first_step(self._lists or [])
        return self._constant

    @torch.no_grad()
    def _mined(self) -> list[NeighborGraph]:
        vectors = enumerate(self.vectors())
        return [mine(projected, self.get_buffer(f"missing_{place}"), self.k) for place, projected in vectors]

    def _mixed(self, lists: Sequence[NeighborGraph]) -> list[Edges]:
        learned = [learned_edges(graph, vectors) for graph, vectors in zip(lists, self.vectors(), strict=True)]
        return self.mix(self.content_edges(), learned)

    def _of_first_step(self, lists: Sequence[NeighborGraph]) -> Sequence[GraphProduct]:
        mixed = self._mixed(lists)
        if self._constant is None:
            self._constant = [ConstantGraph(edges, self.num_items) for edges in mixed]
        if not any(edges.weights.requires_grad for edges in mixed):
            return self._constant
        for edges in mixed:
            edges.weights.register_hook(self._after_gradient)
        return [_WeightedProduct(edges, self.num_items) for edges in mixed]

    def _after_gradient(self, gradient: Tensor) -> None:
        self._learning = False

    @torch.no_grad()
    def _of_evaluation(self) -> list[ConstantGraph]:
        # A training step drops what is kept here; torch counts all other changes (those by the fused Adam it does not).
        state = [(parameter.data_ptr(), parameter._version, parameter.dtype) for parameter in self.parameters()]
        if self._evaluated is None or self._evaluated[0] != state:
            mixed = self._mixed(self._mined())
            self._evaluated = (state, [ConstantGraph(edges, self.num_items) for edges in mixed])
        return self._evaluated[1]

    def extra_repr(self) -> str:
        return f"items={self.num_items}, k={self.k}, modalities={', '.join(self.modalities)}"


class _WeightedProduct:
    """The product with a graph whose weights carry gradient."""

    def __init__(self, edges: Edges, num_items: int) -> None:
        self.graph, self.weights = NeighborGraph(edges.items, edges.neighbors, num_items), edges.weights

    def __call__(self, x: Tensor) -> Tensor:
        return self.graph.product(self.weights, x)
