"""What the systems that are trained by BPR have in common (Rendle et al., UAI 2009)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from damrs_dgl.losses.bpr import bpr, norm_sum, squared_norm
from damrs_dgl.models.base import Batch, Encoded, ModelInputs, PresetTableConfig, TableModel, pair_scores
from damrs_dgl.models.core.configs import Negatives
from damrs_dgl.models.layers.rows import rows_of


class RegularizedConfig(PresetTableConfig):
    """The keys of a system that is trained by BPR and a regulariser."""

    regularization: float = Field(default=1e-4, ge=0, description="Weight of the regulariser; usual 0 to 1")


class BPRConfig(RegularizedConfig):
    """The keys of one whose regulariser is a norm of vectors."""

    norm: Literal["squared", "unsquared"] = Field(
        default="squared",
        description="Regulariser: squares of the batch's input vectors, or MMRec's unsquared norms of what ranks",
    )


class HardestNegativeConfig(BPRConfig):
    """The keys of one that may rank a click above the hardest of several items."""

    negatives: Negatives = 1


class BPRModel(TableModel):
    """A system that is trained by BPR over `encode`, with a regulariser and its own auxiliary losses."""

    config: RegularizedConfig

    def __init__(self, inputs: ModelInputs, config: RegularizedConfig, *, user_dim: int | None = None) -> None:
        super().__init__(inputs, config, user_dim=user_dim)
        if isinstance(config, HardestNegativeConfig):
            self.num_negatives = config.negatives

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        return self.losses(batch, self.encode_batch(batch))

    def losses(self, batch: Batch, encoded: Encoded) -> dict[str, Tensor]:
        """The terms of a batch whose indices are those of the rows of `encoded`."""
        batch = batch.with_hardest_negatives(encoded.users, encoded.items)
        users = rows_of(encoded.users, batch.users)
        positive, negative = rows_of(encoded.items, batch.pair_items).chunk(2)
        terms = {"feedback": bpr(pair_scores(users, positive), pair_scores(users, negative))}
        terms |= self.auxiliary_losses(batch, encoded)
        if self.config.regularization:
            terms["regularization"] = self.config.regularization * self.regularizer(
                batch, encoded, users, positive, negative
            )
        return terms

    def regularizer(self, batch: Batch, encoded: Encoded, users: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """What `regularization` weighs, a scalar; `users`, `positive`, `negative`: the batch's rows.

        By default a norm, squared where the keys give no choice.
        """
        if isinstance(self.config, BPRConfig) and self.config.norm == "unsquared":
            return norm_sum(users, positive, negative)
        if encoded.user_input is encoded.users and encoded.item_input is encoded.items:
            return squared_norm(users, positive, negative)  # the rows at hand
        return squared_norm(rows_of(encoded.user_input, batch.users), rows_of(encoded.item_input, batch.pair_items))
