"""The keys of a system in a recipe's [model]: what every system's own keys are made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import Field, SerializeAsAny

from damrs_dgl.settings import Count, Section


class ModelConfig(Section):
    """The keys of a system in a recipe's [model].

    PRESETS: named sets of values for keys that a recipe leaves out, `{preset: {"model.key": value}}`; keys of other
    sections (`training.learning_rate`) may stand there too. The first is the default.  PRESET_KEY: the key that
    chooses among them.  MODALITY_KEYS: keys that list modalities of the data.
    """

    PRESETS: ClassVar[Mapping[str, Mapping[str, object]]] = {}
    PRESET_KEY: ClassVar[str] = "preset"
    MODALITY_KEYS: ClassVar[tuple[str, ...]] = ()

    name: str = Field(min_length=1, description="The system")

    @classmethod
    def preset_values(cls, table: Mapping[str, Any]) -> dict[str, object]:
        """The values that the preset which a [model] table chooses gives to keys that the recipe leaves out."""
        chosen = table.get(cls.PRESET_KEY, next(iter(cls.PRESETS), None))
        return dict(cls.PRESETS.get(chosen, {})) if isinstance(chosen, str) else {}

    def inside(self) -> dict[tuple[str, ...], ModelConfig]:
        """The systems inside this one, by where their tables stand in its own."""
        return {}

    def parts(self, place: tuple[str, ...] = ("model",)) -> Iterator[tuple[tuple[str, ...], ModelConfig]]:
        """These keys and those of each system inside, outermost first, with where its table stands in a recipe."""
        yield place, self
        for way, part in self.inside().items():
            yield from part.parts((*place, *way))

    def asks_for_content(self) -> str:
        """What makes a system with these keys need content that does without by default, to be said behind its name.

        Empty where nothing does.
        """
        return ""

    def first_judged_epoch(self) -> int:
        """The first epoch that may be a training's best: those before it prepare the system."""
        return 1

    def looked_at(self, modalities: Sequence[str]) -> list[str]:
        """Those of the data's modalities that the system looks at."""
        return list(modalities)

    @classmethod
    def taken_over(cls, table: Mapping[str, Any]) -> dict[str, object]:
        """Keys that a recipe's previous [model] table gives when it switches to this system, beside those both have."""
        return {}

    @classmethod
    def given_back(cls, table: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
        """When a recipe switches to `name`: that system's table inside this one (backbone, member), or None."""
        return None


class PresetConfig(ModelConfig):
    """The keys of a system with two sets of values in PRESETS, `original` and `authors`."""

    preset: Literal["original", "authors"] = Field(
        default="original",
        description="Values of keys left out: those the system was published with, or what DA-MRS's authors ran",
    )


class TableConfig(ModelConfig):
    """The keys of a system that learns a vector for each user and item."""

    dim: int = Field(default=64, ge=1, le=4096, description="Width of the embeddings")


class PresetTableConfig(PresetConfig, TableConfig):
    """Both."""


Negatives = Annotated[
    Count,
    Field(
        description="Sampled items a click, of which it is ranked above the one that scores highest (Zhang et al., "
        "SIGIR 2013); 1: above any. Of a backbone: without effect, what is round it samples its own"
    ),
]
Backbone = TypeVar("Backbone", bound=ModelConfig)


class WrapperConfig(ModelConfig, Generic[Backbone]):
    """The keys of a system that is wrapped round another; `backbone` holds that other's keys, its name among them.

    A wrapper's own keys extend `WrapperConfig[Backbone]`.
    """

    DEFAULT_BACKBONE: ClassVar[str] = "lightgcn"

    backbone: SerializeAsAny[Backbone] = Field(description="The system that is wrapped, with its own keys")

    def inside(self) -> dict[tuple[str, ...], ModelConfig]:
        return {("backbone",): self.backbone}

    @classmethod
    def given_back(cls, table: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
        """The backbone."""
        backbone: Mapping[str, Any] = table.get("backbone", {})
        return backbone if backbone.get("name") == name else None
