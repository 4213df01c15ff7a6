"""The keys of [stress]. Not beside the study, which stands above the recipe."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

from damrs_dgl.models.specification.systems import check_system
from damrs_dgl.settings import ARRAY, Name, Section

T = TypeVar("T", bound=Hashable)


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise ValueError("a value stands in it twice")
    return values


Names = Annotated[tuple[Name, ...], ARRAY, AfterValidator(_distinct)]
Ratios = Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], ARRAY, AfterValidator(_distinct)]
Systems = Annotated[
    tuple[Annotated[str, AfterValidator(check_system)], ...], Field(strict=False), AfterValidator(_distinct)
]


class StressKeys(Section):
    """The study of growing noise."""

    noise: Names = Field(
        default=("feedback",), description='What is corrupted: "feedback" (added), "feedback-removed", or a modality'
    )
    ratios: Ratios = Field(
        default=(0.05, 0.1, 0.15, 0.2), description="Shares that are corrupted, always of clean data"
    )
    models: Systems = Field(
        default=(), description="Systems that are compared; none named: the recipe's own and what it wraps"
    )
    seeds: int = Field(default=1, ge=1, le=1000, description="Runs of each cell, seeds counting up from training.seed")
