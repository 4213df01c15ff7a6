"""LATTICE's and MICRO's item-item graphs written out with full matrices in float64, to compare with."""

from __future__ import annotations

import torch
from torch import Tensor

from damrs_dgl.data.dataset import MultimodalDataset


def cosine_matrix(vectors: Tensor) -> Tensor:
    """All cosines [I, I]; those of zero rows are 0, those of an item with itself 1."""
    lengths = (vectors * vectors).sum(1)
    unit = vectors / torch.where(lengths > 0, lengths, torch.ones_like(lengths)).sqrt()[:, None]
    loops = torch.eye(len(vectors), dtype=torch.bool)
    return torch.where(loops, torch.ones((), dtype=vectors.dtype), unit @ unit.T)


def listed(cosines: Tensor, missing: list[bool], k: int) -> list[list[int]]:
    """Whom each item lists: the k largest of its row, ties to the lower index; a missing one itself alone."""
    lists = []
    for item, row in enumerate(cosines.detach().double().tolist()):
        others = [other for other in range(len(row)) if not missing[other]]
        best = sorted(others, key=lambda other: (-round(row[other], 9), other))[:k]
        lists.append([item] if missing[item] else sorted(best))
    return lists


def chosen(cosines: Tensor, lists: list[list[int]]) -> Tensor:
    """S [I, I]: the listed cosines, differentiable; 0 elsewhere."""
    mask = torch.zeros(cosines.shape, dtype=torch.bool)
    for item, neighbors in enumerate(lists):
        mask[item, neighbors] = True
    return torch.where(mask, cosines, torch.zeros_like(cosines))


def normalized(matrix: Tensor) -> Tensor:
    """D^-1/2 S D^-1/2 with the row sums on both sides; 0 where one is not positive."""
    sums = matrix.sum(1)
    scale = torch.where(sums > 0, torch.where(sums > 0, sums, 1.0) ** -0.5, 0.0)
    return scale[:, None] * matrix * scale[None, :]


def missing_rows(dataset: MultimodalDataset, modality: str) -> list[bool]:
    return dataset.features[modality].missing.tolist()


def content_matrix(dataset: MultimodalDataset, modality: str, k: int) -> Tensor:
    """The normalised graph of a modality's content."""
    cosines = cosine_matrix(dataset.features[modality].block(0, dataset.num_items).double())
    return normalized(chosen(cosines, listed(cosines, missing_rows(dataset, modality), k)))


def learned_matrix(content: Tensor, weight: Tensor, bias: Tensor, missing: list[bool], k: int) -> Tensor:
    """S = kNN(F W + b), not normalised, differentiable in all three."""
    cosines = cosine_matrix(content @ weight + bias)
    return chosen(cosines, listed(cosines, missing, k))


def propagated(interactions: Tensor, users: Tensor, items: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    """The mean of layers 0..L of z_v = (x_v + sum of neighbours) / (d_v + 1); `interactions` is R [U, I]."""
    user_layers, item_layers = [users], [items]
    for _ in range(layers):
        users, items = (
            (users + interactions @ items) / (interactions.sum(1) + 1)[:, None],
            (items + interactions.T @ users) / (interactions.sum(0) + 1)[:, None],
        )
        user_layers.append(users)
        item_layers.append(items)
    return sum(user_layers) / (layers + 1), sum(item_layers) / (layers + 1)


def ranking_terms(users: Tensor, positive: Tensor, negative: Tensor, regularization: float) -> dict[str, Tensor]:
    """BPR, and half the mean squared norm of the rows that rank; [B, d] each."""
    difference = (users * positive).sum(1) - (users * negative).sum(1)
    terms = {"feedback": torch.log1p(torch.exp(-difference)).mean()}
    if regularization:
        squares = (users**2).sum() + (positive**2).sum() + (negative**2).sum()
        terms["regularization"] = regularization * squares / (2 * len(users))
    return terms
