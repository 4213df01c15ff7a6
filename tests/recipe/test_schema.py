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
