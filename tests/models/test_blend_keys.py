"""The keys of a blend that are refused, and names of members that torch keeps for itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from damrs_dgl.models.blend import MOST_TRIES, BlendConfig, BlendedScores
from damrs_dgl.models.specification.tables import make_config
from damrs_dgl.recipe import as_system, load_recipe, with_values
from tests.models.builders import build


@pytest.mark.parametrize(
    "members, saying",
    [
        ({"a.b": "mf"}, "a member's name holds letters, digits, _ and - only"),
        ({"../a": "mf"}, "starts with a letter or a digit"),
        ({"a\n": "mf"}, "a member's name holds letters"),
        ({3: "mf"}, "a member's name holds letters"),
        ({"a": "blend", "b": "mf"}, "cannot be a member of a blend"),
        ({"a": "mff"}, 'did you mean "mf"'),
        ({"a": {"name": "mf", "dimm": 3}}, '"mf" has no key dimm; did you mean dim?'),
    ],
)
def test_members_that_cannot_be(members: dict[str, Any], saying: str) -> None:
    with pytest.raises(ValueError, match=saying):
        make_config({"name": "blend", "members": members})


def test_presets_leave_a_wrong_name_to_the_validation() -> None:
    assert BlendConfig.preset_values({"name": "blend", "members": {"a": "mff"}}) == {}


def test_more_weights_than_anybody_waits_for_are_refused() -> None:
    members = {f"m{n}": "popularity" for n in range(6)}
    with pytest.raises(ValueError, match=f"above {MOST_TRIES:,}"):
        make_config({"name": "blend", "members": members, "grid": 100})


def test_a_member_may_have_any_name() -> None:
    model = build("blend", members={"keys": "popularity", "forward": {"name": "mf", "dim": 4}})
    assert list(model.members()) == ["keys", "forward"]
    for member in model.members().values():
        if hasattr(member, "fit_closed_form"):
            member.fit_closed_form()
    assert model.embeddings().items.shape == (14, 5)  # without a scorer asked for first


def test_a_blend_takes_over_the_keys_of_what_it_has_as_a_member_and_gives_them_back() -> None:
    own = load_recipe("demo", ["model.relation_weight=0.5", "model.dim=32"])
    blend = with_values(own, {"model.name": "blend"})
    assert blend.model.members["damrs"] == own.model
    assert blend.model.members["filter"] == load_recipe("demo", ["model.name=graph_filter"]).model
    for name in ("damrs", "graph_filter"):
        assert as_system(blend, name).model == (own.model if name == "damrs" else blend.model.members["filter"])
    assert as_system(blend, "diig+ai").model.relation_weight == 0.5
    assert with_values(blend, {"model.name": "mf"}).model == load_recipe("demo", ["model.name=mf"]).model
    other = with_values(load_recipe("demo", ["model.name=mf", "model.dim=32"]), {"model.name": "blend"})
    assert other.model == load_recipe("demo", ["model.name=blend"]).model


def test_a_key_of_a_default_member_leaves_the_others() -> None:
    blend = load_recipe("demo", ["model.members.damrs.relation_weight=0.5", "model.name=blend"]).model
    default = load_recipe("demo", ["model.name=blend"]).model
    assert blend.members["damrs"].relation_weight == 0.5
    assert blend.members["filter"] == default.members["filter"]


@pytest.mark.parametrize("weights", [(0.0, 1.0), (0.3, 0.7)])
def test_the_cosine_of_items_heeds_the_weights(weights: tuple[float, float]) -> None:
    model = build("blend", members={"a": {"name": "mf", "dim": 4}, "b": {"name": "mf", "dim": 6}})
    model.fit_closed_form()
    model._scorers[0].item_emb.mul_(100.0)
    model.weights.copy_(torch.tensor(weights))
    vectors = model.embeddings()
    parts = vectors.items.split([4, 6] if weights[0] else [6], dim=1)
    means = [float(part.square().sum(1).mean()) for part in parts]
    assert means == pytest.approx([weight for weight in weights if weight], rel=1e-5)
    users = torch.arange(16)
    scored = BlendedScores(model._scorers, model.weights).scores(users)
    ranked = vectors.users @ vectors.items.T
    assert torch.allclose(scored, ranked - ranked.mean(1, keepdim=True), atol=1e-5)  # a user's mean ranks nothing
