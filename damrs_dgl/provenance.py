"""What each artefact of a run is made from: named values, the data by their fingerprint.

Block sizes change time and memory, not the numbers, and are not among them.
"""

from __future__ import annotations

from typing import Any, Final

from damrs_dgl.evaluation.list_metrics import metric_names
from damrs_dgl.models.base import RankingModel
from damrs_dgl.models.registry import find_model
from damrs_dgl.models.specification.systems import floor_systems
from damrs_dgl.recipe import Recipe
from damrs_dgl.storage.manifest import FORMAT_VERSION
from damrs_dgl.storage.run import artefact_key

FREE_ON_RESUME: Final = frozenset({"epochs", "patience"})  # of [training]: may change when a training is resumed
_BLOCK_SIZE: Final = frozenset({"block_size"})


def summary_parts(recipe: Recipe[Any], data: str) -> dict[str, Any]:
    """What `dataset.json` is made from: the data, the neighbours looked at, the seed of samples."""
    return {**_data(data), "graphs.k": recipe.graphs.k, "training.seed": recipe.training.seed}


def graphs_parts(recipe: Recipe[Any], data: str) -> dict[str, Any]:
    """What the graphs are made from: the data (their fingerprint) and [graphs]."""
    return {**_data(data), **_values(recipe, "graphs", without=_BLOCK_SIZE)}


def fit_parts(recipe: Recipe[Any], data: str) -> dict[str, Any]:
    """What a training is made from, but for what may change when it is resumed: epochs, patience and the device.

    Of a system whose members are trained to their end inside its one epoch, epochs and patience are among it.
    """
    trains_members = find_model(recipe.model.name).members is not RankingModel.members
    return {
        **graphs_parts(recipe, data),
        **_values(recipe, "model"),
        **_values(recipe, "training", without=frozenset() if trains_members else FREE_ON_RESUME),
    }


def member_parts(recipe: Recipe[Any], data: str) -> dict[str, dict[str, Any]]:
    """`fit_parts` of each system that is trained inside the recipe's own: of the member alone, as each is trained."""
    if find_model(recipe.model.name).members is RankingModel.members:
        return {}
    members = {way[-1]: config for way, config in recipe.model.inside().items()}
    return {name: fit_parts(recipe.model_copy(update={"model": config}), data) for name, config in members.items()}


def floor_parts(recipe: Recipe[Any], data: str) -> dict[str, Any]:
    """What the metrics of the floor are made from: the data, which metrics and systems there are, [evaluation]."""
    return {**_data(data), "the metrics": metric_names(), "the floor": floor_systems(), **_evaluation(recipe)}


def metrics_parts(recipe: Recipe[Any], data: str) -> dict[str, Any]:
    """What the metrics of a training are made from."""
    return {"the training": artefact_key("fit", fit_parts(recipe, data)), **floor_parts(recipe, data)}


def result_parts(recipe: Recipe[Any], data: str) -> dict[str, Any]:
    """What the numbers of a training that runs to its end are made from."""
    schedule = {f"training.{key}": getattr(recipe.training, key) for key in sorted(FREE_ON_RESUME)}
    return {**fit_parts(recipe, data), **schedule, **_evaluation(recipe)}


def _data(fingerprint: str) -> dict[str, Any]:
    return {"the toolkit's file format": FORMAT_VERSION, "the data": fingerprint}


def _evaluation(recipe: Recipe[Any]) -> dict[str, Any]:
    return _values(recipe, "evaluation", without=_BLOCK_SIZE)


def _values(recipe: Recipe[Any], section: str, *, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    return dotted(section, getattr(recipe, section).model_dump(mode="json", exclude=set(without)))


def dotted(prefix: str, table: dict[str, Any]) -> dict[str, Any]:
    """A table and the tables inside it as one, by dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= dotted(f"{prefix}.{key}", value) if isinstance(value, dict) else {f"{prefix}.{key}": value}
    return flat
