"""Alignment guided by graded item relations, AI: similar items close, less similar less so, the rest apart (Eq. 11).

A relation is an item-item graph (one per content modality, and behaviour); its embedding table h^m is [I, d]. For each
anchor item and relation the other items fall into three grades: similar R, less similar T (`graded_item_sets`) and the
dissimilar N, the batch's items that are in neither. In the set tensors -1 stands for "no item".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from damrs_dgl.errors import RecipeError
from damrs_dgl.losses.graded_sets import GradedSets
from damrs_dgl.losses.user_preference import rows_per_chunk

Terms = tuple[tuple[slice, slice], ...]

# A term of the loss is -log(sum of the first slice / sum of the second) over the grades in the order R, T, N (Table 4).
STRATEGIES: dict[str, Terms] = {
    "AI": ((slice(0, 1), slice(0, 3)), (slice(1, 2), slice(1, 3))),
    "MP": ((slice(0, 1), slice(0, 3)),),
    "SP": ((slice(0, 2), slice(0, 3)),),
}


def item_relation_alignment(
    relation_embs: Sequence[Tensor],
    anchors: Tensor,
    sets: GradedSets,
    candidates: Tensor | None,
    *,
    temperature: float = 0.2,
    strategy: str = "AI",
    log_epsilon: float = 0.0,
    chunk_size: int = 64,
) -> Tensor:
    """Contrast of the three grades, averaged over anchors and relations (Eq. 11); a scalar in nats.

    With phi_ij = exp(cos(h^m_i, h^m_j) / temperature) and R, T, N its sums over the grades of anchor i in relation m:
    "AI": -log(R / (R + T + N)) - log(T / (T + N)); "MP": the first alone; "SP": -log((R + T) / (R + T + N)) (Table 4).

    Parameters
    ----------
    relation_embs: R tables [I, d], not normalised. Differentiable once.
    anchors: int64 [A], item ids; the anchor itself is usually in R, as in the paper.
    sets: the anchors' sets, each [R, A, k], disjoint and without repetition. An empty one (all -1) adds no loss.
    candidates: int64 [C], distinct item ids: the batch's items, from which N is taken. None: all items (the authors).
    temperature: tau; stays finite down to 0.01.
    log_epsilon: added to each ratio inside the logarithm (the authors: 1e-9).
    chunk_size: anchors worked on at a time.

    Raises RecipeError for an unknown strategy.
    """
    terms = _terms(strategy)
    num_items = len(relation_embs[0])
    candidates = torch.arange(num_items, device=anchors.device) if candidates is None else candidates
    # The column of each item in the matrix of an anchor chunk; the last column stands for whatever is no candidate.
    column = anchors.new_full((num_items + 1,), len(candidates))
    column[candidates] = torch.arange(len(candidates), device=anchors.device)
    members = torch.cat([sets.similar, sets.less_similar], dim=2)
    batch = _Batch(
        anchors=anchors,
        candidates=candidates,
        column=column,
        temperature=temperature,
        terms=terms,
        epsilon=log_epsilon,
        rows=rows_per_chunk(chunk_size, len(candidates)),
        # A Function's forward always runs without gradient mode, so it must be told of the caller's.
        grad_enabled=torch.is_grad_enabled(),
    )
    losses = [
        _Contrast.apply(F.normalize(emb, dim=1), graded, batch)
        for emb, graded in zip(relation_embs, members, strict=True)
    ]
    return torch.stack(losses).mean()


def _terms(strategy: str) -> Terms:
    if strategy not in STRATEGIES:
        raise RecipeError(f"unknown strategy {strategy!r}", fix=f"choose one of {', '.join(STRATEGIES)}")
    return STRATEGIES[strategy]


@dataclass(frozen=True)
class _Batch:
    """What the relations share."""

    anchors: Tensor
    candidates: Tensor
    column: Tensor
    temperature: float
    terms: Terms
    epsilon: float
    rows: int
    grad_enabled: bool


class _Contrast(torch.autograd.Function):
    """Mean loss of one relation's anchors from its normalised table, with the gradient taken chunk by chunk in forward.

    With s = cos / tau the loss depends on the scores of a grade g through L_g = logsumexp of the grade's s alone, and
    dL_g/ds_j = exp(s_j - L_g). So dloss/ds_j = exp(s_j - shift_g) c_g with one factor c_g per anchor and grade
    (`_grade_losses`), and a chunk's [n, C] matrix is written by one product and one exp and read by the two products
    of the gradient, which take the factor on their small side.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, members: Tensor, batch: _Batch) -> Tensor:
        """Loss of `table` [I, d] (rows of length 1) with `members` [A, 2k], R and T side by side; a scalar in nats."""
        anchors, rows, temperature = batch.anchors, batch.rows, batch.temperature
        with_grad = batch.grad_enabled and ctx.needs_input_grad[0]
        # One more column, never a candidate, so that members outside the candidates have somewhere to be masked.
        pool = torch.cat([table[batch.candidates], table.new_zeros((1, table.shape[1]))])
        buffer = table.new_empty((min(rows, len(anchors)), len(pool)))
        grad = torch.zeros_like(table) if with_grad else None
        pool_grad = torch.zeros_like(pool) if with_grad else None
        loss = table.new_zeros(())
        for start in range(0, len(anchors), rows):
            chunk, items = anchors[start : start + rows], members[start : start + rows]
            queries = table[chunk] / temperature
            near, exp_near, near_shift = _near_scores(table, queries, items, 1 / temperature)
            exp_far = torch.mm(queries, pool.T, out=buffer[: len(chunk)])
            exp_far[:, -1] = -math.inf
            exp_far.scatter_(1, batch.column[items], -math.inf)  # item -1 is the column of no candidate
            far_shift = _exp_shifted_(exp_far, 1 / temperature)
            shifts = torch.cat([near_shift, far_shift], dim=1)
            sums = torch.cat([exp_near.sum(dim=2), exp_far.sum(dim=1, keepdim=True)], dim=1)
            chunk_loss, factors = _grade_losses(sums.log() + shifts, shifts, batch.terms, batch.epsilon)
            loss += chunk_loss
            if grad is not None and pool_grad is not None:
                near_grad = (exp_near * factors[:, :2, None]).flatten(1)
                far_factor = factors[:, 2:]
                query_grad = torch.mm(exp_far, pool).mul_(far_factor)
                query_grad += torch.bmm(near_grad.unsqueeze(1), near).squeeze(1)
                grad.index_add_(0, chunk, query_grad, alpha=1 / temperature)
                pool_grad.addmm_(exp_far.T, queries * far_factor)
                outer = near_grad.unsqueeze(2) * queries.unsqueeze(1)
                grad.index_add_(0, items.clamp(min=0).flatten(), outer.flatten(0, 1))
        if grad is not None and pool_grad is not None:
            grad.index_add_(0, batch.candidates, pool_grad[:-1]).div_(len(anchors))
        ctx.save_for_backward(grad)
        return loss / len(anchors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = ctx.saved_tensors
        return (None if grad is None else grad * grad_output, None, None)


def _near_scores(table: Tensor, queries: Tensor, items: Tensor, bound: float) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of the set items [n, 2k, d], their shifted exponentials [n, 2, k] by grade, and the shifts [n, 2]."""
    near = table.index_select(0, items.clamp(min=0).flatten()).view(*items.shape, -1)
    scores = torch.bmm(near, queries.unsqueeze(2)).squeeze(2).masked_fill_(items < 0, -math.inf)
    scores = scores.view(len(items), 2, -1)
    return near, scores, _exp_shifted_(scores, bound).squeeze(2)


def _exp_shifted_(scores: Tensor, bound: float) -> Tensor:
    """Replace scores s in [-bound, bound] by exp(s - shift) and return the shift [..., 1]; -inf stays without weight.

    Up to a bound of 40 (tau >= 0.025) float32 holds exp and its sums as they are, so the shift is 0 and costs nothing.
    """
    if bound <= 40:
        scores.exp_()
        return scores.new_zeros((*scores.shape[:-1], 1))
    shift = scores.amax(dim=-1, keepdim=True).clamp_(min=-bound)
    scores.sub_(shift).exp_()
    return shift


def _grade_losses(log_sums: Tensor, shifts: Tensor, terms: Terms, epsilon: float) -> tuple[Tensor, Tensor]:
    """Sum of the chunk's losses and the factors c_g [n, 3], from the grades' log-sums [n, 3] and shifts [n, 3].

    A term is -log(r + epsilon) with ln r = L_positive - L_pool. Its derivative by a score of grade g is
    w (exp(s - L_pool) [g in pool] - exp(s - L_positive) [g in positives]), w = r / (r + epsilon). Nothing is divided by
    a grade's sum, so an empty grade (L = -inf) is harmless; a term without positives is left out.
    """
    loss = log_sums.new_zeros(())
    factors = torch.zeros_like(log_sums)
    for positives, pool in terms:
        log_positive = log_sums[:, positives].logsumexp(dim=1, keepdim=True)
        log_pool = log_sums[:, pool].logsumexp(dim=1, keepdim=True)
        some = log_positive > -math.inf
        log_positive, log_pool = (torch.where(some, x, torch.zeros_like(x)) for x in (log_positive, log_pool))
        log_ratio = log_positive - log_pool
        if epsilon > 0:
            ratio = log_ratio.exp()
            weight = torch.where(some, ratio / (ratio + epsilon), torch.zeros_like(ratio))
            term = -torch.log(ratio + epsilon)
        else:
            weight = some.to(log_ratio.dtype)
            term = -log_ratio
        loss += torch.where(some, term, torch.zeros_like(term)).sum()
        factors[:, pool] += weight * torch.exp(shifts[:, pool] - log_pool)
        factors[:, positives] -= weight * torch.exp(shifts[:, positives] - log_positive)
    return loss, factors
