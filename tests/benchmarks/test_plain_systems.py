"""The benchmark's plain systems compute what the toolkit's do: each term of the loss over some training steps, float64.

Later steps agree only where the gradients of the earlier ones did.
"""

from __future__ import annotations

import pytest
import torch

from benchmarks.plain_systems import PLAIN
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.models.base import Batch, ClosedFormModel, RankingModel
from damrs_dgl.models.registry import find_model, models
from damrs_dgl.models.specification.tables import make_config
from tests.models.builders import make_batch, make_inputs

STEPS = 3
# What the two sides draw each in their own way is left out
SETTINGS: dict[str, dict[str, object]] = {
    "ngcf": {"dropout": 0.0},
    "bm3": {"dropout": 0.0},
    "mmssl": {"dropout": 0.0, "critic_first_dropout": 0.0, "critic_second_dropout": 0.0, "critic_users": 24},
    "lattice": {"k": 4},
    "micro": {"k": 4},
}


@pytest.fixture(scope="module")
def data() -> MultimodalDataset:
    sizes = {"users": 50, "items": 40, "styles": 4, "clicks_per_user": 6, "dims": {"visual": 8, "textual": 7}}
    return synthetic_shop(**sizes, swapped_share=0, seed=3).dataset  # no two items alike, whose cosines would tie


def enlarged(model: RankingModel) -> RankingModel:
    """In float64, and far enough from 0 that softmaxes vary."""
    with torch.no_grad():
        for parameter in model.double().parameters():
            parameter.mul_(4)
    return model


def batch_of(data: MultimodalDataset, step: int, negatives: bool) -> Batch:
    return make_batch(data, 32, seed=step, negatives=negatives)


@pytest.mark.parametrize("name", PLAIN)
def test_same_losses(name: str, data: MultimodalDataset) -> None:
    config = make_config({"name": name, "dim": 12, **SETTINGS.get(name, {})})
    model, taken_over = (enlarged(find_model(name)(make_inputs(data), config)) for _ in range(2))  # type: ignore[call-arg]
    plain = PLAIN[name](taken_over, make_inputs(data))
    optimizers = model.configure_optimizers(1e-3)
    model.on_epoch_start(1, torch.Generator().manual_seed(5))
    plain.begin_epoch(torch.Generator().manual_seed(5))
    for step in range(STEPS):
        fast, slow = (batch_of(data, step, model.num_negatives > 0) for _ in range(2))
        mine, theirs = model.optimize(fast, optimizers), plain.step(slow)
        assert list(mine) and set(mine) == set(theirs)
        for term, value in mine.items():
            assert value.item() != 0, term
            assert theirs[term].item() == pytest.approx(value.item(), rel=1e-4), (step, term)


def test_every_system_that_is_trained_by_itself_has_a_plain_form() -> None:
    alone = {
        name
        for name, model in models().items()
        if not issubclass(model, ClosedFormModel) and "backbone" not in model.Config.model_fields
    }
    assert alone == set(PLAIN)
