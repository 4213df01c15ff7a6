"""EASE (Steck, "Embarrassingly shallow autoencoders for sparse data", WWW 2019)."""

from __future__ import annotations

from typing import ClassVar

import scipy.sparse as sp
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import embedding_bag

from damrs_dgl.errors import RecipeError
from damrs_dgl.models.base import ClosedFormModel, ModelConfig, ModelInputs
from damrs_dgl.models.core.ranges import Range, Space
from damrs_dgl.models.registry import register
from damrs_dgl.progress import OnProgress, silent
from damrs_dgl.scoring import Scorer

_MATRICES = 3  # of |I|^2 float32 at the same time, at the worst moment


class EASEConfig(ModelConfig):
    """The keys of EASE."""

    regularization: float = Field(default=200.0, gt=0, description="L2 weight lambda; usual 50 to 1000")
    max_items: int = Field(
        default=20_000, ge=1, description="Refuse more items: |I|^2 numbers are held three times while it is computed"
    )


@register
class EASE(ClosedFormModel):
    """A linear autoencoder without self-weights: P = (R^T R + lambda I)^-1, W_ij = -P_ij / P_jj, W_ii = 0; scores R W.

    O(|I|^3) time. |I|^2 float32 in the checkpoint and three times that while it is computed: 0.6 GB for 7,050 items,
    4.8 GB for 20,000. Raises RecipeError above `max_items`.
    """

    name = "ease"
    reads_content = False
    Config: ClassVar[type[ModelConfig]] = EASEConfig
    search_space: ClassVar[Space] = {"model.regularization": Range(1.0, 5000.0, log=True)}
    grid: ClassVar[Space] = {"model.regularization": (10.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0)}
    citation = "Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019"
    weights: Tensor

    def __init__(self, inputs: ModelInputs, config: EASEConfig) -> None:
        super().__init__()
        if inputs.num_items > config.max_items:
            kept = 4 * inputs.num_items**2 / 1e9
            raise RecipeError(
                f"EASE for {inputs.num_items:,} items keeps {kept:.1f} GB and takes {_MATRICES * kept:.1f} GB"
                f" while it is computed; the limit is {config.max_items:,} items",
                where="model.max_items",
                fix="raise it where the memory is there, or take graph_filter",
            )
        self.config = config
        self.device = inputs.device
        self.interactions = inputs.dataset.train.matrix(inputs.num_users, inputs.num_items)

    def fit_closed_form(self, progress: OnProgress = silent) -> None:
        """The weights [I, I] from the inverse of R^T R + lambda I, by Cholesky's factor, in one matrix of that size."""
        progress(0, 2, self.name)
        gram = (self.interactions.T @ self.interactions).tocsr()
        matrix = torch.from_numpy(gram.toarray()).to(self.device)
        del gram
        matrix.diagonal().add_(self.config.regularization)
        matrix = torch.linalg.cholesky(matrix)
        progress(1, 2, self.name)
        matrix = torch.cholesky_inverse(matrix)
        matrix.div_(-matrix.diagonal().clone())
        matrix.fill_diagonal_(0)
        self.register_buffer("weights", matrix)
        progress(2, 2, self.name)

    def scorer(self) -> Scorer:
        self.weights = self.weights.to(self.device)  # what was loaded from a checkpoint is on the CPU
        return _SumOfRows(self.interactions, self.weights)


class _SumOfRows:
    """Scores R W with dense W [I, I] on its device: for each user the sum of the rows of what the user has."""

    def __init__(self, interactions: sp.csr_matrix, weights: Tensor) -> None:
        self.interactions, self.weights = interactions, weights
        self.num_users, self.num_items = interactions.shape
        self.device = weights.device

    def scores(self, users: Tensor, out: Tensor | None = None) -> Tensor:
        history = self.interactions[users.cpu().numpy()]
        items, offsets = (torch.from_numpy(part).to(self.device) for part in (history.indices, history.indptr[:-1]))
        found = embedding_bag(items.long(), self.weights, offsets.long(), mode="sum")
        return found if out is None else out.copy_(found)
