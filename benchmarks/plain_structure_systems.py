"""LATTICE, MICRO and MMSSL in plain torch, with item-item matrices as large as the catalogue; see plain_systems.py."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.plain_system import PlainSystem, Terms, bpr, mean_of_layers, rows_of, squares
from damrs_dgl.models.base import Batch


def nearest(vectors: Tensor, k: int) -> Tensor:
    """Each row's k largest cosines, the others zero, dense [I, I]."""
    unit = F.normalize(vectors, dim=1)
    cosines = unit @ unit.T
    values, places = cosines.topk(k, dim=1)
    return torch.zeros_like(cosines).scatter(1, places, values)


def normalized(matrix: Tensor) -> Tensor:
    """r^-1/2 S r^-1/2 with the row sums r."""
    scale = matrix.sum(dim=1).rsqrt()
    return scale[:, None] * matrix * scale


def nce2(anchors: Tensor, counterparts: Tensor, temperature: float) -> Tensor:
    """GRACE's contrast, both halves of the logits in one matrix."""
    anchors, counterparts = F.normalize(anchors, dim=1), F.normalize(counterparts, dim=1)
    among = (anchors @ anchors.T / temperature).fill_diagonal_(-torch.inf)
    logits = torch.cat([anchors @ counterparts.T / temperature, among], dim=1)
    return F.cross_entropy(logits, torch.arange(len(anchors)))


class PlainStructure(PlainSystem):
    """The graphs of an epoch: with gradient in its first step, then sparse and constant."""

    def prepare(self) -> None:
        self.matrix = self.adjacency("mean_with_self")
        self.given = [normalized(nearest(content, self.config.k)) for content in self.content()]
        self.graphs: list[Tensor] | None = None

    def begin_epoch(self, generator: torch.Generator) -> None:
        self.graphs = None

    def learned(self) -> list[Tensor]:
        """The k nearest items by projected content, for each modality."""
        found = []
        for position in range(len(self.inputs.modalities)):
            vectors = self.linear(self[f"structure.content_{position}"], f"structure.projections.{position}")
            found.append(nearest(vectors, self.config.k))
        return found

    def mix(self) -> list[Tensor]:
        """The graphs that items are convolved over, dense."""
        raise NotImplementedError

    def convolve(self) -> list[Tensor]:
        """The items' vectors by each graph."""
        if self.graphs is not None:
            return [torch.sparse.mm(graph, self["item_table"]) for graph in self.graphs]
        graphs = self.mix()
        self.graphs = [graph.detach().to_sparse_csr() for graph in graphs]
        return [graph @ self["item_table"] for graph in graphs]

    def feedback(self, batch: Batch, content: Tensor) -> Terms:
        users, items = self.split(mean_of_layers(self.matrix, self.tables, self.config.num_layers))
        rows = rows_of(batch, users, items + F.normalize(content, dim=1))
        return {"feedback": bpr(*rows), "regularization": self.config.regularization * squares(*rows)}


class PlainLATTICE(PlainStructure):
    def mix(self) -> list[Tensor]:
        shares, weight = self["structure.modality_logits"].softmax(0), self.config.content_weight
        mined = sum(share * graph for share, graph in zip(shares, self.learned(), strict=True))
        given = sum(share * graph for share, graph in zip(shares, self.given, strict=True))
        return [(1 - weight) * normalized(mined) + weight * given]

    def terms(self, batch: Batch) -> Terms:
        return self.feedback(batch, self.convolve()[0])


class PlainMICRO(PlainStructure):
    def mix(self) -> list[Tensor]:
        weight = self.config.content_weight
        pairs = zip(self.learned(), self.given, strict=True)
        return [(1 - weight) * normalized(mined) + weight * given for mined, given in pairs]

    def terms(self, batch: Batch) -> Terms:
        views = torch.stack(self.convolve())
        shares = (self.linear(views, "attention").tanh() @ self["query"]).softmax(dim=0)
        fused = (shares * views).sum(dim=0)
        contrast = torch.stack([nce2(view, fused, self.config.temperature) for view in views]).sum()
        return self.feedback(batch, fused) | {"contrast": self.config.contrast_weight * contrast}


class PlainMMSSL(PlainSystem):
    """The critic's rows and their gradients are as wide as the catalogue; the same users and hidden width as ours."""

    def make_optimizer(self, learning_rate: float) -> torch.optim.Optimizer:
        critic = [weight for name, weight in self.weights.items() if name.startswith("critic.")]
        rest = [weight for name, weight in self.weights.items() if not name.startswith("critic.")]
        settings = {"lr": self.config.critic_learning_rate, "betas": (0.5, 0.9)}
        self.critic_optimizer = torch.optim.Adam(critic, **settings, fused=True)
        return torch.optim.AdamW(rest, lr=learning_rate, weight_decay=self.config.weight_decay, fused=True)

    def prepare(self) -> None:
        self.matrix = self.adjacency("target_sqrt")
        self.features = list(self.content())
        self.seen = torch.zeros(self.num_users, self.num_items, dtype=self.dtype).index_put_(
            (self.users, self.items), torch.ones((), dtype=self.dtype)
        )
        nobody = torch.empty(0, dtype=torch.int64)
        self.learned = [self.graph_of(nobody, nobody) for _ in self.features]

    def graph_of(self, users: Tensor, items: Tensor) -> Tensor:
        mine, self.users, self.items = (self.users, self.items), users, items
        matrix = self.adjacency("target_sqrt")
        self.users, self.items = mine
        return matrix

    @torch.no_grad()
    def begin_epoch(self, generator: torch.Generator) -> None:
        count = max(1, int(self.config.learned_share * self.num_items))
        for position, (users, items) in enumerate(self.content_vectors(0.0)):
            nearest_items = (users @ items.T).masked_fill_(self.seen > 0, -torch.inf).topk(count, dim=1).indices
            chosen = torch.arange(self.num_users).repeat_interleave(count)
            self.learned[position] = self.graph_of(chosen, nearest_items.reshape(-1))

    def content_vectors(self, share: float) -> list[tuple[Tensor, Tensor]]:
        """Propagated content of users and items."""
        found = []
        for position, content in enumerate(self.features):
            items = F.dropout(self.linear(content, f"projections.{position}"), share)
            none = torch.zeros(self.num_users, items.shape[1], dtype=self.dtype)
            users, _ = self.split(torch.sparse.mm(self.matrix, torch.cat([none, items])))
            _, items = self.split(torch.sparse.mm(self.matrix, torch.cat([users, torch.zeros_like(items)])))
            found.append((users, items))
        return found

    def attend(self, modalities: list[Tensor]) -> Tensor:
        """The modalities of each node over each other, all heads."""
        values, heads = torch.stack(modalities, dim=1), self.config.num_heads
        split = (*values.shape[:2], heads, values.shape[2] // heads)
        queries, keys = ((values @ self[f"attention.{name}"]).view(split).transpose(1, 2) for name in ("query", "key"))
        attention = (queries @ keys.transpose(2, 3) / split[-1] ** 0.5).softmax(dim=-1)
        return (attention @ values.unsqueeze(1)).transpose(1, 2).flatten(2) @ self["attention.output"]

    def encode(self) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]], list[Tensor]]:
        """Final users and items, content vectors, and users by the learned graphs."""
        config, content = self.config, self.content_vectors(self.config.dropout)
        learned = [torch.sparse.mm(graph, self.tables) for graph in self.learned]
        nodes = self.tables + config.attention_rate * F.normalize(self.attend(learned).mean(dim=1), dim=1)
        users, items = self.split(nodes)
        layers = [nodes]
        for layer in range(config.num_layers):
            new_users, _ = self.split(torch.sparse.mm(self.matrix, torch.cat([torch.zeros_like(users), items])))
            users = new_users.softmax(dim=1) if layer == config.num_layers - 1 else new_users
            _, new_items = self.split(torch.sparse.mm(self.matrix, torch.cat([users, torch.zeros_like(items)])))
            items = new_items.softmax(dim=1) if layer == config.num_layers - 1 else new_items
            layers.append(torch.cat([users, items]))
        users, items = self.split(torch.stack(layers).mean(dim=0))
        for content_users, content_items in content:
            users = users + config.content_rate * F.normalize(content_users, dim=1)
            items = items + config.content_rate * F.normalize(content_items, dim=1)
        return users, items, content, [self.split(nodes)[0] for nodes in learned]

    def judge(self, rows: Tensor) -> Tensor:
        """The critic."""
        for layer, share in enumerate((self.config.critic_first_dropout, self.config.critic_second_dropout)):
            rows = F.leaky_relu(rows @ self[f"critic.weights.{layer}"] + self[f"critic.biases.{layer}"])
            scale, shift = self[f"critic.scales.{layer}"], self[f"critic.shifts.{layer}"]
            rows = F.dropout(F.batch_norm(rows, None, None, scale, shift, training=True), share)
        return 100 * (rows @ self["critic.weights.2"] + self["critic.biases.2"])[:, 0].sigmoid()

    def similarity(self, users: Tensor, items: Tensor, seen: Tensor) -> Tensor:
        return F.normalize((users @ items.T) * (1 - seen), dim=1)

    def critic_step(self, batch: Batch) -> Tensor:
        config = self.config
        users = batch.users[: config.critic_users].unique()
        seen = self.seen[users]
        with torch.no_grad():
            final_users, final_items, content, _ = self.encode()
            generated = torch.cat([self.similarity(u[users], i, seen) for u, i in content])
            gumbel = torch.empty_like(seen).exponential_(generator=batch.generator).log()
            similarity = self.similarity(final_users[users], final_items, seen)
            softened = (seen - config.real_noise * gumbel).softmax(dim=1)
            real = F.normalize(softened + config.real_similarity * similarity, dim=1)
        share = torch.rand(len(generated), 1, generator=batch.generator, dtype=self.dtype)
        mixed = share * real.repeat(len(content), 1) + (1 - share) * generated
        mixed.requires_grad_()
        (slope,) = torch.autograd.grad(self.judge(mixed).sum(), mixed, create_graph=True)
        penalty = (slope.norm(dim=1) - 1).square().mean()
        loss = self.judge(generated).mean() - self.judge(real).mean() + config.gradient_penalty * penalty
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        return loss.detach()

    def terms(self, batch: Batch) -> Terms:
        config = self.config
        users, items, content, learned_users = self.encode()
        rows = rows_of(batch, users, items)
        distinct = batch.users.unique()
        contrasts = [nce2(part[distinct], users[distinct], config.temperature) for part in learned_users]
        norms = torch.stack([side.square().sum() for sides in content for side in sides]).sum() / (2 * self.num_items)
        judged = batch.users[: config.critic_users].unique()
        generated = torch.cat([self.similarity(u[judged], i, self.seen[judged]) for u, i in content])
        return {
            "feedback": bpr(*rows),
            "regularization": config.regularization * squares(*rows),
            "contrast": config.contrast_weight * torch.stack(contrasts).sum(),
            "content_regularization": config.content_regularization * norms,
            "adversarial": -config.adversarial_weight * self.judge(generated).mean(),
        }

    def step(self, batch: Batch) -> Terms:
        critic = self.critic_step(batch)
        return super().step(batch) | {"critic": critic}
