"""The leading singular vectors of the normalised interaction matrix: low-pass filters, and tables to start from.

N = D_u^-1/2 R D_i^-1/2 has singular values in [0, 1], and each connected component of the interactions has exactly one
that is 1, with known vectors: the square roots of the degrees in it. A graph of many components (TikTok has 120) so has
a tie that Lanczos methods find in part and random ones cut anywhere. These pairs are written down instead, and only the
rest is iterated: subspace iteration with a Chebyshev filter, whose block also holds what other ties there are.

With a smoothing S of the items, such as their content, the same iteration finds the triples of N S, and knows none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from damrs_dgl.dgl_backend import dgl
from damrs_dgl.models.layers.sparse import csr_from_lists

_ROUNDS = 40  # at most; Baby's 256 vectors take 9
_TOLERANCE = 1e-5  # of |N^T N v - s^2 v|, some thirty times float32's rounding
_AMPLIFICATION = 1e5  # of the first vector by one filter; more would drown the last ones in the first ones' rounding
_ZERO = 1e-6  # singular values below it are rounding
_SEED = 0  # of the start; the vectors do not depend on it beyond rounding, but for ties


class Spectrum(NamedTuple):
    """N ~ users @ diag(values) @ items.T. Shapes [U, k], [k], [I, k], float32; values descend."""

    users: Tensor
    values: Tensor
    items: Tensor


def truncated_svd(
    users: Tensor,
    items: Tensor,
    num_users: int,
    num_items: int,
    rank: int,
    smoothing: sp.csr_matrix | None = None,
) -> Spectrum:
    """The `rank` leading singular triples of N = D_u^-1/2 R D_i^-1/2, R the binary matrix of the training pairs.

    Parameters
    ----------
    users, items: int64 [n], the pairs.  num_users, num_items: U and I.
    rank: k. Beyond min(U, I) - 1, and beyond the rank of N, values and vectors are 0.
    smoothing: S [I, I], symmetric, no singular value above 1: the triples are those of N S, which is never made.

    The same numbers every time on one machine; the largest entry of each item vector is positive. The values that are
    exactly 1 stand first, by the number of interactions of their components, so where `rank` cuts through these the
    small components are left out. Other exact ties (components alike but for their names have the same values) leave
    the vectors open to a rotation, and to a choice where `rank` cuts through them. Singular values are good to about
    1e-6; the last vectors mix with what lies within 1e-4 below them.

    A round costs O((E + I k) k); memory beside the result is some ten tables of [min(U, I), 1.25 k].
    Source: Zhou, Saad, Tiago, Chelikowsky, "Self-consistent-field calculations using Chebyshev-filtered subspace
    iteration", J. Comput. Phys. 219 (2006), for the filter.
    """
    pairs = (users.numpy(), items.numpy())
    matrix = _normalized(sp.csr_matrix((np.ones(len(users)), pairs), shape=(num_users, num_items)))
    wide = num_users < num_items
    # iterate on the shorter side
    product = _Product(matrix.T.tocsr(), after=smoothing) if wide else _Product(matrix, before=smoothing)
    known = _component_vectors(product.matrix) if smoothing is None else sp.csr_matrix((0, product.matrix.shape[1]))
    count = min(rank, min(num_users, num_items) - 1)
    leading = known[: max(count, 0)].toarray().T
    if count > known.shape[0]:
        values, vectors = _iterate(product, known, count - known.shape[0])
        values = np.concatenate([np.ones(known.shape[0]), values])
        vectors = np.concatenate([leading, vectors], axis=1)
    else:
        values, vectors = np.ones(leading.shape[1]), leading
    others = product @ vectors / np.maximum(values, _ZERO)
    left, right = (vectors, others) if wide else (others, vectors)
    signs = _signs(right) * (values > _ZERO)
    return Spectrum(*(_filled(part, rank) for part in (left * signs, values * (values > _ZERO), right * signs)))


class _Product(NamedTuple):
    """A P B for a normalised matrix P, or its transpose, and what smooths its items before or after."""

    matrix: sp.csr_matrix
    before: sp.csr_matrix | None = None
    after: sp.csr_matrix | None = None

    def __matmul__(self, x: np.ndarray) -> np.ndarray:
        found = self.matrix @ (x if self.before is None else self.before @ x)
        return found if self.after is None else self.after @ found


def _filled(part: np.ndarray, rank: int) -> Tensor:
    """The last dimension filled up to `rank` with zeros, float32."""
    found = np.zeros((*part.shape[:-1], rank), dtype=np.float32)
    found[..., : part.shape[-1]] = part
    return torch.from_numpy(found)


def _normalized(matrix: sp.csr_matrix) -> sp.csr_matrix:
    matrix.data[:] = 1
    rows, columns = (np.asarray(matrix.sum(axis)).ravel() for axis in (1, 0))
    scales = [np.where(degree > 0, np.maximum(degree, 1) ** -0.5, 0) for degree in (rows, columns)]
    return (sp.diags(scales[0]) @ matrix @ sp.diags(scales[1])).tocsr()


def _signs(vectors: np.ndarray) -> np.ndarray:
    """+1 or -1 [k] that make the largest entry of each column positive; of equal ones (but for rounding) the first."""
    size = np.abs(vectors)
    first = (size >= (1 - 1e-3) * size.max(axis=0)).argmax(axis=0)
    return np.where(vectors[first, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)


def _component_vectors(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """[c, columns]: the right singular vector to the value 1 of each component, by its number of edges, largest first.

    It is the square root of the degrees in that component, of length 1; with x the right one, N x is the left one.
    """
    rows, columns = matrix.shape
    both = sp.bmat([[None, matrix], [matrix.T, None]], format="csr")
    labels = connected_components(both, directed=False)[1][rows:]
    degrees = np.diff(matrix.tocsc().indptr)
    edges = np.bincount(labels, degrees, minlength=1)
    first = np.full(len(edges), columns)
    np.minimum.at(first, labels, np.arange(columns))
    order = np.lexsort((first, -edges))
    order = order[edges[order] > 0]
    place = np.full(len(edges), -1)
    place[order] = np.arange(len(order))
    inside = np.flatnonzero(place[labels] >= 0)
    values = np.sqrt(degrees[inside] / edges[labels[inside]])
    return sp.csr_matrix((values, (place[labels[inside]], inside)), shape=(len(order), columns))


def _iterate(product: _Product, known: sp.csr_matrix, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` largest singular values [count], and right vectors [columns, count], without the `known` ones.

    The subspace is found in float32 and the vectors within it in float64.
    """
    columns = product.matrix.shape[1]
    width = count + max(32, count // 4)
    basis = np.eye(columns) if width >= columns else _subspace(product, known, count, width)
    basis = np.linalg.qr(basis)[0]
    image, ones = product @ basis, known @ basis
    squares, rotation = np.linalg.eigh(image.T @ image - ones.T @ ones)
    best = np.argsort(-squares, kind="stable")[:count]
    return np.sqrt(np.maximum(squares[best], 0)), basis @ rotation[:, best]


def _subspace(product: _Product, known: sp.csr_matrix, count: int, width: int) -> np.ndarray:
    """An orthonormal basis [columns, width] whose span holds the `count` leading right vectors, float64.

    Each round damps what lies below the smallest Ritz value a: x <- T_m(2 M / a - 1) x with M = N^T N - known, T_m the
    Chebyshev polynomial, which stays within [-1, 1] on [0, a] and grows fast above.
    """
    square = _Square(product, known)
    generator = torch.Generator().manual_seed(_SEED)
    x = torch.randn(product.matrix.shape[1], width, generator=generator)
    filtered = square(x)
    for _ in range(_ROUNDS):
        x = torch.linalg.qr(filtered)[0]
        image = square(x)
        values, rotation = torch.linalg.eigh(x.T @ image)
        x, image = x @ rotation, image @ rotation
        residuals = (image - x * values).norm(dim=0)[-count:]
        if float(residuals.max()) < _TOLERANCE:
            break
        filtered = _chebyshev(square, x, image, float(values[0]), float(values[-1]))
    return x.double().numpy()


def _chebyshev(square: _Square, x: Tensor, image: Tensor, low: float, high: float) -> Tensor:
    """T_m(2 M / low - 1) x, given M x; m such that the vector to `high` grows by no more than _AMPLIFICATION."""
    low = max(low, 1e-3 * high)
    degree = int(np.log(2 * _AMPLIFICATION) / np.arccosh(max(2 * high / low - 1, 1.001)))
    before, now = x, image.mul(2 / low).sub_(x)
    for _ in range(min(max(degree, 2), 20) - 1):
        before, now = now, square(now).mul_(4 / low).sub_(now, alpha=2).sub_(before)
    return now


class _Square:
    """M x = P^T P x - K^T K x in float32 for a product P [rows, columns] and the `known` vectors K [c, columns].

    The product with R is DGL's `copy_u_sum` between node scalings: a third of the time of a sparse matrix product.
    """

    def __init__(self, product: _Product, known: sp.csr_matrix) -> None:
        matrix = product.matrix
        rows, columns = (torch.from_numpy(ids.astype(np.int32)) for ids in matrix.nonzero())
        sizes = {"row": matrix.shape[0], "column": matrix.shape[1]}
        edges = {("column", "up", "row"): (columns, rows), ("row", "down", "column"): (rows, columns)}
        graph = dgl.heterograph(edges, sizes, idtype=torch.int32)
        self.up, self.down = (graph[name].formats("csc") for name in ("up", "down"))
        row_degrees, column_degrees = self.up.in_degrees().clamp(min=1), self.down.in_degrees().clamp(min=1)
        self.column_scale = column_degrees.float().rsqrt()[:, None]
        # twice where the rows are smoothed in between, else at once
        self.row_scale = (1 / row_degrees if product.after is None else row_degrees.float().rsqrt())[:, None]
        self.before, self.after = (
            None if part is None else _torch_csr(part) for part in (product.before, product.after)
        )
        self.known, self.known_transposed = known.astype(np.float32), known.T.tocsr().astype(np.float32)

    def __call__(self, x: Tensor) -> Tensor:
        smooth = x if self.before is None else self.before @ x
        rows = dgl.ops.copy_u_sum(self.up, smooth * self.column_scale)
        rows.mul_(self.row_scale)
        if self.after is not None:
            rows = (self.after @ (self.after @ rows)).mul_(self.row_scale)
        found = dgl.ops.copy_u_sum(self.down, rows).mul_(self.column_scale)
        if self.before is not None:
            found = self.before @ found
        return found.sub_(torch.from_numpy(self.known_transposed @ (self.known @ x.numpy())))


def _torch_csr(matrix: sp.csr_matrix) -> Tensor:
    offsets, columns = (torch.from_numpy(ids.astype(np.int64)) for ids in (matrix.indptr, matrix.indices))
    return csr_from_lists(offsets, columns, torch.from_numpy(matrix.data.astype(np.float32)), matrix.shape)
