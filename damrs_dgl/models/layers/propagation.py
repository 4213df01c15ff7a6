"""Convolutions over one relation: A_hat x with A_hat = diag(target) A diag(source), by node-side scalings.

`A[i, j]` is the weight of the edge j -> i, so row i aggregates what is sent to node i. On the CPU, and on a GPU where
DGL has CUDA, the product is DGL's `copy_u`/`sum` between two node-side scalings: no edge weights are stored or read.
Only a relation that carries real weights uses `u_mul_e`/`sum`. A DGL without CUDA cannot hold a graph on the GPU; there
the same relation is one torch sparse matrix. Both forms are linear maps with the same values and the same gradients.

The normalisations, with d the (weighted) degrees:

* `symmetric`: d_target^-1/2 A d_source^-1/2 (LightGCN; DA-MRS, Section 3.2.3).
* `mean`: d_target^-1 A (MMGCN).
* `target_sqrt`: d_target^-1/2 A (MMSSL).
* `mean_with_self`: (d_target + 1)^-1 (A x + own), own being the target's vector itself (NGCF, LATTICE).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from damrs_dgl.dgl_backend import dgl, has_cuda
from damrs_dgl.graphs.schema import INTERACTED_BY, INTERACTS, WEIGHT
from damrs_dgl.models.layers.sparse import SparseProduct, csr_matrix

Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""A map of both sides, users [U, d] and items [I, d] -> the same."""

Normalization = Literal["symmetric", "mean", "target_sqrt", "mean_with_self"]


def inverse_sqrt(degrees: Tensor) -> Tensor:
    """d^-1/2 as float32 [n]; 0 where d = 0, so that a node without edges receives and sends zeros."""
    degrees = degrees.to(torch.float32)
    return torch.where(degrees > 0, degrees.clamp(min=1e-12).rsqrt(), torch.zeros_like(degrees))


def inverse(degrees: Tensor) -> Tensor:
    """d^-1 as float32 [n]; 0 where d = 0."""
    degrees = degrees.to(torch.float32)
    return torch.where(degrees > 0, degrees.clamp(min=1e-12).reciprocal(), torch.zeros_like(degrees))


def degrees(relation: dgl.DGLGraph) -> tuple[Tensor, Tensor]:
    """The weighted degrees (source [n_source], target [n_target]) of a relation.

    An item-item relation is directed (a list of nearest neighbours is not symmetric) and both are row sums:
    d_i = sum_j A_ij is the weighted in-degree of i. A user-item relation has the degrees of its two sides.
    """
    weight = relation.edata.get(WEIGHT)
    sources, targets = relation.edges()  # counted here: in_degrees() and out_degrees() would make, and keep, layouts
    received = torch.bincount(targets, weight, minlength=relation.num_dst_nodes())
    if relation.srctypes == relation.dsttypes:
        return received, received
    return torch.bincount(sources, weight, minlength=relation.num_src_nodes()), received


def relation_scales(relation: dgl.DGLGraph, normalization: Normalization = "symmetric") -> tuple[Tensor, Tensor]:
    """The node-side factors (source [n_source], target [n_target]), float32, of a normalisation."""
    sent, received = degrees(relation)
    if normalization == "symmetric":
        return inverse_sqrt(sent), inverse_sqrt(received)
    ones = torch.ones(len(sent))
    if normalization == "mean":
        return ones, inverse(received)
    if normalization == "target_sqrt":
        return ones, inverse_sqrt(received)
    return ones, inverse(received + 1)


def convolve(
    relation: dgl.DGLGraph,
    source_emb: Tensor,
    source_scale: Tensor,
    target_scale: Tensor,
    weight: Tensor | None = None,
    *,
    overwrite: bool = False,
) -> Tensor:
    """One step over a relation by DGL built-ins; `relation` may be a full relation or a sampled block.

    Shapes: source_emb [n_source, d], source_scale [n_source, 1], target_scale [n_target, 1], weight [edges] or None;
    returns [n_target, d]. `overwrite`: the messages may take the place of `source_emb`, which the caller gives up.
    """
    messages = source_emb.mul_(source_scale) if overwrite else source_emb * source_scale
    if weight is None:
        received = dgl.ops.copy_u_sum(relation, messages)
    else:
        received = dgl.ops.u_mul_e_sum(relation, messages, weight.unsqueeze(-1))
    return received.mul_(target_scale)  # in place: no gradient needs what it overwrites


class Relation(nn.Module):
    """The normalised adjacency of one relation as a linear map, held by a DGL graph.

    Shapes: input [n_source, d] -> output [n_target, d]. With `differentiable` false there is no gradient, and the
    layout that it would need is left out. `mean_with_self` leaves adding the target's own vector to the caller.
    """

    source_scale: Tensor
    target_scale: Tensor
    weight: Tensor | None

    def __init__(
        self,
        relation: dgl.DGLGraph,
        device: torch.device,
        *,
        normalization: Normalization = "symmetric",
        differentiable: bool = True,
    ) -> None:
        super().__init__()
        source, target = relation_scales(relation, normalization)
        weight = relation.edata.get(WEIGHT)
        # Every layout that forward (csc) and backward (csr) ask for is made once, here, not at the first training step.
        self.graph = relation.local_var().formats(["csc", "csr"] if differentiable else "csc").to(device)
        self.graph.create_formats_()
        self.register_buffer("source_scale", source.unsqueeze(-1).to(device), persistent=False)
        self.register_buffer("target_scale", target.unsqueeze(-1).to(device), persistent=False)
        self.register_buffer("weight", None if weight is None else weight.to(device), persistent=False)

    def forward(self, source_emb: Tensor, *, overwrite: bool = False) -> Tensor:
        scales = (self.source_scale, self.target_scale)
        return convolve(self.graph, source_emb, *scales, self.weight, overwrite=overwrite)

    def extra_repr(self) -> str:
        return f"edges={self.graph.num_edges()}, weighted={self.weight is not None}, by=dgl"


class SparseRelation(nn.Module):
    """The same linear map as `Relation`, held by a torch CSR matrix (for a GPU that the installed DGL cannot use).

    Shapes: input [n_source, d] -> output [n_target, d]; `differentiable` as in `Relation`.
    """

    target_scale: Tensor

    def __init__(
        self,
        relation: dgl.DGLGraph,
        device: torch.device,
        *,
        normalization: Normalization = "symmetric",
        differentiable: bool = True,
    ) -> None:
        super().__init__()
        source_scale, target_scale = relation_scales(relation, normalization)
        self.register_buffer("target_scale", target_scale.unsqueeze(-1).to(device), persistent=False)
        sources, targets = (ids.long() for ids in relation.edges())
        weight = relation.edata.get(WEIGHT, torch.ones(relation.num_edges()))
        values = weight * source_scale[sources] * target_scale[targets]
        shape = (relation.num_dst_nodes(), relation.num_src_nodes())
        self.matrix = csr_matrix(targets, sources, values, shape).to(device)
        self.transposed = csr_matrix(sources, targets, values, shape[::-1]).to(device) if differentiable else None

    def forward(self, source_emb: Tensor, *, overwrite: bool = False) -> Tensor:
        if self.transposed is None:
            return self.matrix @ source_emb
        return SparseProduct.apply(self.matrix, self.transposed, source_emb)

    def extra_repr(self) -> str:
        return f"edges={self.matrix.values().numel()}, by=torch.sparse"


def uses_dgl(device: torch.device) -> bool:
    """Whether relations on this device are propagated by DGL (else by torch's sparse product)."""
    return device.type == "cpu" or has_cuda()


def make_relation(
    graph: dgl.DGLGraph,
    name: str,
    device: torch.device,
    *,
    normalization: Normalization = "symmetric",
    differentiable: bool = True,
) -> Relation | SparseRelation:
    """The linear map of one relation of the heterograph, in the form that the device can run."""
    kind = Relation if uses_dgl(device) else SparseRelation
    return kind(graph[name], device, normalization=normalization, differentiable=differentiable)


class BipartiteConvolution(nn.Module):
    """One step over both user-item relations at once, with gradients, in any of the normalisations.

    Shapes: users [U, d], items [I, d] -> the same: users gather items, items gather users.
    """

    def __init__(self, graph: dgl.DGLGraph, device: torch.device, *, normalization: Normalization) -> None:
        super().__init__()
        self.to_items = make_relation(graph, INTERACTS, device, normalization=normalization)
        self.to_users = make_relation(graph, INTERACTED_BY, device, normalization=normalization)
        self.with_self = normalization == "mean_with_self"

    def forward(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        new_users, new_items = self.to_users(items), self.to_items(users)
        if self.with_self:
            new_users = new_users + users * self.to_users.target_scale
            new_items = new_items + items * self.to_items.target_scale
        return new_users, new_items


class LinearMap(torch.autograd.Function):
    """A linear map of both sides, users [U, d] and items [I, d], whose gradient is given: its transpose.

    So nothing is kept for backward, and no layer's gradient goes through autograd. Once differentiable.
    """

    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, forward: Step, transposed: Step) -> tuple[Tensor, Tensor]:
        ctx.transposed = transposed
        return forward(users, items)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        user_grad, item_grad = (grad.contiguous() for grad in grads)
        return *ctx.transposed(user_grad, item_grad), None, None


class UserItemConvolution(nn.Module):
    """LightGCN on the bipartite graph: the mean of layers 0..L of both sides (He et al., SIGIR 2020).

    Shapes: users [U, d], items [I, d] -> the same.
    """

    def __init__(self, graph: dgl.DGLGraph, num_layers: int, device: torch.device) -> None:
        super().__init__()
        self.num_layers = num_layers
        # (1 / (L+1)) sum_l A_hat^l with A_hat = [0, R; R^T, 0] is symmetric: its gradient is the convolution itself.
        self.to_items = make_relation(graph, INTERACTS, device, differentiable=False)
        self.to_users = make_relation(graph, INTERACTED_BY, device, differentiable=False)

    def forward(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        return LinearMap.apply(users, items, self.mean_of_layers, self.mean_of_layers)

    @torch.no_grad()
    def mean_of_layers(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """The same without a gradient; beside the arguments it takes two tables, however many layers."""
        user_sum, item_sum = users.clone(), items.clone()
        for layer in range(self.num_layers):
            own = layer > 0  # the arguments stay as they are
            next_items = self.to_items(users, overwrite=own)
            del users  # before the next table of its size is made
            users, items = self.to_users(items, overwrite=own), next_items
            user_sum += users
            item_sum += items
        return user_sum.div_(self.num_layers + 1), item_sum.div_(self.num_layers + 1)
