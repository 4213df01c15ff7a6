"""What a system, and each one inside it, needs of the data and the training: keys that do not fit together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from damrs_dgl.errors import Mistake
from damrs_dgl.models.base import ClosedFormModel
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


def unweighed(config: ModelConfig) -> Iterator[Mistake]:
    """A system, or one inside it, that cannot be trained on weighed clicks (`click_weights`)."""
    for place, part in config.parts():
        if issubclass(find_model(part.name), ClosedFormModel) and not part.inside():
            what = f"{part.name} is computed at once from all clicks and cannot weigh them (data.click_weights)"
            fix = "take a system that is trained by gradient steps, or leave suspects out with `fit --drop-suspects`"
            yield Mistake([("data", "click_weights"), (*place, "name")], what, fix)


def unmet(
    config: ModelConfig,
    modalities: Sequence[str],
    *,
    behavior: bool,
    weighted: bool,
    written: Mapping[str, Any],
    absent: Collection[str] = (),
    named_in: str = "the data",
) -> Iterator[Mistake]:
    """What a system, or one inside it, needs or names and the data do not have.

    Parameters
    ----------
    modalities: those of the data.
    behavior: whether the graphs relate items by clicks.
    weighted: whether the clicks have weights.
    written: the recipe's table as the user has it, whose keys a mistake is about.
    absent: modalities that the data lack and keys may name all the same.
    named_in: where the modalities are from, in the words of a mistake; data in memory may have others than a recipe.
    """
    if weighted:
        yield from unweighed(config)
    for place, part in config.parts():
        model, own, asked = find_model(part.name), (*place, "name"), part.asks_for_content()
        shown = f"{'.'.join(place if len(place) > 1 else own)} = {toml_value(part.name)}"
        if not modalities and (model.needs_content or asked):
            what = f"{shown} {asked}".rstrip() + f" needs content, and there is no modality in {named_in}"
            fix = "give the data one ([data.modalities]; `features` in memory), or choose a system that needs none"
            yield Mistake([own, ("data", "modalities")], what, fix)
            continue
        if not modalities and model.needs_item_relations and not behavior:
            what = f"{shown} needs an item-item graph: graphs.behavior = false, and there is no modality in {named_in}"
            fix = "name a modality and its file, or write graphs.behavior = true"
            yield Mistake([own, ("graphs", "behavior"), ("data", "modalities")], what, fix)
        given = part.preset_values(part.model_dump())  # for any data: may name more than these have
        for name in part.MODALITY_KEYS:
            value, path = getattr(part, name), (*place, name)
            key = as_written(path, written)
            keys = [key, path, ("data", "modalities")]
            unknown = [modality for modality in value if modality not in (*modalities, *absent)]
            if unknown and value != given.get(f"model.{name}", type(part).model_fields[name].default):
                what = f"{'.'.join(key)} holds {toml_value(unknown[0])}, which is no modality of the data"
                fix = nearest(unknown[0], modalities) or f"expected any of {toml_value(modalities)}"
                yield Mistake(keys, what, fix)
            elif modalities and not part.looked_at(modalities):
                what = f"{'.'.join(key)} = {toml_value(value)} leaves {part.name} without a modality"
                yield Mistake(keys, what, "leave fewer of them out")
