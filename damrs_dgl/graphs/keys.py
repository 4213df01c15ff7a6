"""The keys of [graphs]."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from damrs_dgl.settings import Section


class GraphKeys(Section):
    """The item-item graphs (equations 1 and 2)."""

    k: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="Nearest items that an item keeps in each content graph, itself among them: 10 keeps 9 others",
    )
    consistency: bool = Field(default=True, description="Drop pairs that are less alike than the mean in any modality")
    behavior: bool = Field(default=True, description="Also link items that the same users chose")
    behavior_k: int = Field(
        default=10, ge=1, le=1000, description="Other items that an item keeps in the behavior graph"
    )
    behavior_min_count: int = Field(default=2, ge=1, description="Drop pairs that fewer users chose together")
    behavior_weighted: bool = Field(default=True, description="Weigh behavior links by behavior_similarity")
    behavior_similarity: Literal["count", "cosine"] = Field(
        default="count",
        description="What chooses and weighs behavior links: the number of common users, or its cosine, which does "
        "not make popular items everyone's neighbours",
    )
    candidates: Literal["auto", "exact", "projected", "faiss"] = Field(
        default="auto",
        description="exact: all pairs of items are compared. projected, faiss: candidates are found by fewer "
        "dimensions or an index and compared exactly. auto: exact, above approximate_above items faiss",
    )
    approximate_above: int = Field(
        default=200_000, ge=1, description='Items above which candidates = "auto" is faiss; read by auto only'
    )
    block_size: int = Field(
        default=2048, ge=1, le=65536, description="Items compared with as many at a time, 4096 where it is more"
    )
