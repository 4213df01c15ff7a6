"""MMSSL (Wei et al., "Multi-modal self-supervised learning for recommendation", WWW 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from damrs_dgl.losses.bpr import squared_norm
from damrs_dgl.losses.contrast import symmetric_info_nce
from damrs_dgl.models.base import Batch, Encoded, ModelConfig, ModelInputs
from damrs_dgl.models.bpr import BPRModel
from damrs_dgl.models.core.optimizers import Adam
from damrs_dgl.models.core.outputs import own_pass
from damrs_dgl.models.core.ranges import AUTHORS, LEARNING_RATES, Range, Space
from damrs_dgl.models.layers.content import Projection
from damrs_dgl.models.layers.dropout import dropout
from damrs_dgl.models.layers.propagation import BipartiteConvolution
from damrs_dgl.models.layers.rows import unit_rows
from damrs_dgl.models.mmssl.attention import ModalityAttention
from damrs_dgl.models.mmssl.config import MMSSLConfig
from damrs_dgl.models.mmssl.critic import Critic, critic_loss, real_rows, similarity_rows
from damrs_dgl.models.mmssl.learned_graph import NONE, learned_convolution, nearest_unseen
from damrs_dgl.models.registry import register
from damrs_dgl.user_items import UserItems


@dataclass(frozen=True)
class MMSSLEncoded(Encoded):
    """Encoded with what the self-supervised terms look at, each one tensor per modality.

    content: x^m, content propagated, of users and items, [U, d] and [I, d].  learned_users: y^m_U, [U, d].
    """

    content: list[tuple[Tensor, Tensor]]
    learned_users: list[Tensor]


@register
class MMSSL(BPRModel):
    """Adversarially learned user-item graphs per modality, and contrast of modalities with the whole.

    H is the sum over a node's neighbours times its degree^-1/2; rn makes rows of length 1.

        x^m_U = H drop(f^m W_m + b_m),  x^m_I = H x^m_U
        y^m_U = H_m I,  y^m_I = H_m U                    over learned edges, z: attention of the y^m over each other
        u^0 = U + .36 rn(z_U), i^0 likewise;  u^{l+1} = H i^l,  i^{l+1} = H u^{l+1}, the last pair through softmax
        final = mean_l + .55 sum_m rn(x^m)

    Learned edges: for each user the items of the largest x^m_u . x^m_i that it has not met, mined anew before each
    epoch from content without dropout; none until the first epoch begins. The loss is BPR, squares of final and
    content vectors, GRACE's contrast of y^m with final users (each of the batch once), and -mean D(S^m), S^m =
    rn(x^m_u x^m_I^T off the training items), for a critic D that is trained one step before each of the model's
    (critic.py).

    Time: O(M E d + M |I| D d) a step and O(M b |I| (d + h)) for a critic of width h on b users; O(M |U| |I| d) an
    epoch. Memory: about 2 (2 M + 1) b |I| values for rows, and 4 |I| h for the critic with its moments.
    """

    name = "mmssl"
    Config: ClassVar[type[ModelConfig]] = MMSSLConfig
    search_space: ClassVar[Space] = {
        **LEARNING_RATES,
        "model.contrast_weight": Range(1e-3, 0.3, log=True),
        "model.regularization": Range(1e-6, 1e-3, log=True),
        "model.dropout": Range(0.0, 0.5),
        "model.num_layers": (1, 2, 3),
    }
    grid: ClassVar[Space] = {**AUTHORS, "training.learning_rate": (5.5e-4,), "model.num_layers": (1, 2, 3, 4)}
    needs_content = True
    logged_only = frozenset({"critic"})
    citation = "Wei et al., Multi-modal self-supervised learning for recommendation, WWW 2023"
    config: MMSSLConfig
    learned_edges: Tensor

    def __init__(self, inputs: ModelInputs, config: MMSSLConfig) -> None:
        super().__init__(inputs, config)
        self.device = inputs.device
        self.projections = nn.ModuleList()
        for position, modality in enumerate(inputs.modalities):
            content = inputs.content(modality)
            self.register_buffer(f"content_{position}", content, persistent=False)
            self.projections.append(Projection(inputs, content.shape[1], config.dim))
        self.convolution = BipartiteConvolution(inputs.graph, inputs.device, normalization="target_sqrt")
        self.attention = ModalityAttention(inputs, config.dim, config.num_heads)
        hidden = max(1, min(inputs.num_items // 4, config.critic_width))
        self.critic = Critic(inputs, hidden, (config.critic_first_dropout, config.critic_second_dropout))
        train = inputs.dataset.train
        self.seen = UserItems.from_pairs(train.users, train.items, inputs.num_users).to(inputs.device)
        count = min(inputs.num_items, max(1, int(config.learned_share * inputs.num_items)))
        size = (len(inputs.modalities), inputs.num_users, count)
        self.register_buffer("learned_edges", torch.full(size, NONE, dtype=torch.int32, device=inputs.device))
        self._use_learned_edges()
        self.register_load_state_dict_post_hook(_use_loaded_edges)

    def _use_learned_edges(self) -> None:
        num_items = len(self.item_table)
        self.learned = nn.ModuleList(learned_convolution(e, num_items, self.device) for e in self.learned_edges)

    def on_epoch_start(self, epoch: int, generator: torch.Generator) -> None:
        with torch.no_grad():
            content = self._content(None)
        for position, (users, items) in enumerate(content):
            self.learned_edges[position] = nearest_unseen(users, items, self.seen, self.learned_edges.shape[2])
        self._use_learned_edges()

    def _content(self, generator: torch.Generator | None) -> list[tuple[Tensor, Tensor]]:
        """x^m of users and items, [U, d] and [I, d], per modality."""
        found = []
        for position, projection in enumerate(self.projections):
            items = dropout(projection(self.get_buffer(f"content_{position}")), self.config.dropout, generator)
            for _ in range(self.config.content_layers):
                users = self.convolution.to_users(items)
                items = self.convolution.to_items(users)
            found.append((users, items))
        return found

    def _propagate(self, generator: torch.Generator | None) -> MMSSLEncoded:
        config = self.config
        content = self._content(generator)
        learned = [convolution(self.user_table, self.item_table) for convolution in self.learned]
        learned_users = [users for users, _ in learned]
        users = self.user_table + config.attention_rate * unit_rows(self.attention(learned_users))
        items = self.item_table + config.attention_rate * unit_rows(self.attention([items for _, items in learned]))
        user_sum, item_sum = users, items
        for layer in range(config.num_layers):
            last = layer == config.num_layers - 1
            users = self.convolution.to_users(items)
            users = users.softmax(dim=1) if last else users
            items = self.convolution.to_items(users)
            items = items.softmax(dim=1) if last else items
            user_sum, item_sum = user_sum + users, item_sum + items
        users, items = user_sum / (config.num_layers + 1), item_sum / (config.num_layers + 1)
        for content_users, content_items in content:
            users = users + config.content_rate * unit_rows(content_users)
            items = items + config.content_rate * unit_rows(content_items)
        return MMSSLEncoded(users, items, self.user_table, self.item_table, content, learned_users)

    def encode(self) -> MMSSLEncoded:
        return self._propagate(None)

    def encode_batch(self, batch: Batch) -> MMSSLEncoded:
        return self._propagate(self._generator(batch))

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        encoded = self.encode_batch(batch)
        terms = self.losses(batch, encoded)
        if self.config.adversarial_weight:
            *_, rows = self._critic_rows(batch, encoded)
            judged = self.critic.mean_of(rows, self._generator(batch))
            terms["adversarial"] = -self.config.adversarial_weight * judged
        return terms

    def regularizer(self, batch: Batch, encoded: Encoded, users: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return squared_norm(users, positive, negative)  # of what ranks

    def auxiliary_losses(self, batch: Batch, encoded: Encoded) -> dict[str, Tensor]:
        """Contrast and squares of content vectors.

        The critic's judgement is `training_step`'s alone: round MMSSL nobody would train the critic.
        """
        encoded = own_pass(encoded, MMSSLEncoded)
        config, users = self.config, batch.distinct_users
        terms = {}
        if config.contrast_weight:
            final = embedding(users, encoded.users)
            contrasts = [
                symmetric_info_nce(embedding(users, learned), final, temperature=config.temperature)
                for learned in encoded.learned_users
            ]
            terms["contrast"] = config.contrast_weight * torch.stack(contrasts).sum()
        if config.content_regularization:
            squares = [side.square().sum() for sides in encoded.content for side in sides]
            content_norm = torch.stack(squares).sum() / (2 * len(self.item_table))
            terms["content_regularization"] = config.content_regularization * content_norm
        return terms

    def _generator(self, batch: Batch) -> torch.Generator | None:
        return batch.generator if self.training else None

    def _critic_rows(self, batch: Batch, encoded: MMSSLEncoded) -> tuple[Tensor, Tensor, Tensor]:
        """Users of the batch's first pairs [b], R [b, I], and S^m one modality after the other [M b, I]."""
        users = batch.users[: self.config.critic_users].unique()
        seen = encoded.users.new_zeros(len(users), len(encoded.items))
        seen[self.seen.pairs_of(users)] = 1
        return users, seen, torch.cat([similarity_rows(embedding(users, u), i, seen) for u, i in encoded.content])

    def critic_step(self, batch: Batch, optimizer: Adam) -> Tensor:
        """One step of the critic on a forward pass of its own; returns its loss, without gradient."""
        config, generator = self.config, batch.generator
        optimizer.zero_grad()
        with torch.no_grad():
            encoded = self._propagate(self._generator(batch))
            users, seen, generated = self._critic_rows(batch, encoded)
            similarity = similarity_rows(embedding(users, encoded.users), encoded.items, seen)
            scales = {"noise": config.real_noise, "similarity_scale": config.real_similarity}
            real = real_rows(seen, similarity, **scales, generator=generator)
        loss = critic_loss(self.critic, real, generated, penalty=config.gradient_penalty, generator=generator)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def configure_optimizers(self, learning_rate: float) -> dict[str, Adam]:
        critic = set(self.critic.parameters())
        rest = [parameter for parameter in self.parameters() if parameter not in critic]
        optimizers = {"model": Adam(rest, lr=learning_rate, weight_decay=self.config.weight_decay, decoupled=True)}
        if self.config.adversarial_weight:
            optimizers["critic"] = Adam(self.critic.parameters(), lr=self.config.critic_learning_rate, betas=(0.5, 0.9))
        return optimizers

    def optimize(self, batch: Batch, optimizers: Mapping[str, Adam]) -> dict[str, Tensor]:
        """A step of the critic, where there is one, and then of the model."""
        judged = {"critic": self.critic_step(batch, optimizers["critic"])} if "critic" in optimizers else {}
        return super().optimize(batch, {"model": optimizers["model"]}) | judged


def _use_loaded_edges(model: MMSSL, _: Any) -> None:
    model._use_learned_edges()
