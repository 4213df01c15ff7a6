"""From a recipe to the objects that it describes: data set, graph, model, trainer, metrics.

The one place where recipe keys meet keyword arguments; everything above it (stages, studies, the Python API) calls
these functions, everything below knows no recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.left_out import leave_out_file, weigh_clicks
from damrs_dgl.data.parts import Interactions
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.errors import DataError, DeviceError, SystemFault, fault_of, refusal
from damrs_dgl.evaluation.lists import RankedLists
from damrs_dgl.evaluation.metrics import ranked_lists, ranking_metrics
from damrs_dgl.graphs.build import BuiltGraph, build_graph
from damrs_dgl.models.base import ModelInputs, RankingModel
from damrs_dgl.models.registry import find_model, reads_content
from damrs_dgl.models.specification.needs import unmet
from damrs_dgl.recipe import Recipe
from damrs_dgl.scoring import Scorer
from damrs_dgl.training.checkpoint import CheckpointStore
from damrs_dgl.training.setup import make_trainer
from damrs_dgl.training.start import content_smoothing
from damrs_dgl.training.trainer import Trainer
from damrs_dgl.user_items import UserItems


def pick_device(name: str) -> torch.device:
    """The torch device of `auto`, `cpu` or `cuda`. Raises DeviceError for another name, and for `cuda` without one."""
    if name not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"there is no device {name!r}", fix="choose auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise DeviceError(
            "no CUDA device is to be had here", where="--device cuda", fix="use --device cpu, or see `damrs-dgl doctor`"
        )
    return torch.device("cuda" if name == "cuda" or (name == "auto" and available) else "cpu")


def load_dataset(recipe: Recipe[Any]) -> MultimodalDataset:
    """Read, or make up, the recipe's data set. Raises DataError or RecipeError for whatever is wrong with it."""
    data = recipe.data
    dataset: MultimodalDataset = data.read()
    if data.left_out:
        dataset = leave_out_file(dataset, Path(data.left_out))
    return weigh_clicks(dataset, Path(data.click_weights)) if data.click_weights else dataset


def build_recipe_graph(recipe: Recipe[Any], dataset: MultimodalDataset, **options: Any) -> BuiltGraph:
    """The heterograph of a data set as the recipe's [graphs] asks."""
    return build_graph(dataset, **recipe.graphs.model_dump(), **options)


def check_data(recipe: Recipe[Any], dataset: MultimodalDataset) -> None:
    """Raise RecipeError for what the model, or one inside it, needs of the data: modalities, or clicks without weights.

    The modalities may be others than those that the recipe names: data in memory, or files that need not be there.
    """
    absent = recipe.data.modalities if getattr(recipe.data, "optional_modalities", False) else ()
    behavior, weighted = recipe.graphs.behavior, dataset.train.weights is not None
    needs = unmet(recipe.model, dataset.modalities, behavior=behavior, weighted=weighted, written={}, absent=absent)
    if found := list(needs):
        raise refusal(found)


def build_model(
    recipe: Recipe[Any],
    dataset: MultimodalDataset,
    graph: dgl.DGLGraph,
    *,
    generator: torch.Generator,
    device: torch.device,
) -> RankingModel:
    """A freshly initialised model as the recipe's [model] asks; its tables are drawn from `generator`.

    Raises RecipeError for what `check_data` finds.
    """
    check_data(recipe, dataset)
    model = find_model(recipe.model.name)
    return model(ModelInputs(dataset, graph, device, generator), recipe.model)


def restored_model(
    weights: Mapping[str, torch.Tensor],
    recipe: Recipe[Any],
    dataset: MultimodalDataset,
    graph: dgl.DGLGraph,
    device: torch.device,
) -> RankingModel:
    """The recipe's model with stored weights."""
    unused = torch.Generator().manual_seed(0)  # for the initial weights, which the stored ones replace
    model = build_model(recipe, dataset, graph, generator=unused, device=device)
    model.load_state_dict(weights)
    return model


@torch.no_grad()
def scorer_of(model: RankingModel) -> Scorer:
    """What the model prefers, in evaluation mode, without gradient."""
    model.eval()
    scorer = model.scorer()
    if not hasattr(scorer, "scores"):
        raise fault_of(type(model), f"its `scorer` gives a {type(scorer).__name__}", "it gives what has `scores`")
    return scorer


class SplitEvaluator:
    """Full-ranking metrics on `validation` or `test` under the recipe's protocol; what can be prepared once is.

    Called with a scorer; returns `{"recall@5": ..., ...}`, means over the users with a click in the training part and
    the split. users_of: the data set whose training part that is; `dataset` by default. Raises DataError for another
    split.
    """

    def __init__(
        self,
        recipe: Recipe[Any],
        dataset: MultimodalDataset,
        split: str,
        *,
        users_of: MultimodalDataset | None = None,
    ) -> None:
        if split not in ("validation", "test"):
            raise DataError(f"there is no split {split!r}", where="evaluate", fix='give "validation" or "test"')
        relevant: Interactions = getattr(dataset, split)
        excluded = excluded_pairs(recipe, dataset, split)
        self.size = dataset.num_users, dataset.num_items
        self.relevant = UserItems.from_pairs(relevant.users, relevant.items, dataset.num_users)
        self.seen = UserItems.from_pairs(*excluded, dataset.num_users)
        trained = (users_of or dataset).train.users
        self.trained_users = torch.bincount(trained, minlength=dataset.num_users) > 0
        self.settings = recipe.evaluation

    @torch.no_grad()
    def lists(self, scorer: Scorer) -> RankedLists:
        """What the metrics are worked out from, the longest of evaluation.ks long."""
        if (scorer.num_users, scorer.num_items) != self.size:
            found = f"{scorer.num_users:,} users and {scorer.num_items:,} items"
            users, items = self.size
            raise SystemFault(
                f"the system ranks {found}, and the data hold {users:,} and {items:,}",
                fix="its `embeddings` or `scorer` needs a row for each",
            )
        return ranked_lists(
            scorer,
            max(self.settings.ks),
            relevant=self.relevant,
            seen=self.seen,
            trained_users=self.trained_users,
            block_size=self.settings.block_size,
        )

    def __call__(self, scorer: Scorer) -> dict[str, float]:
        lists = self.lists(scorer)
        return ranking_metrics(lists.hits, lists.num_relevant, self.settings.ks, num_items=self.size[1])


def excluded_pairs(recipe: Recipe[Any], dataset: MultimodalDataset, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The (users, items) pairs left out of a split's ranking: training, and in `unseen` at test also validation.

    Training clicks that nothing learns from (`data.left_out`) are among them: their users know the items.
    """
    parts = [dataset.train, dataset.left_out]
    if split == "test" and recipe.evaluation.protocol == "unseen":
        parts.append(dataset.validation)
    return torch.cat([part.users for part in parts]), torch.cat([part.items for part in parts])


def known_interactions(dataset: MultimodalDataset) -> tuple[torch.Tensor, torch.Tensor]:
    """The (users, items) pairs of all splits and those left out: what no recommendation shows."""
    parts = (dataset.train, dataset.validation, dataset.test, dataset.left_out)
    return torch.cat([part.users for part in parts]), torch.cat([part.items for part in parts])


def prepare_training(
    recipe: Recipe[Any],
    dataset: MultimodalDataset,
    graph: dgl.DGLGraph,
    *,
    device: torch.device,
    store: CheckpointStore | None = None,
) -> Trainer:
    """A trainer with a freshly initialised model, everything random drawn from the recipe's seed."""
    generator = torch.Generator().manual_seed(recipe.training.seed)
    model = build_model(recipe, dataset, graph, generator=generator, device=device)
    smoothed = recipe.training.start == "spectral" and reads_content(recipe.model)
    smoothing = content_smoothing(graph, recipe.training.start_content) if smoothed else None
    evaluator = SplitEvaluator(recipe, dataset, "validation")
    return make_trainer(
        model,
        recipe.model,
        recipe.training,
        dataset,
        smoothing=smoothing,
        judge=lambda part: evaluator(scorer_of(part)),
        generator=generator,
        device=device,
        store=store,
    )
