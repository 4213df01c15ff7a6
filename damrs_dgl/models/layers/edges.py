"""Messages whose weights are made anew at each step: scores of edges, softmax over a node's edges, weighted sums.

What attention needs of one relation, in two forms with the same values and gradients: by DGL (`u_dot_v`,
`edge_softmax`, `u_mul_e`/`sum`), and by torch, for the CPU and for devices that DGL has no build for. On the CPU a
weight per edge makes DGL leave its fast path: at 118,551 edges and width 64 its `u_mul_e`/`sum` takes 13.9 ms and its
`u_dot_v` 11.7 ms, torch's embedding bag 0.3 ms and its sampled product 1.1 ms (one core). Relations without weights
stay with DGL (propagation.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

from damrs_dgl.dgl_backend import dgl
from damrs_dgl.models.layers.propagation import uses_dgl
from damrs_dgl.models.layers.sparse import csr_from_lists

End = Literal["source", "target"]


class DGLEdges(nn.Module):
    """The edges of one relation as DGL sees them; the operations are those of `TorchEdges`.

    sources, targets: int64 [E], the ends of each edge, ordered by target and then source. All operations number edges
    so, and all are differentiable once in everything they take.
    """

    sources: Tensor
    targets: Tensor

    def __init__(self, relation: dgl.DGLGraph, device: torch.device) -> None:
        super().__init__()
        sources, targets = _ordered_edges(relation)
        self.register_buffer("sources", sources.to(device), persistent=False)
        self.register_buffer("targets", targets.to(device), persistent=False)
        num_sources, num_targets = relation.num_src_nodes(), relation.num_dst_nodes()
        layouts = ["coo", "csr", "csc"]
        forward = _bipartite(sources, targets, num_sources, num_targets)
        backward = _bipartite(targets, sources, num_targets, num_sources)
        self.graph, self.reverse = (part.formats(layouts).to(device) for part in (forward, backward))
        self.graph.create_formats_()
        self.reverse.create_formats_()

    def dot(self, source_emb: Tensor, target_emb: Tensor) -> Tensor:
        return dgl.ops.u_dot_v(self.graph, source_emb, target_emb).squeeze(-1)

    def softmax(self, scores: Tensor, *, at: End) -> Tensor:
        by = "dst" if at == "target" else "src"
        return dgl.ops.edge_softmax(self.graph, scores.unsqueeze(-1), norm_by=by).squeeze(-1)

    def sum_to_targets(self, weights: Tensor, source_emb: Tensor) -> Tensor:
        return dgl.ops.u_mul_e_sum(self.graph, source_emb, weights.unsqueeze(-1))

    def sum_to_sources(self, weights: Tensor, target_emb: Tensor) -> Tensor:
        return dgl.ops.u_mul_e_sum(self.reverse, target_emb, weights.unsqueeze(-1))

    def extra_repr(self) -> str:
        return f"edges={len(self.sources)}, by=dgl"


@dataclass(frozen=True)
class _Lists:
    """The edges of each node at one end of a relation, one list after the other.

    nodes: int64 [E], the node at this end of each edge.  order: int64 [E], the edges list by list, or None where they
    are in that order.  neighbors: int32 [E], the nodes at the other end, list by list.  offsets: int64 [n + 1], where
    each list starts.
    """

    nodes: Tensor
    order: Tensor | None
    neighbors: Tensor
    offsets: Tensor

    def listed(self, values: Tensor) -> Tensor:
        """Values of edges [E], list by list."""
        return values if self.order is None else values[self.order]

    def reduce(self, values: Tensor, how: Literal["sum", "max"]) -> Tensor:
        """The sum or maximum of each node's edges, [E] -> [n]."""
        return torch.segment_reduce(self.listed(values), how, offsets=self.offsets, axis=0, unsafe=True)

    def weighted_sum(self, weights: Tensor, emb: Tensor) -> Tensor:
        """What each node gathers from the other end: [E], [n_other, d] -> [n, d]."""
        return embedding_bag(
            self.neighbors,
            emb.contiguous(),
            self.offsets.int(),
            mode="sum",
            per_sample_weights=self.listed(weights).contiguous(),
            include_last_offset=True,
        )


class TorchEdges(nn.Module):
    """The edges of one relation as torch sees them.

    sources, targets: int64 [E], the ends of each edge, ordered by target and then source. All operations number edges
    so, and all are differentiable once in everything they take. No [E, d] tensor is made.
    """

    def __init__(self, relation: dgl.DGLGraph, device: torch.device) -> None:
        super().__init__()
        sources, targets = (ids.to(device) for ids in _ordered_edges(relation))
        self.sources, self.targets = sources, targets
        self.at_target = _lists(targets, sources, relation.num_dst_nodes(), None)
        self.at_source = _lists(sources, targets, relation.num_src_nodes(), torch.argsort(sources, stable=True))
        self.pattern = _pattern(self.at_target, (relation.num_dst_nodes(), relation.num_src_nodes()))

    def dot(self, source_emb: Tensor, target_emb: Tensor) -> Tensor:
        """The dot product of each edge's two ends: [n_source, d], [n_target, d] -> [E]."""
        return _Dot.apply(self, source_emb, target_emb)

    def softmax(self, scores: Tensor, *, at: End) -> Tensor:
        """The softmax of the scores [E] over the edges of each node at one end."""
        return _Softmax.apply(self.at_target if at == "target" else self.at_source, scores)

    def sum_to_targets(self, weights: Tensor, source_emb: Tensor) -> Tensor:
        """z_v = sum of w_e x_u over the edges u -> v: [E], [n_source, d] -> [n_target, d]; zeros without edges."""
        return _WeightedSum.apply(self, "target", weights, source_emb)

    def sum_to_sources(self, weights: Tensor, target_emb: Tensor) -> Tensor:
        """The same against the edges' direction: [E], [n_target, d] -> [n_source, d]."""
        return _WeightedSum.apply(self, "source", weights, target_emb)

    def products(self, source_emb: Tensor, target_emb: Tensor) -> Tensor:
        """`dot` without a gradient."""
        pattern = self.pattern if self.pattern.dtype == target_emb.dtype else self.pattern.to(target_emb.dtype)
        return torch.sparse.sampled_addmm(
            pattern, target_emb.contiguous(), source_emb.contiguous().T, beta=0.0
        ).values()

    def extra_repr(self) -> str:
        return f"edges={len(self.sources)}, by=torch"


class _Dot(torch.autograd.Function):
    """s_e = x_u . y_v; the gradients are weighted sums, d x_u = sum_e g_e y_v and d y_v = sum_e g_e x_u."""

    @staticmethod
    def forward(ctx: Any, edges: TorchEdges, source_emb: Tensor, target_emb: Tensor) -> Tensor:
        ctx.edges = edges
        ctx.save_for_backward(source_emb, target_emb)
        return edges.products(source_emb, target_emb)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor | None, Tensor | None]:
        source_emb, target_emb = ctx.saved_tensors
        _, to_source, to_target = ctx.needs_input_grad
        return (
            None,
            ctx.edges.at_source.weighted_sum(grads[0], target_emb) if to_source else None,
            ctx.edges.at_target.weighted_sum(grads[0], source_emb) if to_target else None,
        )


class _WeightedSum(torch.autograd.Function):
    """z_v = sum_e w_e x_u; d w_e = g_v . x_u and d x_u = sum_e w_e g_v."""

    @staticmethod
    def forward(ctx: Any, edges: TorchEdges, to: End, weights: Tensor, emb: Tensor) -> Tensor:
        ctx.edges, ctx.to = edges, to
        ctx.save_for_backward(weights, emb)
        receiving = edges.at_target if to == "target" else edges.at_source
        return receiving.weighted_sum(weights, emb)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, Tensor | None, Tensor | None]:
        weights, emb = ctx.saved_tensors
        edges, to_target = ctx.edges, ctx.to == "target"
        sending = edges.at_source if to_target else edges.at_target
        ends = (emb, grads[0]) if to_target else (grads[0], emb)
        _, _, of_weights, of_emb = ctx.needs_input_grad
        return (
            None,
            None,
            edges.products(*ends) if of_weights else None,
            sending.weighted_sum(weights, grads[0]) if of_emb else None,
        )


class _Softmax(torch.autograd.Function):
    """a_e = exp(s_e) / sum of exp(s) over the node's edges; d s_e = a_e (g_e - sum of a g over the node's edges)."""

    @staticmethod
    def forward(ctx: Any, lists: _Lists, scores: Tensor) -> Tensor:
        ctx.lists = lists
        shares = (scores - lists.reduce(scores, "max")[lists.nodes]).exp_()
        shares /= lists.reduce(shares, "sum")[lists.nodes]
        ctx.save_for_backward(shares)
        return shares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        (shares,) = ctx.saved_tensors
        weighted = shares * grads[0]
        return None, weighted - shares * ctx.lists.reduce(weighted, "sum")[ctx.lists.nodes]


def make_edges(graph: dgl.DGLGraph, name: str, device: torch.device) -> DGLEdges | TorchEdges:
    """The edges of one relation of the heterograph in the form that is fastest on the device."""
    kind = DGLEdges if device.type != "cpu" and uses_dgl(device) else TorchEdges
    return kind(graph[name], device)


def _ordered_edges(relation: dgl.DGLGraph) -> tuple[Tensor, Tensor]:
    """(sources, targets), int64 [E], by target and then source."""
    sources, targets = (ids.long() for ids in relation.edges())
    keys = (targets * relation.num_src_nodes() + sources).sort().values
    return keys % relation.num_src_nodes(), keys // relation.num_src_nodes()


def _bipartite(sources: Tensor, targets: Tensor, num_sources: int, num_targets: int) -> dgl.DGLGraph:
    return dgl.heterograph(
        {("source", "edge", "target"): (sources.int(), targets.int())},
        {"source": num_sources, "target": num_targets},
        idtype=torch.int32,
    )


def _lists(nodes: Tensor, others: Tensor, size: int, order: Tensor | None) -> _Lists:
    offsets = torch.zeros(size + 1, dtype=torch.int64, device=nodes.device)
    offsets[1:] = torch.bincount(nodes, minlength=size).cumsum(0)
    return _Lists(nodes, order, (others if order is None else others[order]).int(), offsets)


def _pattern(lists: _Lists, shape: tuple[int, int]) -> Tensor:
    """A CSR matrix whose entries are the edges in their order."""
    values = torch.zeros(len(lists.nodes), device=lists.nodes.device)
    return csr_from_lists(lists.offsets.int(), lists.neighbors, values, shape)
