"""The keys of DA-MRS and what its variants set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from damrs_dgl.models.base import Backbone, WrapperConfig
from damrs_dgl.models.core.configs import Negatives
from damrs_dgl.models.core.ranges import AUTHORS_TRAINING
from damrs_dgl.models.registry import find_model
from damrs_dgl.settings import Count

# The regulariser's weight by backbone: the paper gives none (chosen on TikTok's validation split for each plain
# backbone); the authors' logs have one for MF and VBPR only.
_REGULARIZATION: Mapping[str, Mapping[str, float]] = {
    "recommended": {"mf": 0.1, "vbpr": 0.1, "lightgcn": 0.0},
    "paper": {"mf": 0.1, "vbpr": 0.1},
    "authors": {"mf": 0.1, "vbpr": 0.1},
}
_ELSE = 1e-4

_LESS_ALIGNED: Mapping[str, object] = {
    "model.relation_weight": 1e-3,
    "model.relation_damping": 0.0,
    "model.anchors": 128,
}
_PAPER: Mapping[str, object] = {
    "graphs.behavior_k": 10,
    "graphs.behavior_weighted": True,
    "model.alpha": 1.5,
    "model.beta": 1.5,
    "model.gamma": 2.0,
    "model.contradiction_form": "printed",
    **_LESS_ALIGNED,
}
_AUTHORS: Mapping[str, object] = {
    "graphs.behavior_k": 2,
    "graphs.behavior_weighted": False,
    "model.alpha": 1.0,
    "model.beta": 2.0,
    "model.gamma": 1.0,
    "model.contradiction_form": "gap",
    **_LESS_ALIGNED,
}
# Chosen on the validation splits of six data sets, one value for all (docs/recommended.md).
_RECOMMENDED: Mapping[str, object] = {
    **_AUTHORS,
    "graphs.behavior_weighted": True,
    "graphs.behavior_similarity": "cosine",
    "model.relation_weight": 2e-3,
    "model.relation_damping": 40.0,
    "model.anchors": 64,
    "model.backbone.dim": 256,
    "training.start": "spectral",
    "training.start_content": 0.5,
    "training.learning_rate": 2e-3,
}


class DAMRSConfig(WrapperConfig[Backbone]):
    """The keys of DA-MRS: its variant, its graphs' layers, its three losses. A key's own default is `recommended`'s."""

    PRESET_KEY: ClassVar[str] = "variant"
    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "recommended": _RECOMMENDED,
        "paper": {**_PAPER, **AUTHORS_TRAINING},
        "authors": {**_AUTHORS, **AUTHORS_TRAINING},
    }

    variant: Literal["recommended", "paper", "authors"] = Field(
        default="recommended",
        description="recommended: what served several real data sets best; paper: the equations as printed, AU and AI "
        "over 128 anchors; authors: what the authors' published code does",
    )
    item_layers: int = Field(default=1, ge=1, le=10, description="Layers of each item-item graph")
    denoised_bpr: bool = Field(
        default=True, description="Weigh clicks by what the relations say (equation 8); false: all alike"
    )
    feedback: Literal["pairwise", "softmax"] = Field(
        default="pairwise",
        description="A click is ranked above one sampled item (equation 8), or above many at once, by a softmax that f "
        "weighs; g and `negatives` have no place there",
    )
    negatives: Negatives = 1
    candidates: Annotated[Count, Field(ge=2)] = Field(
        default=1024, description="softmax: how many of a batch's distinct items, sampled, each click is ranked above"
    )
    reliability: bool = Field(default=True, description="Weigh a click by its reliability f (equation 6); false: f = 1")
    contradiction: bool = Field(default=True, description="Let a click be wrong by g (equation 7); false: g = 0")
    contradiction_form: Literal["printed", "gap"] = Field(
        default="gap",
        description="Equation 7 as printed, which takes a probability from a score, or the gap of two probabilities",
    )
    alpha: float = Field(default=1.0, ge=0, le=100, description="How strongly low preference lowers f")
    beta: float = Field(default=2.0, ge=0, le=100, description="How strongly disagreeing modalities lower f")
    gamma: float = Field(default=1.0, ge=0, le=100, description="Sharpness of g; the paper uses 1 and 2")
    preference_weight: float = Field(
        default=1.0, ge=0, description="lambda1 of the user preference alignment AU; 0: off; usual 0.01 to 10"
    )
    relation_weight: float = Field(
        default=2e-3, ge=0, description="lambda2 of the item relation alignment AI; 0: off; usual 0.0001 to 1"
    )
    relation_damping: float = Field(
        default=40.0,
        ge=0,
        description="c: where items have d > c interactions on average, relations count (c / d)^2, in the fusion "
        "(equation 3), in AI, and as far as f and g are from 1 and 0; 0: always whole. Items that many chose tell more "
        "by that than by their neighbours",
    )
    relation_strategy: Literal["AI", "MP", "SP"] = Field(
        default="AI", description="Graded item sets; AI: both grades, MP: the most similar, SP: both as one"
    )
    relation_k: int = Field(default=10, ge=1, le=1000, description="Size of each graded item set")
    temperature: float = Field(default=0.2, ge=0.01, le=10, description="Temperature of AI's cosine similarities")
    regularization: float = Field(default=_ELSE, ge=0, description="lambda_Theta on the batch's embeddings")
    anchors: Literal["all"] | Count = Field(
        default=64, description="How many of a batch's distinct users and items, sampled, AU and AI are averaged over"
    )
    sampled_softmax_above: Count = Field(
        default=100_000, description="Items above which AU's softmax over all is estimated on a sample (paper variant)"
    )
    softmax_sample: Count = Field(
        default=8192, description="That sample: items drawn at each step, beside the batch's own; bias 1/softmax_sample"
    )
    refresh: Literal["step", "epoch"] | Count = Field(
        default="step",
        description="When the graded item sets are computed anew: the anchors' at each step, or all items' every epoch "
        "or so many epochs; all is the less work where there are fewer items than steps x anchors",
    )

    @classmethod
    def preset_values(cls, table: Mapping[str, Any]) -> dict[str, object]:
        values = super().preset_values(table)
        variant = table.get("variant", "recommended")
        backbone = table.get("backbone", {}).get("name", cls.DEFAULT_BACKBONE)
        unnamed = 0.0 if variant == "authors" else _ELSE
        values["model.regularization"] = _REGULARIZATION.get(str(variant), {}).get(backbone, unnamed)
        if variant == "authors":
            values["model.backbone.content_scale"] = "raw"
        known = {f"model.backbone.{key}" for key in find_model(backbone).Config.model_fields}
        return {key: value for key, value in values.items() if not key.startswith("model.backbone.") or key in known}

    @property
    def refresh_epochs(self) -> int | None:
        """Epochs between two computations of the graded item sets; None for every step."""
        if isinstance(self.refresh, int):
            return self.refresh
        return 1 if self.refresh == "epoch" else None
