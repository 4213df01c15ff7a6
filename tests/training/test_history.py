"""Short trainings against the numbers that they gave before the systems moved into files of their own.

A change of the code that changes them changes what every recipe learns: then say so, and write the new numbers here.
"""

from __future__ import annotations

import pytest
import torch

from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.factory import build_recipe_graph, prepare_training
from damrs_dgl.recipe import recipe_from, with_values

SETTINGS: dict[str, object] = {
    "graphs.k": 5,
    "training.batch_size": 256,
    "training.learning_rate": 0.02,
    "training.epochs": 4,
    "training.start": "random",
    "training.seed": 3,
    "evaluation.ks": (20,),
    "model.dim": 16,
}
OF_DAMRS: dict[str, object] = {
    "model.relation_k": 5,
    "model.anchors": 64,
    "model.gamma": 2.0,
    "model.preference_weight": 0.01,
    "model.relation_weight": 0.1,
}
CASES: dict[str, dict[str, object]] = {
    "mf": {"model.name": "mf"},
    "lightgcn": {"model.name": "lightgcn"},
    "vbpr": {"model.name": "vbpr"},
    "damrs-paper": {"model.variant": "paper", **OF_DAMRS},
    "damrs-authors": {"model.variant": "authors", **OF_DAMRS},
    "damrs-authors-vbpr": {"model.variant": "authors", "model.backbone": "vbpr", "model.refresh": 2, **OF_DAMRS},
    "damrs-paper-mf": {
        "model.variant": "paper",
        "model.backbone": "mf",
        "model.refresh": "epoch",
        **OF_DAMRS,
        "model.preference_weight": 0.1,
    },
}
# Of each epoch the mean loss and the validation Recall@20
EXPECTED: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "mf": (
        (0.7088927, 0.6950536, 0.6835281, 0.6603939),
        (0.1572222, 0.2455556, 0.34, 0.5066667),
    ),
    "lightgcn": (
        (0.6767398, 0.5843695, 0.4225498, 0.3054436),
        (0.5083333, 0.5488889, 0.5805556, 0.5877778),
    ),
    "vbpr": (
        (0.765438, 0.7088084, 0.6817004, 0.6530234),
        (0.2055556, 0.3238889, 0.4311111, 0.5427778),
    ),
    "damrs-paper": (
        (1.859453, 1.796957, 1.66523, 1.462581),
        (0.5133333, 0.6022222, 0.6155556, 0.6405556),
    ),
    "damrs-authors": (
        (0.5545386, 0.49723, 0.4407033, 0.3688017),
        (0.5166667, 0.5922222, 0.6005556, 0.6011111),
    ),
    "damrs-authors-vbpr": (
        (0.7311558, 0.5731877, 0.4785307, 0.4314795),
        (0.325, 0.4166667, 0.4922222, 0.5116667),
    ),
    "damrs-paper-mf": (
        (1.83475, 1.852712, 1.835924, 1.811208),
        (0.2, 0.2827778, 0.3055556, 0.3672222),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_are_what_they_were(name: str) -> None:
    data = synthetic_shop(
        users=300, items=200, clicks_per_user=10, styles=8, dims={"visual": 16, "textual": 12}, seed=1
    ).dataset
    recipe = with_values(recipe_from({"data": {"format": "synthetic"}}), {**CASES[name], **SETTINGS})
    graph = build_recipe_graph(recipe, data).graph
    history = prepare_training(recipe, data, graph, device=torch.device("cpu")).fit().history
    losses, recalls = EXPECTED[name]
    assert [row["loss"] for row in history] == pytest.approx(losses, rel=1e-4)
    assert [row["validation_recall@20"] for row in history] == pytest.approx(recalls, rel=1e-4)
