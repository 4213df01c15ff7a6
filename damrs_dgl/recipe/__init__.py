"""Recipes: what a run is made from. TOML in, checked settings out; mistakes are refused, all of them at once.

``load_recipe("tiktok", ["training.epochs=5"])`` gives a ``Recipe``; ``recipe_text`` writes it out with every key
explained. [model] holds the keys of the system that is trained, which say what they mean in the system's own file.
"""

from __future__ import annotations

from damrs_dgl.models.specification.overview import systems_table
from damrs_dgl.recipe.loading import (
    DEFAULT_RECIPE,
    is_system,
    load_recipe,
    recipe_header,
    recipe_mistakes,
    shipped_recipes,
)
from damrs_dgl.recipe.making import as_system, recipe_from, with_values
from damrs_dgl.recipe.schema import Recipe
from damrs_dgl.recipe.text import model_text, recipe_text, written_text

__all__ = [
    "DEFAULT_RECIPE",
    "Recipe",
    "as_system",
    "is_system",
    "load_recipe",
    "model_text",
    "recipe_from",
    "recipe_header",
    "recipe_mistakes",
    "recipe_text",
    "shipped_recipes",
    "systems_table",
    "with_values",
    "written_text",
]
