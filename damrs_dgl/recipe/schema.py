"""The sections of a recipe and the recipe itself: each setting declared once, typed, bounded and explained.

A field's description is the documentation that ``recipes show`` prints. [model] is the keys of the system that
``model.name`` names (its ``Config``).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Annotated, Any, Generic, Literal, TypeVar, cast

from pydantic import AfterValidator, Field

from damrs_dgl.data.formats import DataFormat
from damrs_dgl.models.base import ModelConfig
from damrs_dgl.models.registry import config_class
from damrs_dgl.models.systems import check_system
from damrs_dgl.models.tables import fill_presets
from damrs_dgl.settings import Count, Name, Section, Seed, Weight

T = TypeVar("T", bound=Hashable)
ModelKeys = TypeVar("ModelKeys", bound=ModelConfig)


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
Cutoffs = Annotated[tuple[Count, ...], _ARRAY, AfterValidator(_ascending)]
Names = Annotated[tuple[Name, ...], _ARRAY, AfterValidator(_distinct)]
Ratios = Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], _ARRAY, AfterValidator(_distinct)]
Systems = Annotated[
    tuple[Annotated[str, AfterValidator(check_system)], ...], Field(strict=False), AfterValidator(_distinct)
]


class Graphs(Section):
    """The item-item graphs (equations 1 and 2)."""

    k: int = Field(default=10, ge=1, le=1000, description="Neighbours that an item keeps in each content graph")
    consistency: bool = Field(default=True, description="Drop pairs that are less alike than the mean in any modality")
    behavior: bool = Field(default=True, description="Also link items that the same users chose")
    behavior_k: int = Field(default=10, ge=1, le=1000, description="Neighbours kept in the behavior graph")
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


class Training(Section):
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
        "at least 10",
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
    models: Systems = Field(
        default=(), description="Systems that are compared; none named: the recipe's own and what it wraps"
    )
    seeds: int = Field(default=1, ge=1, le=1000, description="Runs of each cell, seeds counting up from training.seed")


class Recipe(Section, Generic[ModelKeys]):
    """All that decides a run. Immutable and complete: `recipe_from` or `load_recipe` makes one."""

    name: Annotated[Name, AfterValidator(_file_name)] = Field(
        default="recipe", description="Name of the recipe and of its run folder; the file's by default"
    )
    description: str = Field(default="", description="What it is for")
    data: Annotated[DataFormat, Field(discriminator="format")] = Field(description="Where the data come from")
    graphs: Graphs = Field(default_factory=Graphs, description="The item-item graphs")
    model: ModelKeys = Field(description="What is trained")
    training: Training = Field(default_factory=Training, description="How it is trained")
    evaluation: Evaluation = Field(default_factory=Evaluation, description="How it is judged")
    stress: Stress = Field(default_factory=Stress, description="The study of growing noise")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as the table that it was made from: its class is made for the model's keys, and has no name."""
        return validated, (self.model_dump(exclude_unset=True),)

    def value(self, key: str) -> object:
        """The value of ``section`` or ``section.key``; ``ValueError`` where there is none."""
        found: object = self
        for part in key.split("."):
            if not isinstance(found, Section) or part not in type(found).model_fields:
                raise ValueError(f'a recipe has no key "{key}"')
            found = getattr(found, part)
        return found

    @property
    def is_synthetic(self) -> bool:
        """Whether the data are made up, so that every number made from them is called synthetic."""
        return self.data.is_synthetic


AnyRecipe = Recipe[Any]


def recipe_class(table: Mapping[str, Any]) -> type[AnyRecipe]:
    """The class that a recipe's table, its [model] in canonical form, is checked by."""
    return cast("type[AnyRecipe]", Recipe.__class_getitem__(config_class(table["model"])))


def validated(table: dict[str, Any]) -> AnyRecipe:
    """The recipe of such a table; presets are filled in there and not noted as written. Raises ValidationError."""
    filled = fill_presets(table)
    recipe = recipe_class(table).model_validate(table)
    for path in filled:
        section, _, key = path.rpartition(".")
        cast(Section, recipe.value(section)).model_fields_set.discard(key)
    return recipe
