"""What a system, and each one inside it, needs of the data and the training: keys that do not fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from damrs_dgl.errors import Mistake, RecipeError
from damrs_dgl.models.core.configs import ModelConfig
from damrs_dgl.models.registry import find_model
from damrs_dgl.models.specification.tables import as_written
from damrs_dgl.settings import nearest
from damrs_dgl.toml import toml_value


def never_judged(config: ModelConfig, epochs: int) -> Iterator[Mistake]:
    """A system whose training would end before an epoch that may be its best."""
    for place, part in config.parts():
        first = part.first_judged_epoch()
        if epochs < first:
            what = f"training.epochs = {epochs} ends before {part.name} is what it is, from epoch {first} on"
            yield Mistake([("training", "epochs"), place], what, "allow more epochs, or a shorter preparation")


def missing_content(config: ModelConfig, *, behavior: bool) -> Iterator[Mistake]:
    """What a system needs and data without modalities do not give.  behavior: the graphs relate items by clicks."""
    for place, part in config.parts():
        model, name = find_model(part.name), (*place, "name")
        shown = f"{'.'.join(place if len(place) > 1 else name)} = {toml_value(part.name)}"
        if model.needs_content or part.asks_for_content():
            yield Mistake(
                [name, ("data", "modalities")],
                f"{shown} needs content, and [data.modalities] is empty",
                "name a modality and its file there, or choose a system that needs none",
            )
        elif model.needs_item_relations and not behavior:
            yield Mistake(
                [name, ("graphs", "behavior"), ("data", "modalities")],
                f"{shown} needs an item-item graph: graphs.behavior = false and no modality",
                "name a modality and its file, or write graphs.behavior = true",
            )


def require_content(config: ModelConfig, modalities: Sequence[str]) -> None:
    """Raise RecipeError where the data have no modality, whatever a recipe says of them, and a system needs one."""
    for _, part in config.parts() if not modalities else ():
        model, asked = find_model(part.name), part.asks_for_content()
        if asked or model.needs_content:
            raise RecipeError(
                f"{model.name} {asked}".rstrip() + " needs the content of at least one modality",
                where="[data.modalities]",
                fix="name one, or take another model",
            )


def wrong_modalities(config: ModelConfig, modalities: Sequence[str], written: Mapping[str, Any]) -> Iterator[Mistake]:
    """Modalities that a system's keys name and the data lack; or all of the data's left out.

    What a default or a preset says is meant for any data, and may name more than these have.  written: the recipe's
    table as the user has it, whose keys a mistake is about.
    """
    for place, part in config.parts():
        given = part.preset_values(part.model_dump()) if part.MODALITY_KEYS else {}
        for name in part.MODALITY_KEYS:
            value, path = getattr(part, name), (*place, name)
            key = as_written(path, written)
            unknown = [modality for modality in value if modality not in modalities]
            if unknown and value != given.get(f"model.{name}", type(part).model_fields[name].default):
                yield Mistake(
                    [key, path, ("data", "modalities")],
                    f"{'.'.join(key)} holds {toml_value(unknown[0])}, which is no modality of the data",
                    nearest(unknown[0], modalities) or f"expected any of {toml_value(modalities)}",
                )
            elif modalities and not part.looked_at(modalities):
                what = f"{'.'.join(key)} = {toml_value(value)} leaves {part.name} without a modality"
                yield Mistake([key, path, ("data", "modalities")], what, "leave fewer of them out")
