"""The keys of [training]."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from damrs_dgl.settings import Count, Name, Section, Seed, Weight


class TrainingKeys(Section):
    """How it is trained."""

    learning_rate: float = Field(default=1e-3, gt=0, le=1, description="Learning rate of Adam")
    learning_rate_decay: float = Field(
        default=1.0, gt=0, le=1, description="The learning rate is multiplied by it over 50 epochs, evenly; 1: it stays"
    )
    batch_size: Literal["auto"] | Count = Field(
        default="auto",
        description="Interactions a step, with one sampled negative each where the model wants one. auto: by the "
        "number of training interactions, from 256 to 8192",
    )
    epochs: int = Field(default=1000, ge=1, description="Epochs at most")
    patience: Literal["auto"] | Count = Field(
        default="auto",
        description="Stop after so many evaluations without a better score. auto: as many as make 500 steps, "
        "at least 10, and more while the score climbs back from a dip",
    )
    start: Literal["random", "spectral"] = Field(
        default="random",
        description="The tables before training: Xavier-uniform, or the truncated SVD of the normalised interactions "
        "where the model has such tables",
    )
    start_spread: Literal["auto"] | Annotated[float, Field(gt=0, le=10)] = Field(
        default="auto",
        description="Standard deviation of the tables after a spectral start. auto: 0.0025 times the mean "
        "number of interactions of a user",
    )
    start_content: Weight = Field(
        default=0.0,
        le=10,
        description="Spectral start: how much a click on an item counts for its neighbours in the content graphs; 0, "
        "and for systems that see no content: interactions alone",
    )
    seed: Seed = Field(default=0, description="Seed of the initial embeddings and all sampling")
    matmul_precision: Literal["highest", "high", "medium"] = Field(
        default="highest",
        description="Matrix products of training in float32; high: TF32, medium: bfloat16, where the hardware has it",
    )
    evaluate_every: int = Field(default=1, ge=1, description="Epochs between two evaluations on the validation split")
    monitor: Name = Field(
        default="recall@20", description="The validation score: recall, precision, ndcg or map at one of evaluation.ks"
    )
