"""From a recipe to the objects that it describes: data set, graph, model, objective, trainer, metrics.

The one place where recipe keys meet keyword arguments; everything above it (stages, studies, the Python API) calls
these functions, everything below knows no recipe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.formats import FORMATS
from damrs_dgl.data.parts import Interactions
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.errors import DeviceError, RecipeError
from damrs_dgl.evaluation.metrics import evaluate_ranking
from damrs_dgl.evaluation.ranking import SeenItems
from damrs_dgl.graphs.build import BuiltGraph, build_graph
from damrs_dgl.graphs.schema import item_relations
from damrs_dgl.models.backbones import MF, VBPR, Backbone, LightGCN, raw_content, unit_content
from damrs_dgl.models.damrs import DAMRS, fuse_mean, fuse_sum
from damrs_dgl.models.representations import RankingModel, Representations
from damrs_dgl.recipe import Recipe
from damrs_dgl.training.adam import Adam
from damrs_dgl.training.checkpoint import CheckpointStore
from damrs_dgl.training.objective import VARIANTS, Objective
from damrs_dgl.training.sampling import TripleSampler
from damrs_dgl.training.trainer import Progress, Schedule, Trainer

FUSIONS = {"paper": fuse_mean, "authors": fuse_sum}
CONTENT_SCALES = {"paper": unit_content, "authors": raw_content}


def pick_device(name: str) -> torch.device:
    """The torch device of `auto`, `cpu` or `cuda`. Raises DeviceError for `cuda` on a machine without one."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise DeviceError(
            "no CUDA device is to be had here", where="--device cuda", fix="use --device cpu, or see `damrs-dgl doctor`"
        )
    return torch.device("cuda" if name == "cuda" or (name == "auto" and available) else "cpu")


def load_dataset(recipe: Recipe) -> MultimodalDataset:
    """Read, or make up, the recipe's data set. Raises DataError or RecipeError for whatever is wrong with it."""
    data = recipe.data
    if data.format == "synthetic":
        dims = {name: modality.dim for name, modality in data.modalities.items()}
        settings = data.model_dump(exclude={"format", "modalities"})
        return synthetic_shop(**settings, dims=dims).dataset
    settings = data.model_dump(exclude={"format", "path"}, exclude_none=True)
    return FORMATS[data.format](recipe.data_path(), **settings)


def build_recipe_graph(recipe: Recipe, dataset: MultimodalDataset, **options: Any) -> BuiltGraph:
    """The heterograph of a data set as the recipe's [graphs] asks."""
    return build_graph(dataset, **recipe.resolved().graphs.model_dump(), **options)


def build_model(
    recipe: Recipe, dataset: MultimodalDataset, graph: dgl.DGLGraph, *, generator: torch.Generator, device: torch.device
) -> Backbone | DAMRS:
    """A freshly initialised model as the recipe's [model] asks; its tables are drawn from `generator`."""
    settings = recipe.model
    backbone = _build_backbone(recipe, dataset, graph, generator=generator, device=device)
    if settings.name != "damrs":
        return backbone
    relations = item_relations(graph)
    if not relations:
        raise RecipeError(
            "damrs has no item-item relation to work with",
            where="[graphs]",
            fix="name a modality or set graphs.behavior = true",
        )
    fuse = FUSIONS[settings.variant]
    return DAMRS(backbone, graph, relations, num_layers=settings.item_layers, fuse=fuse, device=device)


def _build_backbone(
    recipe: Recipe, dataset: MultimodalDataset, graph: dgl.DGLGraph, *, generator: torch.Generator, device: torch.device
) -> Backbone:
    settings = recipe.model
    shared: dict[str, Any] = {"dim": settings.dim, "generator": generator, "device": device}
    name = settings.effective_backbone
    if name == "lightgcn":
        return LightGCN(graph, num_layers=settings.layers, **shared)
    if name == "mf":
        return MF(dataset.num_users, dataset.num_items, **shared)
    if not dataset.features:
        raise RecipeError(
            "vbpr needs the content of at least one modality",
            where="[data.modalities]",
            fix="name one, or take another model",
        )
    content = [features.block(0, dataset.num_items) for features in dataset.features.values()]
    return VBPR(dataset.num_users, CONTENT_SCALES[settings.variant](content), **shared)


def build_objective(recipe: Recipe, model: RankingModel) -> Objective:
    """The training objective as the recipe's [losses] asks; a plain backbone has BPR and its regulariser only."""
    resolved = recipe.resolved()
    losses, variant = resolved.losses, VARIANTS[resolved.model.variant]
    assert losses.alpha is not None and losses.beta is not None and losses.regularization is not None
    if resolved.model.name != "damrs":
        return Objective(model, variant, regularization=losses.regularization)
    return Objective(
        model,
        variant,
        denoise=losses.denoised_bpr,
        use_reliability=losses.reliability,
        use_contradiction=losses.contradiction,
        alpha=losses.alpha,
        beta=losses.beta,
        gamma=losses.gamma,
        preference_weight=losses.preference_weight,
        relation_weight=losses.relation_weight,
        relation_strategy=losses.relation_strategy,
        relation_k=losses.relation_k,
        temperature=losses.temperature,
        regularization=losses.regularization,
        refresh_every=_refresh_epochs(losses.refresh),
    )


def _refresh_epochs(refresh: str | int) -> int | None:
    """Epochs between two computations of the graded item sets; None for every step."""
    if isinstance(refresh, int):
        return refresh
    return 1 if refresh == "epoch" else None


def _softmax_sample(recipe: Recipe, num_items: int) -> int | None:
    """How many items outside a batch AU's softmax takes; None: all, as it does in small catalogues, or there is none.

    The authors' AU has no softmax.
    """
    losses, model = recipe.losses, recipe.model
    softmax = model.name == "damrs" and model.variant == "paper" and losses.preference_weight > 0
    return losses.softmax_sample if softmax and num_items > losses.sampled_softmax_above else None


@torch.no_grad()
def representations(model: nn.Module) -> Representations:
    """The model's vectors in evaluation mode, without gradient."""
    model.eval()
    return model()


class SplitEvaluator:
    """Full-ranking metrics on `validation` or `test` under the recipe's protocol; what can be prepared once is.

    Called with user vectors [U, d] and item vectors [I, d]; returns `{"recall@5": ..., ...}`.
    """

    def __init__(self, recipe: Recipe, dataset: MultimodalDataset, split: str) -> None:
        relevant: Interactions = getattr(dataset, split)
        self.relevant = SeenItems.from_pairs(relevant.users, relevant.items, dataset.num_users)
        self.seen = SeenItems.from_pairs(*candidates_left_out(recipe, dataset, split), dataset.num_users)
        self.trained_users = torch.bincount(dataset.train.users, minlength=dataset.num_users) > 0
        self.settings = recipe.evaluation

    def __call__(self, users: torch.Tensor, items: torch.Tensor) -> dict[str, float]:
        result = evaluate_ranking(
            users,
            items,
            relevant=self.relevant,
            seen=self.seen,
            trained_users=self.trained_users,
            ks=self.settings.ks,
            block_size=self.settings.block_size,
        )
        return result.metrics


def candidates_left_out(recipe: Recipe, dataset: MultimodalDataset, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The (users, items) pairs left out of a split's ranking: training, and in `unseen` at test also validation."""
    train, validation = dataset.train, dataset.validation
    if split == "test" and recipe.evaluation.protocol == "unseen":
        return torch.cat([train.users, validation.users]), torch.cat([train.items, validation.items])
    return train.users, train.items


def known_interactions(dataset: MultimodalDataset) -> tuple[torch.Tensor, torch.Tensor]:
    """The (users, items) pairs of all splits: what a recommendation leaves out."""
    parts = (dataset.train, dataset.validation, dataset.test)
    return torch.cat([part.users for part in parts]), torch.cat([part.items for part in parts])


def prepare_training(
    recipe: Recipe,
    dataset: MultimodalDataset,
    graph: dgl.DGLGraph,
    *,
    device: torch.device,
    store: CheckpointStore | None = None,
    on_epoch: Callable[[Progress, Schedule], None] | None = None,
) -> Trainer:
    """A trainer with a freshly initialised model, everything random drawn from the recipe's seed."""
    settings = recipe.training
    generator = torch.Generator().manual_seed(settings.seed)
    model = build_model(recipe, dataset, graph, generator=generator, device=device)
    anchors = None if recipe.losses.anchors == "all" else recipe.losses.anchors
    sampler = TripleSampler(
        dataset.train,
        dataset.num_items,
        batch_size=settings.batch_size,
        anchors=anchors,
        softmax_sample=_softmax_sample(recipe, dataset.num_items),
        device=device,
    )

    evaluator = SplitEvaluator(recipe, dataset, "validation")

    def validate() -> dict[str, float]:
        vectors = representations(model)
        return evaluator(vectors.users, vectors.items)

    return Trainer(
        model,
        build_objective(recipe, model),
        sampler,
        Adam(model.parameters(), lr=settings.learning_rate),
        validate=validate,
        generator=generator,
        schedule=Schedule(settings.epochs, settings.patience, settings.evaluate_every, settings.monitor),
        store=store,
        on_epoch=on_epoch,
        matmul_precision=settings.matmul_precision,
    )
