"""Alignment guided by user preference, AU: content and ID must agree on what each user likes (Eq. 9-10).

Each user u of the batch scores the items twice, a = u . h^content and b = u . h^id. Both losses here have the form
sum (P - Q)(a - b), and both need a [users, items] matrix only while a chunk of users is worked on: the gradients are
written out and taken in the forward pass, so nothing of that size is kept for backward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, bool], Tensor]

MAX_CHUNK_ELEMENTS = 2**24
"""Most elements of one chunk's matrix (64 MiB in float32): with very many items a chunk has fewer rows than asked."""


def rows_per_chunk(chunk_size: int, columns: int) -> int:
    """``chunk_size`` rows, or fewer (at least one) where that many rows of ``columns`` elements would be too large."""
    return max(1, min(chunk_size, MAX_CHUNK_ELEMENTS // max(columns, 1)))


def preference_alignment(user_emb: Tensor, content_emb: Tensor, id_emb: Tensor, *, chunk_size: int = 64) -> Tensor:
    """Mean over users of KL(P||Q) + KL(Q||P), P = softmax(a), Q = softmax(b) over all items (Eq. 9-10).

    Shapes: ``user_emb`` [A, d], ``content_emb`` and ``id_emb`` [I, d]; the result is a scalar in nats per user.
    ``chunk_size`` users are worked on at a time. Differentiable once.

    ln P - ln Q = (a - b) - const per user and P - Q sums to zero, so the two divergences add up to
    L = sum_i (P_i - Q_i)(a_i - b_i). With D = a - b,
    dL/da = (P - Q) + P (D - <P, D>) and dL/db = -(P - Q) - Q (D - <Q, D>).
    """
    settings = _settings(_softmax_kernel, chunk_size, len(id_emb), 1 / len(user_emb))
    return _Alignment.apply(user_emb, content_emb, id_emb, settings)


def bernoulli_preference_alignment(
    user_emb: Tensor, content_emb: Tensor, id_emb: Tensor, *, chunk_size: int = 64
) -> Tensor:
    """The authors' AU: mean over (user, item) pairs of both divergences between Bernoulli(sigmoid(a)) and (sigmoid(b)).

    Shapes: ``user_emb`` [A, d], ``content_emb`` and ``id_emb`` [J, d], the J distinct items of the batch, their rows
    normalised by the caller; the result is a scalar in nats per pair. Differentiable once.

    With p = sigmoid(a), q = sigmoid(b), the logits of p and q are a and b, so the two divergences add up to
    L = (p - q)(a - b), with dL/da = (p - q) + p (1 - p)(a - b) and dL/db = -(p - q) - q (1 - q)(a - b).
    """
    settings = _settings(_bernoulli_kernel, chunk_size, len(id_emb), 1 / (len(user_emb) * len(id_emb)))
    return _Alignment.apply(user_emb, content_emb, id_emb, settings)


def sampled_preference_alignment(
    user_emb: Tensor, content_emb: Tensor, id_emb: Tensor, log_weights: Tensor, *, chunk_size: int = 64
) -> Tensor:
    """`preference_alignment` estimated on some of the items, for catalogues too large to score whole at each step.

    ``content_emb`` and ``id_emb`` are the rows [J, d] of items that are in for certain (ln w = 0) and of items drawn
    from the others, each of which stands for w of them; ``log_weights`` [J] holds ln w. With S of the N others drawn
    uniformly without replacement, w = N / S; S = N gives the exact value.

    Z^ = sum_j w_j exp(a_j) is an unbiased estimate of the softmax's denominator, as are the sums of
    w_j exp(a_j)(a_j - b_j), and P^_j = w_j exp(a_j) / Z^ = softmax(a + ln w)_j. So L^ = sum_j (P^_j - Q^_j)(a_j - b_j)
    is a smooth function of unbiased means: a self-normalised estimate, whose bias, and that of its gradient, is
    O(1/S) (importance sampling of a softmax: Bengio, Senecal, IEEE Trans. Neural Networks 19 (2008), 713; ratio
    estimators: Cochran, Sampling Techniques, 1977, ch. 6). ln w cancels in a - b, so one more column on each side (1
    for the users, ln w for the items) makes it the same kernel.
    """
    ones, offsets = user_emb.new_ones((len(user_emb), 1)), log_weights.unsqueeze(1)
    users, content, ids = (
        torch.cat([rows, column], dim=1)
        for rows, column in ((user_emb, ones), (content_emb, offsets), (id_emb, offsets))
    )
    return preference_alignment(users, content, ids, chunk_size=chunk_size)


def _softmax_kernel(a: Tensor, b: Tensor, p: Tensor, q: Tensor, with_grad: bool) -> Tensor:
    """Loss [n, 1] of each row of the scores a, b [n, I]; all four matrices are overwritten.

    ``with_grad`` leaves dL/da in ``p`` and -dL/db in ``q``.
    """
    torch.softmax(a, dim=1, out=p)
    torch.softmax(b, dim=1, out=q)
    gap = a.sub_(b)
    difference = torch.sub(p, q, out=b)
    row_loss = _row_dot(difference, gap)
    if with_grad:
        gap.sub_(_row_dot(p, gap))
        torch.addcmul(difference, p, gap, out=p)
        gap.add_(row_loss)  # D - <P, D> + L = D - <Q, D>
        torch.addcmul(difference, q, gap, out=q)
    return row_loss


def _bernoulli_kernel(a: Tensor, b: Tensor, p: Tensor, q: Tensor, with_grad: bool) -> Tensor:
    """Sum over the items of each row's loss; arguments and results as in `_softmax_kernel`."""
    torch.sigmoid(a, out=p)
    torch.sigmoid(b, out=q)
    gap = a.sub_(b)
    difference = torch.sub(p, q, out=b)
    row_loss = _row_dot(difference, gap)
    if with_grad:
        for probability in (p, q):
            probability.addcmul_(probability, probability, value=-1)
            torch.addcmul(difference, probability, gap, out=probability)
    return row_loss


def _row_dot(left: Tensor, right: Tensor) -> Tensor:
    """<left_r, right_r> for each row, [n, 1]; on the CPU in a quarter of the time of a batched product."""
    return (left * right).sum(dim=1, keepdim=True)


class _Settings(NamedTuple):
    kernel: Kernel
    rows: int
    scale: float
    grad_enabled: bool


def _settings(kernel: Kernel, chunk_size: int, num_items: int, scale: float) -> _Settings:
    # A Function's forward always runs without gradient mode, so it must be told of the caller's.
    return _Settings(kernel, rows_per_chunk(chunk_size, num_items), scale, torch.is_grad_enabled())


class _Alignment(torch.autograd.Function):
    """Scaled sum of a kernel's row losses, with the three gradients taken chunk by chunk in the forward pass."""

    @staticmethod
    def forward(ctx: Any, user_emb: Tensor, content_emb: Tensor, id_emb: Tensor, settings: _Settings) -> Tensor:
        """Loss of `user_emb` [A, d] with the two item tables [I, d]; a scalar in nats."""
        kernel, rows, scale, grad_enabled = settings
        inputs = (user_emb, content_emb, id_emb)
        wanted = [grad_enabled and need for need in ctx.needs_input_grad[:3]]
        user_grad, content_grad, id_grad = (
            torch.zeros_like(x, memory_format=torch.contiguous_format) if want else None
            for x, want in zip(inputs, wanted, strict=True)
        )
        loss = user_emb.new_zeros(())
        buffers = user_emb.new_empty((4, min(rows, len(user_emb)), len(id_emb)))
        for start in range(0, len(user_emb), rows):
            users = user_emb[start : start + rows]
            a, b, p, q = buffers[:, : len(users)].unbind()
            torch.mm(users, content_emb.T, out=a)
            torch.mm(users, id_emb.T, out=b)
            loss += kernel(a, b, p, q, any(wanted)).sum()
            if user_grad is not None:
                chunk_grad = user_grad[start : start + rows]
                chunk_grad.addmm_(p, content_emb, alpha=scale).addmm_(q, id_emb, alpha=-scale)
            if content_grad is not None:
                content_grad.addmm_(p.T, users, alpha=scale)
            if id_grad is not None:
                id_grad.addmm_(q.T, users, alpha=-scale)
        ctx.save_for_backward(user_grad, content_grad, id_grad)
        return loss * scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        grads = (None if grad is None else grad * grad_output for grad in ctx.saved_tensors)
        return (*grads, None)
