"""damrs-dgl: recommend items that have pictures, texts or sounds when the content and the feedback are noisy.

The public names, imported at first use so that the command line answers at once:

* `MultimodalDataset`: ids, splits, features; from arrays, frames or files (`read_mmrec`, `read_mmssl`, `read_tables`).
* `Recommender`: fit, recommend, similar_items, evaluate.
* `load_recipe`, `Recipe`: what to do, as a checked recipe.
* `build_graph`, `evaluate_ranking`: parts that are useful alone; the losses are in `damrs_dgl.losses`.
* `synthetic_shop`: synthetic data with known noise.   `corrupt`: noise for real data.
* `DamrsError`: the base of every error that is raised on purpose.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from damrs_dgl.data.dataset import MultimodalDataset
    from damrs_dgl.data.formats import read_mmrec, read_mmssl, read_tables
    from damrs_dgl.data.noise import corrupt
    from damrs_dgl.data.synthetic import synthetic_shop
    from damrs_dgl.errors import DamrsError
    from damrs_dgl.evaluation.metrics import evaluate_ranking
    from damrs_dgl.graphs.build import build_graph
    from damrs_dgl.recipe import Recipe, load_recipe
    from damrs_dgl.recommender import Recommender

_HOMES = {
    "DamrsError": "damrs_dgl.errors",
    "MultimodalDataset": "damrs_dgl.data.dataset",
    "Recipe": "damrs_dgl.recipe",
    "Recommender": "damrs_dgl.recommender",
    "build_graph": "damrs_dgl.graphs.build",
    "corrupt": "damrs_dgl.data.noise",
    "evaluate_ranking": "damrs_dgl.evaluation.metrics",
    "load_recipe": "damrs_dgl.recipe",
    "read_mmrec": "damrs_dgl.data.formats",
    "read_mmssl": "damrs_dgl.data.formats",
    "read_tables": "damrs_dgl.data.formats",
    "synthetic_shop": "damrs_dgl.data.synthetic",
}

__all__ = [
    "DamrsError",
    "MultimodalDataset",
    "Recipe",
    "Recommender",
    "build_graph",
    "corrupt",
    "evaluate_ranking",
    "load_recipe",
    "read_mmrec",
    "read_mmssl",
    "read_tables",
    "synthetic_shop",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'damrs_dgl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
