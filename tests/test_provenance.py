"""What graphs and trainings are made from: what changes them, and what does not."""

from __future__ import annotations

import pytest

from damrs_dgl.provenance import fit_parts, graphs_parts, result_parts
from damrs_dgl.recipe import load_recipe


@pytest.mark.parametrize("change", ["graphs.k=11", "graphs.consistency=false", "graphs.behavior_k=3"])
def test_graphs_depend_on_their_keys(change: str) -> None:
    assert graphs_parts(load_recipe("demo", [change]), "d") != graphs_parts(load_recipe("demo"), "d")


@pytest.mark.parametrize("change", ["model.dim=65", "model.gamma=3", "model.variant=paper", "training.seed=5"])
def test_trainings_depend_on_theirs(change: str) -> None:
    changed, recipe = load_recipe("demo", [change]), load_recipe("demo")
    assert fit_parts(changed, "d") != fit_parts(recipe, "d")


@pytest.mark.parametrize("change", ["graphs.block_size=64", "evaluation.block_size=2", "stress.seeds=3", "name=other"])
def test_numbers_depend_on_nothing_else(change: str) -> None:
    changed, recipe = load_recipe("demo", [change]), load_recipe("demo")
    assert result_parts(changed, "d") == result_parts(recipe, "d") != result_parts(recipe, "other data")


def test_epochs_may_change_when_a_training_is_resumed() -> None:
    longer, recipe = load_recipe("demo", ["training.epochs=7"]), load_recipe("demo")
    assert fit_parts(longer, "d") == fit_parts(recipe, "d")
    assert result_parts(longer, "d") != result_parts(recipe, "d")


def test_a_written_default_is_the_default() -> None:
    keys = ["model.alpha=1.0", "model.temperature=0.2", "graphs.behavior_k=2", "model.dim=64", "model.variant=authors"]
    assert fit_parts(load_recipe("demo", keys), "d") == fit_parts(load_recipe("demo", ["model.variant=authors"]), "d")


def test_of_a_blend_epochs_are_part() -> None:
    """Its members are trained to their end inside its one epoch, which no resuming prolongs."""
    for change in ("training.epochs=7", "training.patience=3"):
        longer, recipe = load_recipe("demo", ["model.name=blend", change]), load_recipe("demo", ["model.name=blend"])
        assert fit_parts(longer, "d") != fit_parts(recipe, "d")
