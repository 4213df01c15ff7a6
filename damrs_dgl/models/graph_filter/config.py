"""The keys of graph filters, and which values of them validation chooses among."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from damrs_dgl.models.base import ModelConfig
from damrs_dgl.settings import Count, Weight

Exponent = Annotated[float, Field(ge=-2, le=2)]
CHOICES: Mapping[str, tuple[float, ...]] = {  # in the order in which they are searched
    "user_exponent": (-1.0, -0.7, -0.35, 0.0),
    "candidate_exponent": (0.2, 0.3, 0.4, 0.5),
    "lowpass": (0.1, 0.3, 0.6, 1.0),
    "content": (0.0, 0.1, 0.2, 0.3, 0.6),
    "rank": (32, 64, 128),  # below the recipe's and what the data have
}


class GraphFilterConfig(ModelConfig):
    """The keys of graph filters.

    The defaults were chosen on the validation splits of TikTok, Baby, Sports, ML-1M, Last.fm and the synthetic shop
    together: on each they reach 91 to 99 % of the Recall@20 of settings chosen for it alone. What differs most from one
    to another is `candidate_exponent` (0.2 to 0.5) and `user_exponent` (0 where all users are busy, -1 where few are),
    which `search` chooses for the data set at hand, and on small data sets `rank`: as many singular vectors as there
    are items leave each history as it is.
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "default": {},
        "gf_cf": {
            "model.search": False,
            "model.lowpass": 0.3,
            "model.user_exponent": -1.0,
            "model.history_exponent": 0.5,
            "model.candidate_exponent": 0.5,
            "model.scaled": "lowpass",
            "model.content": 0.0,
        },
        "turbo_cf": {
            "model.search": False,
            "model.polynomial": (2.0, -1.0),
            "model.lowpass": 0.0,
            "model.user_exponent": -1.0,
            "model.history_exponent": 0.0,
            "model.candidate_exponent": 0.0,
            "model.content": 0.0,
        },
        "linear": {
            "model.search": False,
            "model.lowpass": 0.0,
            "model.user_exponent": -1.0,
            "model.history_exponent": 0.0,
            "model.candidate_exponent": 0.0,
            "model.content": 0.0,
        },
    }

    preset: Literal["default", "gf_cf", "turbo_cf", "linear"] = Field(
        default="default", description="Values of keys left out: ours, GF-CF, Turbo-CF, or one layer of LightGCN"
    )
    linear: Weight = Field(default=1.0, description="Weight of the co-occurrence C_q")
    polynomial: tuple[float, ...] = Field(
        default=(1.0,),
        min_length=1,
        max_length=5,
        strict=False,  # an array of a recipe arrives as a list
        description="What stands for C_q: p1 C_q + p2 C_q^2 + ...",
    )
    user_exponent: Exponent = Field(
        default=-0.85,
        description="q: how much a co-click of a busy user counts, d_u^q; C_q is rescaled to the sum of C_-1",
    )
    lowpass: Weight = Field(default=0.6, description="Weight of the projection on the leading singular vectors")
    rank: Count = Field(default=256, le=4096, description="How many singular vectors; with search at most so many")
    content: Weight = Field(default=0.3, description="Weight of the content graph A")
    cross: Weight = Field(default=0.0, description="Weight of the content neighbours of co-clicked items, and back")
    history_exponent: Exponent = Field(default=0.0, description="a: a popular item of the history counts d_i^-a")
    candidate_exponent: Exponent = Field(default=0.4, description="b: a popular candidate counts d_i^b")
    scaled: Literal["all", "lowpass"] = Field(
        default="all", description="What the item exponents hold for: the whole filter, or its low-pass part alone"
    )
    search: bool = Field(
        default=True,
        description="Choose user_exponent, candidate_exponent, lowpass, content, rank on validation, from their values",
    )
    top_n: Count = Field(default=1000, description="Entries kept per row of what is not low-pass")

    @model_validator(mode="after")
    def _something_left(self) -> GraphFilterConfig:
        if not (self.has_co_clicks or self.lowpass or self.content):
            raise ValueError("linear (or polynomial), lowpass and content are all 0, which leaves no filter")
        if self.cross and not (self.has_co_clicks or self.lowpass):
            raise ValueError("cross joins content to co-clicks and the low-pass part, whose weights are both 0")
        return self

    def asks_for_content(self) -> str:
        return "" if self.has_co_clicks or self.lowpass else "without linear and lowpass"

    @property
    def has_co_clicks(self) -> bool:
        """Whether p(C_q) has a weight."""
        return bool(self.linear) and any(self.polynomial)

    def choices(self, *, has_content: bool, most: int) -> dict[str, tuple[float, ...]]:
        """The values that each key is tried with; a key is left out where it changes no ranking.

        A part that the recipe leaves out, by a weight of 0, stays out, and one that is alone keeps its weight.
        most: how many singular vectors the data have.
        """
        content = bool(self.content) and has_content
        found = dict(CHOICES)
        found["rank"] = tuple(value for value in found["rank"] if value < min(self.rank, most))
        if not self.has_co_clicks:
            del found["user_exponent"]
            found["content"] = tuple(value for value in found["content"] if value)  # else no dot product becomes one
        if self.scaled == "lowpass" and not self.lowpass:
            del found["candidate_exponent"]
        if not (self.lowpass and (self.has_co_clicks or content)):
            del found["lowpass"]
        if not (self.lowpass and found["rank"]):
            del found["rank"]
        if not (content and (self.has_co_clicks or self.lowpass)):
            del found["content"]
        return found
