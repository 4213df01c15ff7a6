"""What says "noise" without the model: simple scores of a click, each computed as if the click were not there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.linalg
import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.errors import DataError

EASE_MOST_ITEMS = 20_000  # |I|^2 float64 is held once and once more: 6.4 GB
_BLOCK = 4096  # clicks at a time


def check_ease_fits(dataset: MultimodalDataset) -> None:
    """Raise DataError for more items than EASE's matrix is held for."""
    if dataset.num_items > EASE_MOST_ITEMS:
        raise DataError(
            f"EASE's scorer inverts a matrix of {dataset.num_items:,} x {dataset.num_items:,} items",
            where="audit",
            fix=f"it is for up to {EASE_MOST_ITEMS:,} items; take another --scorer",
        )


def ease_without_click(dataset: MultimodalDataset, *, regularization: float = 200.0) -> np.ndarray:
    """EASE's score of each training click after that very click is removed from the data; float64 [n].

    With P = (R^T R + lambda I)^-1, u's history x, a = (P x)_i and q = x^T P x, EASE gives the click 1 - a / P_ii. The
    weights towards i are a ridge regression of column i on the other columns, in which the click is one target: taking
    it from 1 to 0 lowers the fit there by its leverage h = q - a^2 / P_ii (Schur's complement of P_ii). So the score
    without it is 1 - a / P_ii - h, exactly. O(|I|^3 + sum_u d_u^2) time, |I|^2 numbers: refused above 20,000 items.
    """
    check_ease_fits(dataset)
    matrix = dataset.train.matrix(dataset.num_users, dataset.num_items, np.float64)
    gram = (matrix.T @ matrix).toarray()
    gram[np.diag_indices_from(gram)] += regularization
    lower = scipy.linalg.cholesky(gram, lower=True, overwrite_a=True, check_finite=False)
    inverse = scipy.linalg.lapack.dpotri(lower, lower=1, overwrite_c=1)[0]
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    diagonal = np.diag(inverse).copy()
    users, items = dataset.train.users.numpy(), dataset.train.items.numpy()
    found = np.zeros(len(users))
    for distinct, rows in _users_in_blocks(users, dataset.num_users):
        product = matrix[distinct] @ inverse  # P x of each user, [b, I]
        place = np.searchsorted(distinct, users[rows])
        leverage = np.asarray(matrix[distinct].multiply(product).sum(1)).ravel()[place]
        at_click, own = product[place, items[rows]], diagonal[items[rows]]
        found[rows] = 1 - at_click / own - (leverage - at_click**2 / own)
    return found


def itemknn_without_click(dataset: MultimodalDataset, *, shrink: float = 50.0) -> np.ndarray:
    """ItemKNN's score of each training click after that click is removed, over all neighbours; float64 [n].

    sum over the user's other items j of (n_ij - 1) / (sqrt((d_i - 1) d_j) + shrink): the click is one of the n_ij users
    that chose both and of the d_i that chose i. Exact as no neighbour is cut; O(sum_u d_u^2) time.
    """
    matrix = dataset.train.matrix(dataset.num_users, dataset.num_items, np.float64)
    by_item = matrix.T.tocsr()
    degree = np.diff(by_item.indptr).astype(np.float64)
    users, items = dataset.train.users.numpy(), dataset.train.items.numpy()
    order = np.lexsort((users, items))  # the order of by_item's entries
    found = np.zeros(len(users))
    for item in np.flatnonzero(degree):
        part = slice(by_item.indptr[item], by_item.indptr[item + 1])
        histories = matrix[by_item.indices[part]]
        together = np.asarray(histories.sum(0)).ravel()
        similarity = (together - 1) / (np.sqrt((degree[item] - 1) * degree) + shrink)
        similarity[item] = 0
        found[order[part]] = histories @ similarity
    return found


def popularity_without_click(dataset: MultimodalDataset) -> np.ndarray:
    """How many other users chose the item; float64 [n]."""
    items = dataset.train.items
    return (torch.bincount(items, minlength=dataset.num_items)[items] - 1).double().numpy()


def content_fit_without_click(dataset: MultimodalDataset) -> np.ndarray:
    """Cosine of the item's content to the mean of the user's other items', averaged over the modalities; float64 [n].

    0 where no modality has both. Rows are scaled to length 1 first. Raises DataError where there is no content.
    """
    if not dataset.features:
        raise DataError("there is no content to compare", where="audit", fix="take another --scorer")
    users, items = dataset.train.users.numpy(), dataset.train.items.numpy()
    matrix = dataset.train.matrix(dataset.num_users, dataset.num_items, np.float64)
    total, voices = np.zeros(len(users)), np.zeros(len(users))
    for features in dataset.features.values():
        rows = torch.nn.functional.normalize(features.block(0, dataset.num_items), dim=1).numpy()
        sums = np.asarray(matrix @ rows, dtype=np.float32)
        for start in range(0, len(users), _BLOCK):
            part = slice(start, start + _BLOCK)
            own = rows[items[part]]
            others = sums[users[part]] - own
            length = np.linalg.norm(others, axis=1)
            there = (length > 1e-6) & ~features.missing[items[part]]
            cosine = (own * others).sum(1) / np.where(length > 1e-6, length, 1)
            total[part] += np.where(there, cosine, 0)
            voices[part] += there
    return total / np.maximum(voices, 1)


def _users_in_blocks(users: np.ndarray, num_users: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(some users ascending, the places of all their clicks), all users that have any."""
    order = np.argsort(users, kind="stable")
    starts = np.searchsorted(users[order], np.arange(num_users + 1))
    for first in range(0, num_users, 256):
        last = min(first + 256, num_users)
        rows = order[starts[first] : starts[last]]
        if len(rows):
            yield np.unique(users[rows]), rows
