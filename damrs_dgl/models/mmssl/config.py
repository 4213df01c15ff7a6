"""The keys of MMSSL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, model_validator

from damrs_dgl.models.bpr import RegularizedConfig


class MMSSLConfig(RegularizedConfig):
    """The keys of MMSSL; those of the critic bound its memory, which grows with the catalogue."""

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "original": {"training.batch_size": 1024, "training.learning_rate": 5.5e-4},
        "authors": {
            "model.weight_decay": 1e-5,
            "training.batch_size": 4096,
            "training.learning_rate": 5.5e-4,
        },
    }

    num_layers: int = Field(default=2, ge=0, le=10, description="Layers of user-item propagation")
    content_layers: int = Field(
        default=1, ge=1, le=4, description="Times that content goes from items to users and back"
    )
    num_heads: int = Field(default=4, ge=1, le=64, description="Attention heads across modalities; they divide dim")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="Share of projected content that is dropped")
    attention_rate: float = Field(
        default=0.36, ge=0, description="Length of what the learned graphs add to a node's ID vector"
    )
    content_rate: float = Field(
        default=0.55, ge=0, description="Length of what each modality adds to a node's final vector"
    )
    learned_share: float = Field(
        default=1e-4, ge=0, le=1, description="Learned edges per user as a share of the catalogue; at least one"
    )
    regularization: float = Field(default=1e-5, ge=0, description="Weight of the squares of the batch's final vectors")
    content_regularization: float = Field(
        default=1e-5, ge=0, description="Weight of the squares of all content vectors"
    )
    contrast_weight: float = Field(
        default=0.03, ge=0, description="Weight of the contrast of users' modality vectors with their final ones"
    )
    temperature: float = Field(default=0.5, gt=0, description="Of the contrast's cosines; usual 0.1 to 1")
    adversarial_weight: float = Field(
        default=1e-4, ge=0, description="Weight of the critic's judgement in the loss; 0: no critic is trained"
    )
    critic_learning_rate: float = Field(default=3e-4, gt=0, description="Of the critic's own Adam")
    critic_users: int = Field(
        default=256,
        ge=1,
        description="Pairs of a batch whose users the critic sees; each takes M + 1 rows of all items",
    )
    critic_width: int = Field(
        default=512, ge=1, description="Upper bound of the critic's first hidden layer, else a quarter of all items"
    )
    critic_first_dropout: float = Field(default=0.31, ge=0, lt=1, description="In the critic's first hidden layer")
    critic_second_dropout: float = Field(default=0.5, ge=0, lt=1, description="In the critic's second hidden layer")
    gradient_penalty: float = Field(default=0.3, ge=0, description="Weight of the penalty that holds gradients near 1")
    real_noise: float = Field(
        default=2e-3,
        ge=0,
        description="Scale of the Gumbel noise on the critic's real rows (1e-5 / 0.005 in the paper)",
    )
    real_similarity: float = Field(default=100.0, ge=0, description="Weight of final similarities in the real rows")
    weight_decay: float = Field(default=0.01, ge=0, description="Decoupled decay (AdamW) of all but the critic")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> MMSSLConfig:
        if self.dim % self.num_heads:
            raise ValueError(f"num_heads = {self.num_heads} does not divide dim = {self.dim}")
        return self
