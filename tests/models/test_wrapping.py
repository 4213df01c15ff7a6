"""What a wrapper keeps of the system inside it, and what cannot be wrapped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.models import registry
from damrs_dgl.models.base import Batch, Embeddings, Encoded, RankingModel, TableConfig, WrapperConfig, pair_scores
from damrs_dgl.models.registry import find_model
from damrs_dgl.models.specification.tables import make_config
from damrs_dgl.models.wrapper import WrapperModel
from tests.models import test_conformance as conformance
from tests.models.builders import build, make_batch, tiny_dataset


@pytest.mark.parametrize(
    "backbone, terms",
    [
        ("sgl", {"user_contrast", "item_contrast"}),
        ("slmrec", {"alignment"}),
        ("bm3", {"alignment", "masking"}),
        ("micro", {"contrast"}),
        ("mmssl", {"contrast", "content_regularization"}),  # nobody would train its critic
    ],
)
@pytest.mark.parametrize("wrapper", ["damrs", "tce"])
def test_a_wrapper_keeps_the_auxiliary_losses_of_what_it_wraps(wrapper: str, backbone: str, terms: set[str]) -> None:
    model = build(wrapper, backbone={"name": backbone, "dim": 8})
    assert terms <= model.training_step(make_batch(tiny_dataset(), model=model)).keys()


@pytest.mark.parametrize("name", ["slmrec", "bm3", "micro", "mmssl", "damrs"])
def test_auxiliary_losses_are_of_a_systems_own_pass(name: str) -> None:
    model = build(name)
    with pytest.raises(TypeError, match="of the system's own pass, not Encoded"):
        model.auxiliary_losses(make_batch(tiny_dataset(), model=model), Encoded(*model.embeddings() * 2))


@pytest.mark.parametrize("wrapper", ["damrs", "tce", "deca"])
@pytest.mark.parametrize("backbone", ["ease", "popularity", "blend"])
def test_a_system_without_training_steps_cannot_be_wrapped(wrapper: str, backbone: str) -> None:
    with pytest.raises(ValueError, match=f'round "{backbone}"'):
        make_config({"name": wrapper, "backbone": backbone})


@pytest.mark.parametrize("wrapper", ["damrs", "rce"])
def test_a_denoising_loss_cannot_be_wrapped(wrapper: str) -> None:
    """Nothing of it would be left: the wrapper brings a ranking loss of its own."""
    with pytest.raises(ValueError, match='round "tce"'):
        make_config({"name": wrapper, "backbone": "tce"})


def test_what_only_scores_cannot_be_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnlyScores(RankingModel):
        name, Config = "only_scores", TableConfig

    monkeypatch.setitem(registry._MODELS, "only_scores", OnlyScores)
    with pytest.raises(ValueError, match='"only_scores" has no user and item vectors, only scores'):
        make_config({"name": "tce", "backbone": "only_scores"})


def test_a_wrapper_may_be_of_one_kind_of_backbone_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class OfTables(WrapperConfig[TableConfig]):
        pass

    class Mine(RankingModel):
        name, Config = "mine", OfTables

    monkeypatch.setitem(registry._MODELS, "mine", Mine)
    table = {"name": "mine", "backbone": {"name": "mf", "dim": 8}}
    assert registry.config_class(table) is OfTables
    assert registry.config_class({**table, "name": "tce"}) is not find_model("tce").Config


@pytest.mark.parametrize("name", ["ngcf", "mmssl"])
def test_dropout_inside_a_system_stays_where_it_is_wrapped(name: str) -> None:
    """A wrapper calls `encode_batch`, which draws from the batch's generator as the system's own step does."""
    model = build(name, dim=8)
    model.train()
    batch = make_batch(tiny_dataset(), model=model)
    first, again, second = (
        model.encode_batch(replace(batch, generator=torch.Generator().manual_seed(seed))).users for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


class Plain(WrapperModel):
    """BPR round any system, and nothing else: what a wrapper has to say at the least."""

    name = "plain"

    def embeddings(self) -> Embeddings:
        return self.backbone.embeddings()

    def training_step(self, batch: Batch) -> dict[str, Tensor]:
        encoded = self.backbone.encode_batch(batch)
        users, (positive, negative) = encoded.users[batch.users], encoded.items[batch.pair_items].chunk(2)
        feedback = softplus(pair_scores(users, negative - positive)).mean()
        return {"feedback": feedback} | self.backbone.auxiliary_losses(batch, encoded)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Round SGL, which has tables and draws new views for each epoch."""
    monkeypatch.setitem(registry._MODELS, "plain", Plain)
    return {"model.name": "plain", "model.backbone": "sgl", "training.start": "spectral"}


def test_a_wrapper_begins_where_what_it_wraps_begins(plain: dict[str, object], shop: MultimodalDataset) -> None:
    wrapped = conformance.trainer_of(plain, shop).model.tables()
    alone = conformance.trainer_of({"model.name": "sgl", "training.start": "spectral"}, shop).model.tables()
    random = conformance.trainer_of({**plain, "training.start": "random"}, shop).model.tables()
    assert wrapped is not None and alone is not None and random is not None
    for place in (0, 1):
        assert torch.equal(wrapped[place], alone[place]) and not torch.equal(wrapped[place], random[place])


def test_a_wrapper_is_resumed_exactly(plain: dict[str, object], shop: MultimodalDataset, tmp_path: Path) -> None:
    conformance.test_a_resumed_training_is_the_uninterrupted_one(plain, shop, tmp_path)


def test_the_weights_of_what_is_wrapped_stand_under_its_name() -> None:
    alone = build("lightgcn", dim=8).state_dict()
    for wrapper in ("damrs", "tce"):
        model = build(wrapper, backbone={"name": "lightgcn", "dim": 8})
        inside = {key: value for key, value in model.state_dict().items() if key.startswith("backbone.")}
        assert inside.keys() == {f"backbone.{key}" for key in alone}
