"""MMSSL against its definition written out with dense matrices, and what is particular about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from damrs_dgl.errors import RecipeError
from damrs_dgl.models.base import Batch
from damrs_dgl.models.layers import propagation
from damrs_dgl.models.mmssl import learned_graph
from damrs_dgl.models.mmssl.config import MMSSLConfig
from damrs_dgl.models.mmssl.learned_graph import nearest_unseen
from damrs_dgl.models.mmssl.model import MMSSL
from damrs_dgl.models.specification.tables import make_config, preset_values
from damrs_dgl.user_items import UserItems
from tests.models.builders import build, dense_interactions, make_batch, tiny_dataset
from tests.models.mmssl_by_hand import content_by_hand, critic_loss_by_hand, final_by_hand, terms_by_hand

MODALITIES = ("visual", "textual", "acoustic")
NO_DROPOUT = {"dropout": 0.0, "critic_first_dropout": 0.0, "critic_second_dropout": 0.0}
LARGE = {  # so that every term is seen beside the others
    "regularization": 0.3,
    "content_regularization": 0.2,
    "contrast_weight": 0.5,
    "adversarial_weight": 0.7,
    "learned_share": 0.15,
    "real_noise": 0.4,
    "real_similarity": 1.5,
    "gradient_penalty": 2.0,
}


class Recording:
    """An optimiser that leaves the gradients where they are."""

    def __init__(self, parameters: list[torch.nn.Parameter]) -> None:
        self.parameters = parameters

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        pass


def mmssl(modalities: tuple[str, ...] = MODALITIES[:2], *, mined: bool = True, **keys: Any) -> MMSSL:
    model = build("mmssl", tiny_dataset(modalities), **{"dim": 8, "num_heads": 2, **keys}).double()
    assert isinstance(model, MMSSL)
    with torch.no_grad():  # biases start at zero and scales at one, which would hide a missing one
        for name, value in model.named_parameters():
            if value.dim() == 1:
                value.add_(torch.linspace(-0.3, 0.4, len(value)))
            assert value.any(), name
    if mined:
        model.on_epoch_start(1, torch.Generator())
    return model


def batch_of(modalities: tuple[str, ...] = MODALITIES[:2], size: int = 40) -> Batch:
    return make_batch(tiny_dataset(modalities), size)


def leaves_of(model: MMSSL) -> dict[str, Tensor]:
    return {name: value.detach().clone().requires_grad_() for name, value in model.named_parameters()}


@pytest.mark.parametrize("dropouts", [NO_DROPOUT, {}], ids=["plain", "dropout"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_loss_and_gradients_are_the_definition(count: int, dropouts: dict[str, float]) -> None:
    modalities = MODALITIES[:count]
    model, batch = mmssl(modalities, critic_users=30, content_layers=2, **LARGE, **dropouts), batch_of(modalities)
    values = leaves_of(model)
    expected = terms_by_hand(values, model, batch, tiny_dataset(modalities))
    found = model.training_step(batch)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-7, msg=name)
    torch.stack(list(found.values())).sum().backward()
    torch.stack(list(expected.values())).sum().backward()
    for name, parameter in model.named_parameters():
        if name.startswith("critic."):
            assert parameter.grad is None, name
            continue
        one = count == 1 and name in ("attention.query", "attention.key")  # nothing to choose among
        assert parameter.grad is not None and (one or parameter.grad.abs().max() > 1e-9), name
        torch.testing.assert_close(parameter.grad, values[name].grad, rtol=1e-4, atol=1e-7, msg=name)


@pytest.mark.parametrize("dropouts", [NO_DROPOUT, {}], ids=["plain", "dropout"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_critics_loss_and_gradients_are_the_definition(count: int, dropouts: dict[str, float]) -> None:
    """The penalty there is taken of whole mixed rows, as in the paper."""
    modalities = MODALITIES[:count]
    model, batch = mmssl(modalities, critic_users=30, **LARGE, **dropouts), batch_of(modalities)
    values = leaves_of(model)
    expected = critic_loss_by_hand(values, model, batch, tiny_dataset(modalities))
    expected.backward()
    found = model.critic_step(batch, Recording(list(model.parameters())))  # type: ignore[arg-type]
    torch.testing.assert_close(found, expected.detach(), rtol=1e-5, atol=1e-7)
    for name, parameter in model.named_parameters():
        if not name.startswith("critic."):
            assert parameter.grad is None, name
            continue
        assert parameter.grad is not None, name
        torch.testing.assert_close(parameter.grad, values[name].grad, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_it_ranks_by_the_final_tables(layers: int) -> None:
    model = mmssl(num_layers=layers)
    content = content_by_hand(leaves_of(model), model, tiny_dataset(), None)
    users, items, _ = final_by_hand(leaves_of(model), model, tiny_dataset(), content)
    torch.testing.assert_close(model.embeddings().users, users, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(model.embeddings().items, items, rtol=1e-5, atol=1e-7)
    assert model.encode().item_input is model.item_table


def test_learned_edges_are_the_most_similar_items_not_yet_met() -> None:
    model, data = mmssl(learned_share=0.3), tiny_dataset()
    met = dense_interactions(data).bool()
    assert model.learned_edges.shape == (2, 16, 4)
    for found, (users, items) in zip(
        model.learned_edges, content_by_hand(leaves_of(model), model, data, None), strict=True
    ):
        scores = (users @ items.T).detach()
        for user in range(data.num_users):
            unmet = [item for item in range(data.num_items) if not met[user, item]]
            best = sorted(unmet, key=lambda item: -float(scores[user, item]))[:4]
            assert found[user].tolist() == best


def test_every_user_has_a_learned_edge_however_small_the_share() -> None:
    model = mmssl(learned_share=0.0)
    assert model.learned_edges.shape == (2, 16, 1) and (model.learned_edges >= 0).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 7), st.integers(1, 6), st.integers(1, 4))
def test_nobody_gets_an_item_twice_or_one_that_they_know(seed: int, users: int, items: int, blocks: int) -> None:
    """For any graph: users without items, with all items, without content; whatever the size of a block."""
    draws = torch.Generator().manual_seed(seed)
    met = torch.rand(users, items, generator=draws) < 0.5
    pairs = met.nonzero().T.flip(1)
    user_emb, item_emb = torch.randn(users, 3, generator=draws), torch.randn(items, 3, generator=draws)
    user_emb[0] = 0
    seen = UserItems.from_pairs(pairs[0], pairs[1], users)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learned_graph, "_BLOCK_VALUES", items * blocks)
        found = nearest_unseen(user_emb, item_emb, seen, min(2, items))
    for user, row in enumerate(found.tolist()):
        given_items = [item for item in row if item != -1]
        unmet = [item for item in range(items) if not met[user, item]]
        assert len({*given_items}) == len(given_items) and {*given_items} <= {*unmet}
        assert len(given_items) == (min(len(unmet), len(row)) if user else 0)


def test_graphs_are_mined_anew_each_epoch_and_without_randomness() -> None:
    model = mmssl()
    before, state = model.learned_edges.clone(), torch.Generator().manual_seed(0)
    model.on_epoch_start(2, state)
    assert torch.equal(model.learned_edges, before)
    with torch.no_grad():
        model.get_parameter("projections.0.weight").neg_()
        model.get_parameter("projections.0.bias").neg_()
        model.get_parameter("projections.1.weight").copy_(torch.randn(6, 8, generator=state))
    model.on_epoch_start(3, state)
    assert torch.equal(model.learned_edges[0], before[0])  # both sides of a product have turned
    assert not torch.equal(model.learned_edges[1], before[1])


def test_learned_graphs_come_back_with_a_checkpoint() -> None:
    model, fresh = mmssl(learned_share=0.2), mmssl(learned_share=0.2, mined=False)
    assert (fresh.learned_edges == -1).all()
    fresh.load_state_dict({name: value.clone() for name, value in model.state_dict().items()})
    assert torch.equal(fresh.learned_edges, model.learned_edges)
    assert all(map(torch.equal, fresh.embeddings(), model.embeddings()))
    assert set(model.state_dict()) == {*dict(model.named_parameters()), "learned_edges"}


def test_the_order_of_modalities_changes_nothing() -> None:
    model, data = mmssl(), tiny_dataset()
    turned = replace(data, features=dict(reversed(data.features.items())))
    other = build("mmssl", turned, dim=8, num_heads=2).double()
    places = {"projections.0.": "projections.1.", "projections.1.": "projections.0."}
    state = {places.get(name[:14], name[:14]) + name[14:]: value for name, value in model.state_dict().items()}
    other.load_state_dict(state | {"learned_edges": state["learned_edges"].flip(0)})
    assert turned.modalities == data.modalities[::-1]
    for mine, theirs in zip(model.embeddings(), other.embeddings(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_attention_looks_at_the_keys() -> None:
    """In the public code it does not: values are weighed by the query's own index."""
    attention = mmssl().attention
    values = [torch.randn(5, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) for seed in (0, 1)]
    before = attention(values)
    with torch.no_grad():
        attention.key.mul_(-2)
    assert (attention(values) - before).abs().max() > 1e-2
    with torch.no_grad():
        attention.key.zero_()
    mean = (values[0] + values[1]) / 2
    torch.testing.assert_close(attention(values), torch.cat([mean, mean], dim=1) @ attention.output)


def test_without_a_dgl_for_the_device_the_numbers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    by_dgl = build("mmssl", dim=8)
    monkeypatch.setattr(propagation, "uses_dgl", lambda device: False)
    by_torch = build("mmssl", dim=8)
    assert isinstance(by_torch.convolution.to_users, propagation.SparseRelation)
    results = []
    for model in (by_dgl, by_torch):
        monkeypatch.setattr(propagation, "uses_dgl", lambda device, model=model: model is by_dgl)
        assert all(torch.isfinite(part).all() for part in model.embeddings())  # no edges are learned yet
        model.on_epoch_start(1, torch.Generator())
        results.append(model.optimize(batch_of(), model.configure_optimizers(0.01)))
    assert isinstance(by_torch.learned[0].to_users, propagation.SparseRelation)
    for name, value in results[0].items():
        torch.testing.assert_close(value, results[1][name], rtol=1e-3, atol=1e-6)
    for mine, theirs in zip(by_dgl.embeddings(), by_torch.embeddings(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


def test_a_step_moves_both_players_and_decays_the_model_alone() -> None:
    model, batch = mmssl(), batch_of()
    optimizers = model.configure_optimizers(0.01)
    assert optimizers.keys() == {"model", "critic"}
    assert (optimizers["model"].decoupled, optimizers["model"].weight_decay) == (True, 0.01)
    assert (optimizers["critic"].betas, optimizers["critic"].weight_decay) == ((0.5, 0.9), 0.0)
    assert {*optimizers["model"].parameters, *optimizers["critic"].parameters} == set(model.parameters())
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    terms = model.optimize(batch, optimizers)
    assert {"feedback", "contrast", "adversarial", "critic"} <= terms.keys()
    assert not any(value.requires_grad for value in terms.values())
    assert not any(torch.equal(value, before[name]) for name, value in model.named_parameters())


def test_without_an_adversary_there_is_no_critic_to_train() -> None:
    model, batch = mmssl(adversarial_weight=0.0), batch_of()
    optimizers = model.configure_optimizers(0.01)
    before = [value.detach().clone() for value in model.critic.parameters()]
    terms = model.optimize(batch, optimizers)
    assert optimizers.keys() == {"model"} and not terms.keys() & {"adversarial", "critic"}
    assert all(map(torch.equal, model.critic.parameters(), before))


def test_the_critic_is_bounded() -> None:
    """Its width by a key and a quarter of the catalogue, its rows by a key."""
    assert [len(weight) for weight in mmssl().critic.weights] == [14, 3, 1]
    assert [len(weight) for weight in mmssl(critic_width=2).critic.weights] == [14, 2, 1]
    model, batch = mmssl(critic_users=5), batch_of()
    users, seen, rows = model._critic_rows(batch, model.encode())
    assert users.tolist() == sorted({*batch.users[:5].tolist()})
    assert torch.equal(seen, dense_interactions(tiny_dataset())[users])
    assert rows.shape == (2 * len(users), 14)


def test_evaluation_mode_is_deterministic() -> None:
    model, batch = mmssl(), batch_of()
    assert not torch.equal(model.training_step(batch)["contrast"], model.training_step(batch)["contrast"])
    model.eval()
    first, second = model.training_step(batch), model.training_step(batch)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(map(torch.equal, model.embeddings(), model.embeddings()))


@pytest.mark.parametrize("modalities", [MODALITIES[:1], MODALITIES], ids=len)
@pytest.mark.parametrize("mined", [False, True])
def test_a_batch_of_one(modalities: tuple[str, ...], mined: bool) -> None:
    """With biases of zero; item 12 has no visual content, and nothing is learned yet where nothing was mined."""
    model = build("mmssl", tiny_dataset(modalities), dim=8)
    assert not model.get_buffer("content_0")[12].any()
    if mined:
        model.on_epoch_start(1, torch.Generator())
    batch = Batch(torch.tensor([3]), torch.tensor([11]), torch.tensor([12]), torch.Generator().manual_seed(0))
    optimizers = model.configure_optimizers(0.01)
    for _ in range(3):
        assert all(torch.isfinite(value) for value in model.optimize(batch, optimizers).values())
    for optimizer in optimizers.values():
        for parameter in optimizer.parameters:
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all()
            assert torch.isfinite(parameter).all()
    assert all(parameter.grad.abs().max() < 1e3 for parameter in optimizers["model"].parameters)


def test_large_scores_are_finite() -> None:
    model, batch = mmssl(), batch_of()
    with torch.no_grad():
        model.user_table.mul_(300)
        model.item_table.mul_(300)
    users, items = model.embeddings()
    assert (users @ items.T).abs().max() > 1e3
    assert all(torch.isfinite(value) for value in model.optimize(batch, model.configure_optimizers(0.1)).values())


def test_it_learns() -> None:
    model, data = build("mmssl", dim=8), tiny_dataset()
    optimizers = model.configure_optimizers(0.02)
    met = dense_interactions(data).bool()
    losses = []
    for epoch in range(1, 31):
        model.on_epoch_start(epoch, torch.Generator())
        losses.append(float(model.optimize(make_batch(data, 60, seed=epoch), optimizers)["feedback"]))
    assert losses[-1] < 0.7 * losses[0]
    users, items = model.eval().embeddings()
    scores = (users @ items.T).detach()
    assert scores[met].mean() > scores[~met].mean() + 0.5


def test_wrappers_get_the_terms_beside_the_ranking() -> None:
    model, batch = mmssl(**NO_DROPOUT), batch_of()
    kept, terms = model.auxiliary_losses(batch, model.encode()), model.training_step(batch)
    assert kept.keys() == {"contrast", "content_regularization"}
    for name, value in kept.items():
        torch.testing.assert_close(value, terms[name])


def test_a_term_of_weight_zero_is_left_out() -> None:
    model = mmssl(contrast_weight=0.0, content_regularization=0.0, adversarial_weight=0.0)
    assert model.training_step(batch_of()).keys() == {"feedback", "regularization"}


def test_presets() -> None:
    original, authors = (make_config({"name": "mmssl", "preset": preset}) for preset in ("original", "authors"))
    assert isinstance(original, MMSSLConfig) and isinstance(authors, MMSSLConfig)
    assert make_config({"name": "mmssl"}) == original
    assert (original.weight_decay, authors.weight_decay) == (0.01, 1e-5)
    assert (original.attention_rate, original.content_rate, original.contrast_weight) == (0.36, 0.55, 0.03)
    sizes = [preset_values({"name": "mmssl", "preset": p})["training.batch_size"] for p in ("original", "authors")]
    assert sizes == [1024, 4096]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValidationError, match="num_heads = 3 does not divide dim = 8"):
        make_config({"name": "mmssl", "dim": 8, "num_heads": 3})
    with pytest.raises(RecipeError, match='"mmssl" needs content'):
        build("mmssl", tiny_dataset(()))
