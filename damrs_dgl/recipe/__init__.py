"""Recipes: what a run is made from. TOML in, checked settings out; mistakes are refused, all of them at once.

``load_recipe("tiktok", ["training.epochs=5"])`` gives a ``Recipe``; ``recipe.resolved()`` fills in what it leaves to
the variant; ``recipe_text`` writes it out with every key explained.
"""

from __future__ import annotations

from damrs_dgl.recipe.data_section import (
    FeatureFile,
    MMRecData,
    MMSSLData,
    SyntheticData,
    SyntheticModality,
    TablesData,
    check_modality_name,
)
from damrs_dgl.recipe.loading import (
    DEFAULT_RECIPE,
    load_recipe,
    recipe_header,
    recipe_mistakes,
)
from damrs_dgl.recipe.locations import DATA_VARIABLE, shipped_recipes
from damrs_dgl.recipe.schema import Evaluation, Graphs, Losses, Model, Recipe, Stress, Training
from damrs_dgl.recipe.text import recipe_text
from damrs_dgl.recipe.variants import SYSTEMS, VARIANT_VALUES

__all__ = [
    "DATA_VARIABLE",
    "DEFAULT_RECIPE",
    "SYSTEMS",
    "VARIANT_VALUES",
    "Evaluation",
    "FeatureFile",
    "Graphs",
    "Losses",
    "MMRecData",
    "MMSSLData",
    "Model",
    "Recipe",
    "Stress",
    "SyntheticData",
    "SyntheticModality",
    "TablesData",
    "Training",
    "check_modality_name",
    "load_recipe",
    "recipe_header",
    "recipe_mistakes",
    "recipe_text",
    "shipped_recipes",
]
