"""DeCA round MF: whole steps, values and gradients, against a slow float64 form from the paper; its turns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from damrs_dgl.losses.denoised_cross_entropy import cross_entropy
from damrs_dgl.models.base import Batch
from damrs_dgl.models.denoising.deca import DeCA
from damrs_dgl.models.specification.tables import make_config
from tests.models.builders import build, make_batch, tiny_dataset


def log(probability: Tensor) -> Tensor:
    """As the paper's code takes every logarithm."""
    return torch.log(probability + 1e-5)


def divergence(a: Tensor, b: Tensor) -> Tensor:
    """KL(Bernoulli(a) || Bernoulli(b))."""
    return a * (log(a) - log(b)) + (1 - a) * (log(1 - a) - log(1 - b))


def written_out(model: Any, tables: dict[str, Tensor], batch: Batch, *, dislike: bool) -> Tensor:
    """The whole loss of a step from its tables, pair by pair; gradient passes wherever it can.

    p: the system; q: what it agrees with; phi: P(observed | disliked) where `dislike`, else P(observed | liked).
    """
    assert batch.negative_items is not None
    config, total = model.config, torch.zeros((), dtype=torch.float64)
    for items, label in ((batch.positive_items, 1), (batch.negative_items, 0)):
        for user, item in zip(batch.users.tolist(), items.tolist(), strict=True):
            part = "dislike" if dislike else "like"
            p, q, phi = (
                torch.sigmoid((tables[f"{name}.user_table"][user] * tables[f"{name}.item_table"][item]).sum())
                for name in ("backbone", "agreement", part)
            )
            total = total + config.balance * divergence(q, p) + (1 - config.balance) * divergence(p, q)
            if dislike and label:
                total = total - (1 - p) * log(phi)
            elif dislike:
                total = total - (1 - p) * log(1 - phi) + config.positive_penalty * p
            elif label:
                total = total - p * log(phi) + config.negative_penalty * (1 - p)
            else:
                total = total - p * log(1 - phi)
    return total / len(batch.users)


@pytest.mark.parametrize("agreement", ["learned", "pretrained"])
@pytest.mark.parametrize("dislike", [True, False])
def test_a_step_round_mf_against_the_written_out_form(agreement: str, *, dislike: bool) -> None:
    """With penalties near 1, so that each term has its say in the gradients; DeCA(p)'s q is constant."""
    data = tiny_dataset(())
    keys: dict[str, Any] = {"helper_dim": 3, "balance": 0.3, "positive_penalty": 1.4, "negative_penalty": 0.6}
    model: Any = build("deca", data, backbone="mf", dim=4, agreement=agreement, **keys).double()
    generator = torch.Generator().manual_seed(3)
    for value in (*model.parameters(), *(b for name, b in model.named_buffers() if name.startswith("agreed"))):
        value.data.normal_(generator=generator)
    model.steps.fill_(0 if dislike else 1)
    if agreement == "pretrained":
        model.pretrained.fill_(True)
    batch = make_batch(data, model=model)
    tables = {name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()}
    frozen = {}
    if agreement == "pretrained":
        frozen = {"agreement.user_table": model.agreed_users, "agreement.item_table": model.agreed_items}
    found = torch.stack(list(model.training_step(batch).values())).sum()
    expected = written_out(model, {**tables, **frozen}, batch, dislike=dislike)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)
    found.backward()
    expected.backward()
    idle = "like" if dislike else "dislike"
    for name, value in model.named_parameters():
        wanted = tables[name].grad
        assert (value.grad is None) == (wanted is None) == name.startswith(f"{idle}."), name
        if value.grad is not None and wanted is not None:
            assert wanted.any()
            assert torch.allclose(value.grad.to_dense(), wanted, rtol=1e-8, atol=1e-11), name


def test_penalties_widths_and_balance_are_the_papers_by_default() -> None:
    config: Any = make_config({"name": "deca"})
    assert (config.positive_penalty, config.negative_penalty, config.balance) == (1000, 10, 0.5)
    assert (config.helper_dim, config.agreement, config.weight_decay) == (32, "learned", 0)


def test_helpers_start_as_in_the_paper_and_learn_at_a_rate_of_their_own() -> None:
    """Tables from N(0, 0.01^2); Adam's first step is as long as its rate, wherever there is a gradient."""
    data = tiny_dataset(())
    model: Any = build("deca", data, backbone="mf", dim=4, helper_dim=64)
    helpers = {name: value for name, value in model.named_parameters() if not name.startswith("backbone")}
    assert len(helpers) == 6
    for name, value in helpers.items():
        assert float(value.detach().square().mean().sqrt()) == pytest.approx(0.01, rel=0.1), name
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    model.optimize(make_batch(data), model.configure_optimizers(0.07))
    for name, value in model.named_parameters():
        longest = float((value.detach() - before[name]).abs().max())
        rate = 0.07 if name.startswith("backbone") else 0 if name.startswith("like") else 1e-3
        assert longest == pytest.approx(rate, rel=0.05), name


def test_it_takes_turns_and_starts_with_observed_pairs() -> None:
    data = tiny_dataset(())
    model = build("deca", data, backbone="mf", dim=4, helper_dim=3)
    optimizers = model.configure_optimizers(0.01)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    model.optimize(make_batch(data), optimizers)
    moved = {name.split(".")[0] for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {"backbone", "agreement", "dislike"}
    model.optimize(make_batch(data), optimizers)
    moved = {name.split(".")[0] for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {"backbone", "agreement", "dislike", "like"}


def test_the_pretrained_form_agrees_with_its_own_past() -> None:
    data = tiny_dataset(())
    model = build("deca", data, backbone="mf", dim=4, agreement="pretrained", pretrain_epochs=2)
    assert isinstance(model, DeCA)
    generator = torch.Generator().manual_seed(0)
    optimizers = model.configure_optimizers(0.05)
    assert set(optimizers) == {"model", "dislike", "like"}
    for epoch in (1, 2, 3):
        model.on_epoch_start(epoch, generator)
        assert bool(model.pretrained) == (epoch == 3)
        if epoch == 3:
            assert torch.equal(model.agreed_users, model.backbone.embeddings().users.detach())
        terms = model.optimize(make_batch(data, seed=epoch), optimizers)
        assert all(torch.isfinite(value) for value in terms.values())


def test_pretraining_is_plain_and_regularised_and_counts_no_step() -> None:
    data = tiny_dataset(())
    model = build("deca", data, backbone="mf", dim=4, agreement="pretrained", pretrain_epochs=1, weight_decay=0.3)
    assert isinstance(model, DeCA)
    model.on_epoch_start(1, torch.Generator().manual_seed(0))
    batch = make_batch(data)
    users, items = model.embeddings()
    s = (users[batch.users.repeat(2)] * items[batch.pair_items]).sum(1)
    labels = torch.cat([torch.ones(12), torch.zeros(12)])
    plain = 2 * cross_entropy(s, labels).mean()  # mean over the observed pairs plus mean over as many sampled ones
    expected = plain + 0.3 / (2 * data.num_users) * (users.square().sum() + items.square().sum())
    terms = model.optimize(batch, model.configure_optimizers(0.01))
    assert sum(terms.values()).item() == pytest.approx(expected.item())
    assert int(model.steps) == 0  # so that the first step after it denoises observed pairs
    model.on_epoch_start(2, torch.Generator().manual_seed(0))
    model.optimize(batch, model.configure_optimizers(0.01))
    assert int(model.steps) == 1
