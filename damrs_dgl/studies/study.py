"""A cell is one training of a study; the study says what its cells share and what each depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.modality_names import FEEDBACK_ADDED, FEEDBACK_REMOVED
from damrs_dgl.errors import DamrsError, RecipeError
from damrs_dgl.evaluation.list_metrics import plugin_metrics
from damrs_dgl.models.registry import reads_content
from damrs_dgl.provenance import result_parts
from damrs_dgl.recipe import Recipe, as_system, with_values
from damrs_dgl.storage.run import artefact_key
from damrs_dgl.studies.results import PER_USER_K, CellResult, ResultStore

CLEAN = "none"  # the noise of a ratio-0 cell: clean data is the same for every kind of noise


@dataclass(frozen=True)
class Cell:
    """One training of a study.

    system: as `models.specification.systems` names it.  changes: of the recipe, sorted pairs of (section.key, value).
    noise, ratio: what corrupts the training data (`data.noise.corrupt`), drawn by the same seed as the training.
    """

    system: str
    changes: tuple[tuple[str, Any], ...] = ()
    noise: str = CLEAN
    ratio: float = 0.0
    seed: int = 0

    @property
    def data(self) -> tuple[str, float, int] | None:
        """What its data set is made by; None for the clean one. Cells with the same share one data set."""
        return None if self.noise == CLEAN else (self.noise, self.ratio, self.seed)

    def __str__(self) -> str:
        changes = [f"{key} = {value}" for key, value in self.changes]
        noise = [] if self.noise == CLEAN else [f"{self.noise} {self.ratio:g}"]
        return ", ".join([self.system, *changes, *noise, f"seed {self.seed}"])


Outcome = CellResult | DamrsError  # what a cell came to


@dataclass(frozen=True)
class Study:
    """What the cells of a study share.

    recipe: that each cell's is derived from.  dataset: the clean data.  folder: where finished cells are kept.
    device: what they are trained on.  Every cell is judged at 20 too, whatever the recipe's `evaluation.ks`.
    """

    recipe: Recipe[Any]
    dataset: MultimodalDataset
    folder: Path
    device: torch.device

    @cached_property
    def results(self) -> ResultStore:
        """The finished cells."""
        return ResultStore(self.folder)

    def recipe_of(self, cell: Cell) -> Recipe[Any]:
        """The recipe that a cell trains. Raises RecipeError, which names the system, where there is none."""
        try:
            recipe = with_values(
                as_system(self.recipe, cell.system), {**dict(cell.changes), "training.seed": cell.seed}
            )
        except RecipeError as error:
            raise RecipeError(error.what, where=error.where or cell.system, fix=error.fix) from None
        return with_values(recipe, {"evaluation.ks": tuple(sorted({*recipe.evaluation.ks, PER_USER_K}))})

    def parts_of(self, cell: Cell) -> dict[str, Any]:
        """All that a cell's numbers depend on."""
        recipe = self.recipe_of(cell)
        unread = cell.noise in self.dataset.modalities and not reads_content(recipe.model)
        # under noisy content a system that reads none ranks as it does on clean data, and is judged as there
        noise, ratio = (CLEAN, 0.0) if unread else (cell.noise, cell.ratio)
        more: dict[str, Any] = {"noise": noise, "ratio": ratio}
        if noise in (FEEDBACK_ADDED, FEEDBACK_REMOVED):  # which give clicks to some users, or take them
            more["means over"] = "the clean data's users"
        if metrics := sorted(plugin_metrics()):
            more["metrics of other packages"] = metrics
        return {**result_parts(recipe, self.dataset.fingerprint()), **more}

    def key(self, cell: Cell) -> str:
        """The name of a cell's result."""
        return artefact_key("judged cell", self.parts_of(cell))  # another word when its file holds other things

    def facts_of(self, cell: Cell) -> dict[str, Any]:
        """What stands in a cell's file beside its numbers."""
        return {**asdict(cell), "changes": dict(cell.changes), "settings": self.parts_of(cell)}


def changes_of(values: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Changes of a recipe as a cell holds them."""
    return tuple(sorted((key, tuple(value) if isinstance(value, list) else value) for key, value in values.items()))
