"""The training objective again: loops over pairs, users, items and relations, in float64, from equations 3 to 11.

Nothing of the package computes here but the graph. Whatever has a gradient is a plain torch expression, so that
autograd through this file is the reference for every gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from damrs_dgl.dgl_backend import dgl
from damrs_dgl.models.base import Batch


@dataclass
class Vectors:
    """Eq. 3: users u, items t, ID items h^id, and h^m by relation."""

    users: Tensor
    items: Tensor
    id_items: Tensor
    relations: list[Tensor]

    def content(self) -> Tensor:
        return sum(self.relations) / len(self.relations)  # type: ignore[return-value]


@dataclass
class Settings:
    """The hyper-parameters of sections 4 to 7."""

    alpha: float = 1.5
    beta: float = 2.0
    gamma: float = 2.0
    k: int = 3
    temperature: float = 0.2
    strategy: str = "AI"
    preference_weight: float = 0.7
    relation_weight: float = 0.3
    regularization: float = 0.1
    gap: bool = False  # Eq. 7 by the gap of two probabilities
    inputs: bool = True  # whose norms are held small: the vectors before propagation
    everything: bool = False  # which items are dissimilar in L_AI: all, or the batch's


def root(degree: float) -> Tensor:
    """d^-1/2 as the package stores it, in float32."""
    return (
        torch.tensor(degree, dtype=torch.float32).rsqrt().double() if degree else torch.zeros((), dtype=torch.float64)
    )


def adjacency(graph: dgl.DGLGraph, relation: str, *, item_item: bool) -> Tensor:
    """A_hat [targets, sources]; an item-item relation takes row sums on both sides."""
    part = graph[relation]
    weights = part.edata["weight"].tolist() if "weight" in part.edata else [1.0] * part.num_edges()
    matrix = torch.zeros(part.num_dst_nodes(), part.num_src_nodes(), dtype=torch.float64)
    for source, target, weight in zip(*(ids.tolist() for ids in part.edges()), weights, strict=True):
        matrix[target, source] = weight
    rows = torch.stack([root(float(d)) for d in matrix.sum(1)])
    columns = rows if item_item else torch.stack([root(float(d)) for d in matrix.sum(0)])
    return rows[:, None] * matrix * columns[None, :]


def propagate(
    graph: dgl.DGLGraph, relations: list[str], users: Tensor, items: Tensor, *, layers: int | None, summed: bool
) -> Vectors:
    """Section 3: the backbone (LightGCN, or MF for `layers` None), one convolution per relation, and their fusion."""
    id_users, id_items = users, items
    if layers is not None:
        to_items = adjacency(graph, "interacts", item_item=False)
        to_users = adjacency(graph, "interacted_by", item_item=False)
        states = [(users, items)]
        for _ in range(layers):
            u, i = states[-1]
            states.append((to_users @ i, to_items @ u))
        id_users = torch.stack([u for u, _ in states]).mean(0)
        id_items = torch.stack([i for _, i in states]).mean(0)
    hidden = [adjacency(graph, name, item_item=True) @ items for name in relations]
    mean = sum(hidden) / len(hidden)
    return Vectors(id_users, id_items + mean if summed else (id_items + mean) / 2, id_items, hidden)


def unit(vector: Tensor) -> Tensor:
    return vector / vector.norm()


def triples(batch: Batch) -> list[tuple[int, int, int]]:
    assert batch.negative_items is not None
    return list(zip(batch.users.tolist(), batch.positive_items.tolist(), batch.negative_items.tolist(), strict=True))


def confidences(vectors: Vectors, batch: Batch, s: Settings, *, authors: bool) -> list[tuple[float, float]]:
    """(f, g) of each triple, section 4; plain numbers, so without gradient."""

    def score(user: int, item: int, m: int) -> float:
        row = vectors.relations[m][item]
        return float(vectors.users[user] @ (unit(row) if authors else row))

    def sigmoid(x: float) -> float:
        return float(1 / (1 + torch.exp(torch.tensor(-x, dtype=torch.float64))))

    count = len(vectors.relations)
    if authors:
        liked = [sigmoid(score(u, j, m)) for u, _, j in triples(batch) for m in range(count)]
    else:
        liked = [sigmoid(float(vectors.users[u] @ vectors.items[j])) for u, _, j in triples(batch)]
    level = sum(liked) / len(liked)
    found = []
    for u, i, _ in triples(batch):
        raw = [score(u, i, m) for m in range(count)]
        p = [sigmoid(x) for x in raw]
        mu = sum(p) / count
        variance = sum((x - mu) ** 2 for x in p) / (count - 1 if authors else count)
        f = mu**s.alpha * float(torch.exp(torch.tensor(-variance, dtype=torch.float64))) ** s.beta
        if mu >= level:
            g = 0.0
        elif s.gap:
            g = min(max(max(p) - level, 0.0), 1.0) ** s.gamma
        else:
            g = sigmoid(max(raw) - level) ** s.gamma
        found.append((f, g))
    return found


def feedback(vectors: Vectors, batch: Batch, fg: list[tuple[float, float]], *, authors: bool) -> Tensor:
    """Section 4: Eq. 8, or the authors' weighted form."""
    losses = []
    for (u, i, j), (f, g) in zip(triples(batch), fg, strict=True):
        p = torch.sigmoid(vectors.users[u] @ (vectors.items[i] - vectors.items[j]))
        losses.append(-(f * torch.log(p) + g * torch.log(1 - p)) if authors else -torch.log(f * p + g * (1 - p)))
    return torch.stack(losses).mean()


def preference(vectors: Vectors, batch: Batch, *, authors: bool) -> Tensor:
    """Section 5: both divergences, user by user."""
    content = vectors.content()
    losses = []
    for u in sorted({u for u, _, _ in triples(batch)}):
        user = vectors.users[u]
        if not authors:
            p = torch.exp(content @ user) / torch.exp(content @ user).sum()
            q = torch.exp(vectors.id_items @ user) / torch.exp(vectors.id_items @ user).sum()
            losses.append((p * torch.log(p / q)).sum() + (q * torch.log(q / p)).sum())
            continue
        for item in batch_items(batch):
            p, q = (torch.sigmoid(user @ unit(table[item])) for table in (content, vectors.id_items))
            for a, b in ((p, q), (q, p)):
                losses.append(a * torch.log(a / b) + (1 - a) * torch.log((1 - a) / (1 - b)))
    # Two divergences were listed for each (user, item) pair of the authors' form.
    return torch.stack(losses).mean() * (2 if authors else 1)


def batch_items(batch: Batch) -> list[int]:
    return sorted({item for _, i, j in triples(batch) for item in (i, j)})


def item_relations(vectors: Vectors, batch: Batch, s: Settings, *, authors: bool) -> Tensor:
    """Section 6: sets by sorting, sums over Python lists."""
    cosines = []
    for table in vectors.relations:
        rows = torch.stack([unit(row) for row in table])
        cosines.append(rows @ rows.T)
    everything = range(len(cosines[0]))
    epsilon = 1e-9 if authors else 0.0
    losses = []
    for i in batch_items(batch):
        shares = [(torch.exp(c[i]) / torch.exp(c[i]).sum()).tolist() for c in cosines]
        for m, cosine in enumerate(cosines):
            graded = [shares[m][j] + sum(share[j] for share in shares) for j in everything]
            similar = sorted(everything, key=lambda j: -graded[j])[: s.k]
            rest = [j for j in everything if j not in similar]
            less = sorted(rest, key=lambda j: -shares[m][j])[: s.k]
            candidates = everything if s.everything else batch_items(batch)
            others = [j for j in candidates if j not in similar and j not in less]
            phi = torch.exp(cosine[i] / s.temperature)
            r, t, n = phi[similar].sum(), phi[less].sum(), phi[others].sum()
            if s.strategy == "SP":
                losses.append(-torch.log((r + t) / (r + t + n) + epsilon))
                continue
            loss = -torch.log(r / (r + t + n) + epsilon)
            if s.strategy == "AI":
                loss = loss - torch.log(t / (t + n) + epsilon)
            losses.append(loss)
    return torch.stack(losses).mean()


def regularizer(vectors: Vectors, batch: Batch, tables: tuple[Tensor, Tensor], s: Settings) -> Tensor:
    """Half the squares of the batch's rows of the tables; or, as the authors, Frobenius norms of the fused vectors."""
    size = len(batch.users)
    if not s.inputs:
        assert batch.negative_items is not None
        rows = (vectors.users[batch.users], vectors.items[batch.positive_items], vectors.items[batch.negative_items])
        return sum(part.square().sum().sqrt() for part in rows) / size  # type: ignore[return-value]
    users, items = tables
    total = torch.zeros((), dtype=torch.float64)
    for u, i, j in triples(batch):
        total = total + (users[u] @ users[u] + items[i] @ items[i] + items[j] @ items[j]) / 2
    return total / size


def above_and_below(values: list[float]) -> bool:
    """Whether a list holds zeros and others, so that a test has seen both cases."""
    return any(a != b for a, b in pairwise(sorted(bool(v) for v in values)))
