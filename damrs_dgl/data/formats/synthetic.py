"""The synthetic shop as a format of [data]: made up from its keys, with no files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.formats.keys import FORMAT, DataKeys
from damrs_dgl.data.modality_names import ModalityName
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.errors import RecipeError
from damrs_dgl.settings import Section, Seed


class SyntheticModality(Section):
    """A content modality of the synthetic shop."""

    dim: int = Field(default=64, ge=1, le=4096, description="Width of the feature vectors")


def _synthetic_modalities() -> dict[str, SyntheticModality]:
    return {"visual": SyntheticModality(dim=64), "textual": SyntheticModality(dim=48)}


class SyntheticData(DataKeys):
    """The synthetic shop: made up from latent styles with a known share of noise; needs no files."""

    is_synthetic: ClassVar[bool] = True
    format: Literal["synthetic"] = Field(default="synthetic", description=FORMAT)
    users: int = Field(default=2000, ge=2, le=5_000_000, description="Number of users")
    items: int = Field(default=1200, ge=8, le=1_000_000, description="Number of items")
    clicks_per_user: float = Field(default=10.0, ge=5, le=1000, description="Mean number of clicks of a user")
    styles: int = Field(default=12, ge=4, le=10_000, description="Number of latent styles behind users and items")
    swapped_share: float = Field(default=0.1, ge=0, le=1, description="Share of the items with another item's content")
    noisy_click_share: float = Field(
        default=0.1, ge=0, le=0.5, description="Share of the clicks that no taste explains"
    )
    seed: Seed = Field(default=0, description="Seed of the shop")
    modalities: dict[ModalityName, SyntheticModality] = Field(
        default_factory=_synthetic_modalities,
        description="Modality name = {dim}; naming any replaces the default visual and textual",
    )

    def folder(self) -> Path:
        raise RecipeError("made-up data have no files", where="data.path")

    def read(self) -> MultimodalDataset:
        arguments = self.arguments()
        del arguments["modalities"]
        return synthetic_shop(**arguments, dims={name: kind.dim for name, kind in self.modalities.items()}).dataset
