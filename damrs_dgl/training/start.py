"""How the tables of a model begin: from the spectrum of the interactions instead of at random."""

from __future__ import annotations

import scipy.sparse as sp
import torch
from torch import Tensor, nn

from damrs_dgl.data.parts import Interactions
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.models.layers.filters import content_matrix
from damrs_dgl.models.layers.spectrum import truncated_svd

_LEAST = 1e-3  # of the mean length: shorter rows are rounding


@torch.no_grad()
def start_from_spectrum(
    user_table: nn.Parameter,
    item_table: nn.Parameter,
    train: Interactions,
    *,
    spread: float,
    smoothing: sp.csr_matrix | None = None,
) -> None:
    """Fill the tables [U, d] and [I, d] with the truncated SVD of N = D_u^-1/2 R D_i^-1/2, or of N S, rank d.

    Users U s and items V s, each scaled to the standard deviation `spread`: the model begins with what a linear
    low-pass filter knows, and is trained from there. With too small a spread the first epochs forget it (scores near 0
    teach popularity first). `smoothing` is S [I, I] (`content_smoothing`).

    A row that the spectrum does not reach, such as that of an item without interactions (and without neighbours), keeps
    its random start: the direction of a zero row has no gradient (or one of 1e12), and DA-MRS looks at directions.
    """
    num_users, num_items = len(user_table), len(item_table)
    user_vectors, values, item_vectors = truncated_svd(
        train.users, train.items, num_users, num_items, rank=user_table.shape[1], smoothing=smoothing
    )
    for table, vectors in ((user_table, user_vectors), (item_table, item_vectors)):
        _fill(table, vectors * values, spread)


def content_smoothing(graph: dgl.DGLGraph, weight: float) -> sp.csr_matrix | None:
    """S = (1 + w A) / (1 + w) [I, I], A the normalised content graph: clicks on an item count for its neighbours too.

    None where w is 0 or there is no content.
    """
    content = content_matrix(graph) if weight else None
    if content is None:
        return None
    return ((sp.eye(content.shape[0], dtype=content.dtype) + weight * content) / (1 + weight)).tocsr()


def _fill(table: nn.Parameter, vectors: Tensor, spread: float) -> None:
    own = float(vectors.std())
    if own > 0:
        length = vectors.norm(dim=1, keepdim=True)
        reached = (length > _LEAST * length.mean()).to(table.device)
        table.copy_(torch.where(reached, vectors.to(table.device) * (spread / own), table))
