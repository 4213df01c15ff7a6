"""The keys of [evaluation]."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from damrs_dgl.settings import ARRAY, Count, Section


def _ascending(values: tuple[int, ...]) -> tuple[int, ...]:
    if list(values) != sorted(set(values)):
        raise ValueError(f"expected distinct values in ascending order: {sorted(set(values))}")
    return values


Cutoffs = Annotated[tuple[Count, ...], ARRAY, AfterValidator(_ascending)]


class EvaluationKeys(Section):
    """How it is judged: all items ranked for every user."""

    ks: Cutoffs = Field(default=(5, 10, 20, 50), description="Lengths of the list that are scored, ascending")
    protocol: Literal["unseen", "paper"] = Field(
        default="unseen", description="At test leave out training and validation items, or training items only"
    )
    block_size: int = Field(default=256, ge=1, le=65536, description="Users ranked at a time; more take more memory")
