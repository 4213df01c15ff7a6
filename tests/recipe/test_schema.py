"""What a recipe is: immutable, complete, checked from Python too; and the hash of its sections."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from damrs_dgl.errors import RecipeError
from damrs_dgl.recipe import load_recipe, recipe_from, with_values

Write = Callable[[str], Path]
SYNTHETIC = {"data": {"format": "synthetic"}}


def test_a_recipe_is_immutable_and_checked_from_python_too() -> None:
    recipe = recipe_from(SYNTHETIC)
    with pytest.raises(ValidationError):
        recipe.graphs.k = 3  # type: ignore[misc]
    with pytest.raises(ValidationError):
        recipe.model.alpha = 3.0
    with pytest.raises(RecipeError, match="not among the scores"):
        recipe_from({**SYNTHETIC, "training": {"monitor": "recall@7"}})


def test_with_values_checks_what_it_sets() -> None:
    recipe = load_recipe("demo")
    assert with_values(recipe, {"graphs.k": 3, "training.seed": 9}).graphs.k == 3
    assert recipe.graphs.k == 10
    with pytest.raises(RecipeError, match=r"graphs\.k = 0; expected an integer from 1 to 1000; and 1 more"):
        with_values(recipe, {"graphs.k": 0, "graphs.kk": 1})
    with pytest.raises(RecipeError, match=r"training\.epochs is \d+, not a table"):
        with_values(recipe, {"training.epochs.x": 0})
    with pytest.raises(ValueError, match=r'no key "graphs\.x"'):
        recipe.value("graphs.x")


def test_values_by_their_keys() -> None:
    recipe = load_recipe("demo")
    assert recipe.value("model") is recipe.model
    assert recipe.value("model.backbone.dim") == recipe.model.backbone.dim
    for key in ("model.dim", "losses.alpha", "model.backbone.dim.x"):
        with pytest.raises(ValueError, match="a recipe has no key"):
            recipe.value(key)


def test_hash_sees_what_it_is_given_and_nothing_else() -> None:
    recipe = load_recipe("demo")
    key = recipe.section_hash("graphs", "model")
    assert len(key) == 64
    assert key == recipe.section_hash("model", "graphs")
    assert key == load_recipe("demo", ["training.seed=5", "evaluation.block_size=2"]).section_hash("graphs", "model")
    for change in ("graphs.k=11", "graphs.consistency=false", "model.dim=65", "model.variant=paper", "model.gamma=3"):
        assert key != load_recipe("demo", [change]).section_hash("graphs", "model")
    assert key != recipe.section_hash("graphs")
    other = load_recipe("demo", ["model.num_layers=5"])
    assert recipe.section_hash("model.backbone.dim") == other.section_hash("model.backbone.dim")
    with pytest.raises(ValueError, match='no key "graph"'):
        recipe.section_hash("graph")


def test_hash_of_a_written_default_is_that_of_the_default() -> None:
    recipe = load_recipe("demo", ["model.variant=authors"])
    keys = ["model.alpha=1.0", "model.temperature=0.2", "graphs.behavior_k=2", "model.dim=64", "model.variant=authors"]
    written = load_recipe("demo", keys)
    assert recipe.section_hash("model", "graphs") == written.section_hash("model", "graphs")


def test_hash_sees_the_order_of_the_modalities(recipe_file: Write) -> None:
    text = '[data]\nformat = "mmrec"\npath = "/x"\n[data.modalities]\n'
    one = load_recipe(recipe_file(text + 'a = "1"\nb = "2"')).section_hash("data")
    other = load_recipe(recipe_file(text + 'b = "2"\na = "1"')).section_hash("data")
    assert one != other


def test_hash_is_the_same_on_every_machine() -> None:
    # A changed value means that every artefact made so far is made again: change it only with a setting's meaning.
    expected = "24ecf6c80139e58e1cb72dd9d317fc775d961bf01d61521dcde95badfed17bde"
    assert load_recipe("tiktok").section_hash("evaluation") == expected
