"""The recipe: its sections, whose keys stand beside what they are for, and what makes it from a table.

[data] is the keys of a data format (`data/formats/`), [graphs] those in `graphs/keys.py`, [model] those of the system
that ``model.name`` names (its ``Config``), [training] those in `training/keys.py`, [evaluation] those in
`evaluation/keys.py`, [stress] those in `stress_keys.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Generic, TypeVar, cast

from pydantic import AfterValidator, Field

from damrs_dgl.data.formats import DataFormat
from damrs_dgl.evaluation.keys import EvaluationKeys
from damrs_dgl.graphs.keys import GraphKeys
from damrs_dgl.models.base import ModelConfig
from damrs_dgl.models.registry import config_class
from damrs_dgl.models.specification.tables import fill_presets
from damrs_dgl.settings import Name, Section
from damrs_dgl.stress_keys import StressKeys
from damrs_dgl.training.keys import TrainingKeys

ModelKeys = TypeVar("ModelKeys", bound=ModelConfig)


def _file_name(name: str) -> str:
    if name.startswith(".") or any(sign in name for sign in "/\\\0\n"):
        raise ValueError("it names a folder of runs too, so it has no / or \\ and does not start with a dot")
    return name


class Recipe(Section, Generic[ModelKeys]):
    """All that decides a run. Immutable and complete: `recipe_from` or `load_recipe` makes one."""

    name: Annotated[Name, AfterValidator(_file_name)] = Field(
        default="recipe", description="Name of the recipe and of its run folder; the file's by default"
    )
    description: str = Field(default="", description="What it is for")
    data: Annotated[DataFormat, Field(discriminator="format")] = Field(description="Where the data come from")
    graphs: GraphKeys = Field(default_factory=GraphKeys, description="The item-item graphs")
    model: ModelKeys = Field(description="What is trained")
    training: TrainingKeys = Field(default_factory=TrainingKeys, description="How it is trained")
    evaluation: EvaluationKeys = Field(default_factory=EvaluationKeys, description="How it is judged")
    stress: StressKeys = Field(default_factory=StressKeys, description="The study of growing noise")

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
