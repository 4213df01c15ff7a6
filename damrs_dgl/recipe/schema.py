"""The sections of a recipe and the recipe itself: each setting declared once, typed, bounded and explained.

A field's description is the documentation that ``recipes show`` prints. A field that is ``None`` by default takes its
value from the variant (``variants.VARIANT_VALUES``) through ``Recipe.resolved``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar, cast

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from damrs_dgl.errors import RecipeError
from damrs_dgl.recipe.checks import conflicts
from damrs_dgl.recipe.data_section import DataSection, Name, Section, Seed
from damrs_dgl.recipe.locations import expand_path
from damrs_dgl.recipe.mistakes import CONFLICT, error_of, explain, set_path
from damrs_dgl.recipe.variants import SYSTEMS, VARIANT_VALUES, check_system

T = TypeVar("T", bound=Hashable)


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise ValueError("a value stands in it twice")
    return values


def _ascending(values: tuple[int, ...]) -> tuple[int, ...]:
    if list(values) != sorted(set(values)):
        raise ValueError(f"expected distinct values in ascending order: {sorted(set(values))}")
    return values


def _file_name(name: str) -> str:
    if name.startswith(".") or any(sign in name for sign in "/\\\0\n"):
        raise ValueError("it names a folder of runs too, so it has no / or \\ and does not start with a dot")
    return name


# A TOML array arrives as a list, which strict mode would not take for a tuple; what is inside stays strict.
_ARRAY = Field(strict=False, min_length=1)
Count = Annotated[int, Field(ge=1)]
Cutoffs = Annotated[tuple[Count, ...], _ARRAY, AfterValidator(_ascending)]
Names = Annotated[tuple[Name, ...], _ARRAY, AfterValidator(_distinct)]
Ratios = Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], _ARRAY, AfterValidator(_distinct)]
Systems = Annotated[tuple[Annotated[str, AfterValidator(check_system)], ...], _ARRAY, AfterValidator(_distinct)]
Backbone = Literal["lightgcn", "mf", "vbpr"]


class Graphs(Section):
    """The item-item graphs (equations 1 and 2)."""

    k: int = Field(default=10, ge=1, le=1000, description="Neighbours that an item keeps in each content graph")
    consistency: bool = Field(default=True, description="Drop pairs that are less alike than the mean in any modality")
    behavior: bool = Field(default=True, description="Also link items that the same users chose")
    behavior_k: int | None = Field(default=None, ge=1, le=1000, description="Neighbours kept in the behavior graph")
    behavior_min_count: int = Field(default=2, ge=1, description="Drop pairs that fewer users chose together")
    behavior_weighted: bool | None = Field(
        default=None, description="Weigh behavior links by the number of those users"
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


class Model(Section):
    """What is trained."""

    name: Literal["damrs", "lightgcn", "mf", "vbpr"] = Field(default="damrs", description="The model")
    backbone: Backbone = Field(default="lightgcn", description="The model that DA-MRS wraps; read by damrs only")
    variant: Literal["paper", "authors"] = Field(
        default="paper", description="The equations as printed, or what the authors' published code does"
    )
    dim: int = Field(default=64, ge=1, le=4096, description="Width of the embeddings")
    layers: int = Field(default=2, ge=0, le=10, description="User-item layers of LightGCN")
    item_layers: int = Field(default=1, ge=1, le=10, description="Layers of each item-item graph")

    @property
    def effective_backbone(self) -> Backbone:
        """What turns users and items into embeddings: damrs's backbone, or the plain model itself."""
        return self.backbone if self.name == "damrs" else self.name


class Losses(Section):
    """The terms of the loss (equation 12); read by damrs only, but for ``regularization``."""

    denoised_bpr: bool = Field(default=True, description="Denoised BPR (equation 8); false: plain BPR")
    reliability: bool = Field(default=True, description="Weigh a click by its reliability f (equation 6); false: f = 1")
    contradiction: bool = Field(default=True, description="Let a click be wrong by g (equation 7); false: g = 0")
    alpha: float | None = Field(default=None, ge=0, le=100, description="How strongly low preference lowers f")
    beta: float | None = Field(default=None, ge=0, le=100, description="How strongly disagreeing modalities lower f")
    gamma: float = Field(default=1.0, ge=0, le=100, description="Sharpness of g; the paper uses 1 and 2")
    preference_weight: float = Field(
        default=1.0, ge=0, description="lambda1 of the user preference alignment AU; 0: off; usual 0.01 to 10"
    )
    relation_weight: float = Field(
        default=1e-3, ge=0, description="lambda2 of the item relation alignment AI; 0: off; usual 0.0001 to 1"
    )
    relation_strategy: Literal["AI", "MP", "SP"] = Field(
        default="AI", description="Graded item sets; AI: both grades, MP: the most similar, SP: both as one"
    )
    relation_k: int = Field(default=10, ge=1, le=1000, description="Size of each graded item set")
    temperature: float = Field(default=0.2, ge=0.01, le=10, description="Temperature of AI's cosine similarities")
    regularization: float | None = Field(default=None, ge=0, description="lambda_Theta on the batch's embeddings")
    anchors: Literal["all"] | Count = Field(
        default=128, description="How many of a batch's distinct users and items, sampled, AU and AI are averaged over"
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


class Training(Section):
    """How it is trained."""

    learning_rate: float = Field(default=1e-3, gt=0, le=1, description="Learning rate of Adam")
    batch_size: int = Field(default=4096, ge=1, description="Interactions a step, one sampled negative each")
    epochs: int = Field(default=1000, ge=1, description="Epochs at most")
    patience: int = Field(default=25, ge=1, description="Stop after so many evaluations without a better score")
    seed: Seed = Field(default=0, description="Seed of the initial embeddings and all sampling")
    matmul_precision: Literal["highest", "high", "medium"] = Field(
        default="highest",
        description="Matrix products of training in float32; high: TF32, medium: bfloat16, where the hardware has it",
    )
    evaluate_every: int = Field(default=1, ge=1, description="Epochs between two evaluations on the validation split")
    monitor: Name = Field(
        default="recall@20", description="The validation score: recall, precision, ndcg or map at one of evaluation.ks"
    )


class Evaluation(Section):
    """How it is judged: all items ranked for every user."""

    ks: Cutoffs = Field(default=(5, 10, 20, 50), description="Lengths of the list that are scored, ascending")
    protocol: Literal["unseen", "paper"] = Field(
        default="unseen", description="At test leave out training and validation items, or training items only"
    )
    block_size: int = Field(default=256, ge=1, le=65536, description="Users ranked at a time; more take more memory")


class Stress(Section):
    """The study of growing noise."""

    noise: Names = Field(
        default=("feedback",), description='What is corrupted: "feedback" (added), "feedback-removed", or a modality'
    )
    ratios: Ratios = Field(
        default=(0.05, 0.1, 0.15, 0.2), description="Shares that are corrupted, always of clean data"
    )
    models: Systems = Field(default=("damrs", "backbone", "diig"), description="Systems that are compared")
    seeds: int = Field(default=1, ge=1, le=1000, description="Runs of each cell, seeds counting up from training.seed")


class Recipe(Section):
    """All that decides a run. Immutable; ``load_recipe`` makes one from a file, ``Recipe(data=...)`` from Python."""

    name: Annotated[Name, AfterValidator(_file_name)] = Field(
        default="recipe", description="Name of the recipe and of its run folder; the file's by default"
    )
    description: str = Field(default="", description="What it is for")
    data: DataSection = Field(description="Where the data come from")
    graphs: Graphs = Field(default_factory=Graphs, description="The item-item graphs")
    model: Model = Field(default_factory=Model, description="What is trained")
    losses: Losses = Field(default_factory=Losses, description="The terms of the loss")
    training: Training = Field(default_factory=Training, description="How it is trained")
    evaluation: Evaluation = Field(default_factory=Evaluation, description="How it is judged")
    stress: Stress = Field(default_factory=Stress, description="The study of growing noise")

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        if found := conflicts(self):
            lines = "; ".join(str(conflict) for conflict in found)
            raise PydanticCustomError(CONFLICT, "{lines}", {"lines": lines, "conflicts": found})
        return self

    def value(self, key: str) -> object:
        """The value of ``section`` or ``section.key``; ``ValueError`` where there is none."""
        found: object = self
        for part in key.split("."):
            if not isinstance(found, Section) or part not in type(found).model_fields:
                raise ValueError(f'a recipe has no key "{key}"')
            found = getattr(found, part)
        return found

    def data_path(self) -> Path:
        """The folder of the data set, ``${DAMRS_DATA}`` filled in; ``RecipeError`` where that variable is missing."""
        if self.data.format == "synthetic":
            raise RecipeError('data.format = "synthetic" has no files', fix="it is made up, not read")
        return expand_path(self.data.path)

    def with_values(self, values: Mapping[str, object]) -> Recipe:
        """A copy with other values, ``{"section.key": value}``, checked as in a file; ``RecipeError`` for a mistake."""
        table = self.model_dump()
        try:
            for key, value in values.items():
                set_path(table, tuple(key.split(".")), value)
            return Recipe.model_validate(table)
        except ValidationError as error:
            raise error_of(explain(error, table, Recipe)) from None
        except ValueError as error:
            raise RecipeError(str(error)) from None

    def resolved(self) -> Recipe:
        """The recipe with every value that it leaves to the variant filled in; the same when called twice."""
        values: dict[str, object] = {}
        for key, by_variant in VARIANT_VALUES.items():
            if self.value(key) is None:
                value = by_variant[self.model.variant]
                values[key] = value[self.model.effective_backbone] if isinstance(value, dict) else value
        return self.with_values(values) if values else self

    def as_system(self, name: str) -> Recipe:
        """The recipe as a row of the ablation or a plain model: a key of ``SYSTEMS``, in any case; else RecipeError."""
        try:
            values = dict(SYSTEMS[check_system(name)])
        except ValueError as error:
            raise RecipeError(str(error)) from None
        for key, value in values.items():
            if isinstance(value, str) and value.startswith("${"):
                values[key] = self.value(value[2:-1])
        return self.with_values(values)

    def section_hash(self, *keys: str) -> str:
        """SHA-256 (hex) of sections or single keys (``"graphs"``, ``"model.dim"``), resolved; their order is no matter.

        The order of the modalities counts, for it is the order of the relations in everything that is made from them.
        """
        recipe = self.resolved()
        chosen = {key: _plain(recipe.value(key)) for key in keys}
        text = json.dumps(chosen, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: object) -> object:
    """``value`` for canonical JSON: a section as an object, a table of modalities as a list of pairs."""
    if isinstance(value, Section):
        return {key: _plain(getattr(value, key)) for key in type(value).model_fields}
    if isinstance(value, dict):
        return [[key, _plain(item)] for key, item in value.items()]
    return [_plain(item) for item in value] if isinstance(value, tuple) else cast(object, value)
