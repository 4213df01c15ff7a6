"""What noise does: corrupt the clean training data, train each system anew, compare (paper, Section 4.3, Figures 3, 4).

A cell is one training: (system, noise, ratio, seed). Finished cells are kept one file each, so an interrupted study
goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.noise import corrupt
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.factory import SplitEvaluator, build_recipe_graph, prepare_training, scorer_of
from damrs_dgl.files import read_json, write_json
from damrs_dgl.models.systems import BACKBONE, check_system
from damrs_dgl.recipe import Recipe, as_system, with_values
from damrs_dgl.run import artefact_key

CLEAN = "none"  # the noise of a ratio-0 cell: clean data is the same for every kind of noise


@dataclass(frozen=True)
class Cell:
    """One training of the study."""

    model: str
    noise: str
    ratio: float
    seed: int


def systems_of(recipe: Recipe[Any], asked: Sequence[str]) -> list[str]:
    """The systems to compare, each once, in lower case, the backbone by its own name; none asked: the recipe's own.

    Raises ValueError for a name that is no system.
    """
    own = recipe.model.name
    backbone = getattr(recipe.model, BACKBONE, None)
    names = [check_system(name) for name in asked] or [own, *([BACKBONE] if backbone else [])]
    return list(dict.fromkeys(backbone.name if backbone and name == BACKBONE else name for name in names))


def plan_cells(
    models: Sequence[str], noises: Sequence[str], ratios: Sequence[float], seeds: Sequence[int]
) -> list[Cell]:
    """All cells, those of one corrupted data set side by side; the clean ones first, once for all kinds of noise."""
    clean = [Cell(model, CLEAN, 0.0, seed) for seed in seeds for model in models]
    noisy = sorted({ratio for ratio in ratios if ratio > 0})
    return clean + [
        Cell(model, noise, ratio, seed) for noise in noises for ratio in noisy for seed in seeds for model in models
    ]


class StressStudy:
    """Runs cells and remembers finished ones.

    Parameters
    ----------
    recipe: the recipe that each system is derived from.  dataset: the clean data.
    folder: where finished cells are kept.  device: what they are trained on.
    """

    def __init__(self, recipe: Recipe[Any], dataset: MultimodalDataset, folder: Path, device: torch.device) -> None:
        self.recipe = recipe
        self.dataset = dataset
        self.folder = folder
        self.device = device
        # of the cell before: the noise with its data set, and the graphs of that data set by their settings
        self._noise: tuple[str, float, int] | None = None
        self._data = dataset
        self._graphs: dict[str, dgl.DGLGraph] = {}

    def finished(self, cells: Sequence[Cell]) -> int:
        """How many of the cells are remembered."""
        return sum(self._path(cell).exists() for cell in cells)

    def run(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, dict[str, Any]]]:
        """Yield each cell with its result, trained now or remembered. Raises RunError for a damaged result."""
        for cell in cells:
            path = self._path(cell)
            if path.exists():
                yield cell, read_json(path, fix="delete it and run `stress` again")
                continue
            result = self._train(cell)
            write_json(path, {**asdict(cell), **result})
            yield cell, result

    def _path(self, cell: Cell) -> Path:
        """The file of a cell's result, named by a hash of all that it depends on."""
        sections = self._recipe_of(cell).section_hash("graphs", "model", "training", "evaluation")
        key = artefact_key("stress", self.dataset.fingerprint(), sections, cell.noise, cell.ratio)
        return self.folder / f"{key}.json"

    def _recipe_of(self, cell: Cell) -> Recipe[Any]:
        return with_values(as_system(self.recipe, cell.model), {"training.seed": cell.seed})

    def _train(self, cell: Cell) -> dict[str, Any]:
        recipe, dataset = self._recipe_of(cell), self._data_of(cell)
        trainer = prepare_training(recipe, dataset, self._graph_of(recipe, dataset), device=self.device)
        progress = trainer.fit()
        test = SplitEvaluator(recipe, dataset, "test")(scorer_of(trainer.model))
        seconds = sum(row["seconds"] for row in progress.history)
        return {**test, "best_epoch": progress.best_epoch, "epochs": progress.epoch, "seconds": round(seconds, 3)}

    def _data_of(self, cell: Cell) -> MultimodalDataset:
        """The corrupted data of a cell, always made from the clean data; cells of one (noise, ratio, seed) share it."""
        noise = None if cell.noise == CLEAN else (cell.noise, cell.ratio, cell.seed)
        if noise != self._noise:
            self._data = corrupt(self.dataset, cell.noise, cell.ratio, seed=cell.seed) if noise else self.dataset
            self._noise, self._graphs = noise, {}
        return self._data

    def _graph_of(self, recipe: Recipe[Any], dataset: MultimodalDataset) -> dgl.DGLGraph:
        key = recipe.section_hash("graphs")
        if key not in self._graphs:
            self._graphs[key] = build_recipe_graph(recipe, dataset, device=self.device).graph
        return self._graphs[key]


def stress_rows(results: Sequence[tuple[Cell, dict[str, Any]]], noises: Sequence[str]) -> list[dict[str, Any]]:
    """A row per (model, noise, ratio, seed): every test metric, and the drop of recall and NDCG at 20 against ratio 0.

    A clean cell becomes one row of each kind of noise. `drop_*` is relative: 0.1 means that a tenth was lost.
    """
    clean = {(cell.model, cell.seed): result for cell, result in results if cell.noise == CLEAN}
    expanded = [
        (replace(cell, noise=noise), result)
        for noise in noises
        for cell, result in results
        if cell.noise in (noise, CLEAN)
    ]
    rows = []
    for cell, result in expanded:
        drops = {
            f"drop_{metric}": 1 - result[metric] / base[metric] if base[metric] else 0.0
            for base in [clean[cell.model, cell.seed]]
            for metric in result
            if metric in ("recall@20", "ndcg@20")
        }
        rows.append({**asdict(cell), **{k: v for k, v in result.items() if k not in asdict(cell)}, **drops})
    return rows
