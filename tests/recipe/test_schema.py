"""Values left to the variant, systems, and the hash of sections."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from damrs_dgl.errors import RecipeError
from damrs_dgl.recipe import SYSTEMS, VARIANT_VALUES, Recipe, SyntheticData, load_recipe

Write = Callable[[str], Path]


def test_a_recipe_is_immutable_and_checked_from_python_too() -> None:
    recipe = Recipe(data=SyntheticData())
    with pytest.raises(ValidationError):
        recipe.graphs.k = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="not among the scores"):
        Recipe.model_validate({"data": {"format": "synthetic"}, "training": {"monitor": "recall@7"}})


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["model.variant=paper"], (10, True, 1.5, 1.5, 1e-4)),
        (["model.variant=authors"], (2, False, 1.0, 2.0, 0.0)),
        (["model.variant=authors", "model.backbone=mf"], (2, False, 1.0, 2.0, 0.1)),
        (["model.variant=authors", "model.name=vbpr"], (2, False, 1.0, 2.0, 0.1)),
        (["model.variant=authors", "model.alpha=7", "graphs.behavior_weighted=true"], (2, True, 7.0, 2.0, 0.0)),
    ],
)
def test_resolved_takes_what_is_open_from_the_variant(overrides: list[str], expected: tuple[object, ...]) -> None:
    recipe = load_recipe("demo", overrides).resolved()
    assert tuple(recipe.value(key) for key in VARIANT_VALUES) == expected
    assert recipe.resolved() == recipe


def test_resolved_leaves_the_recipe_itself_open() -> None:
    recipe = load_recipe("demo")
    recipe.resolved()
    assert recipe.model.alpha is None


def test_with_values_checks_what_it_sets() -> None:
    recipe = load_recipe("demo")
    assert recipe.with_values({"graphs.k": 3, "training.seed": 9}).graphs.k == 3
    assert recipe.graphs.k == 10
    with pytest.raises(RecipeError, match=r"graphs\.k = 0; expected an integer from 1 to 1000; and 1 more"):
        recipe.with_values({"graphs.k": 0, "graphs.kk": 1})
    with pytest.raises(RecipeError, match=r"graphs\.k is 10, not a table"):
        recipe.with_values({"graphs.k.x": 0})
    with pytest.raises(ValueError, match=r'no key "graphs\.x"'):
        recipe.value("graphs.x")


SWITCHES = {  # name, consistency, denoised BPR, AU on, AI on, f, g
    "iig": ("damrs", False, False, False, False, True, True),
    "diig": ("damrs", True, False, False, False, True, True),
    "diig+d-bpr": ("damrs", True, True, False, False, True, True),
    "diig+au": ("damrs", True, False, True, False, True, True),
    "diig+ai": ("damrs", True, False, False, True, True, True),
    "diig+aui": ("damrs", True, False, True, True, True, True),
    "diig+sp": ("damrs", True, False, False, True, True, True),
    "diig+mp": ("damrs", True, False, False, True, True, True),
    "da-mrs-f": ("damrs", True, True, True, True, False, True),
    "da-mrs-g": ("damrs", True, True, True, True, True, False),
    "da-mrs": ("damrs", True, True, True, True, True, True),
    "damrs": ("damrs", True, True, True, True, True, True),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_rows_of_the_ablation(name: str) -> None:
    recipe = load_recipe("demo").as_system(name)
    losses = recipe.losses
    weights = model.preference_weight > 0, model.relation_weight > 0
    found = recipe.model.name, recipe.graphs.consistency, model.denoised_bpr, *weights
    assert (*found, model.reliability, model.contradiction) == SWITCHES[name]
    assert model.relation_strategy == {"diig+sp": "SP", "diig+mp": "MP"}.get(name, "AI")


def test_plain_models_and_the_backbone() -> None:
    assert set(SYSTEMS) == {*SWITCHES, "backbone", "lightgcn", "mf", "vbpr"}
    recipe = load_recipe("demo", ["model.backbone=mf"])
    assert recipe.as_system("backbone").model.name == "mf"
    assert [recipe.as_system(name).model.name for name in ("lightgcn", "mf", "vbpr")] == ["lightgcn", "mf", "vbpr"]


def test_a_system_keeps_the_rest_of_the_recipe() -> None:
    recipe = load_recipe("demo", ["model.relation_weight=0.5", "training.epochs=3"])
    assert recipe.as_system("DA-MRS") == recipe
    assert recipe.as_system("diig+ai").model.relation_weight == 0.5
    assert recipe.as_system("iig").training == recipe.training


def test_unknown_system() -> None:
    with pytest.raises(RecipeError, match='there is no system "diigg"; did you mean "diig"'):
        load_recipe("demo").as_system("diigg")
    with pytest.raises(RecipeError, match="needs content"):
        load_recipe("demo", ["data.modalities={}"]).as_system("vbpr")


def test_hash_sees_what_it_is_given_and_nothing_else() -> None:
    recipe = load_recipe("demo")
    key = recipe.section_hash("graphs", "model")
    assert len(key) == 64
    assert key == recipe.section_hash("model", "graphs")
    assert key == load_recipe("demo", ["training.seed=5", "model.gamma=2"]).section_hash("graphs", "model")
    for change in ("graphs.k=11", "graphs.consistency=false", "model.dim=65", "model.variant=authors"):
        assert key != load_recipe("demo", [change]).section_hash("graphs", "model")
    assert key != recipe.section_hash("graphs")
    assert recipe.section_hash("model.dim") == load_recipe("demo", ["model.num_layers=5"]).section_hash("model.dim")
    with pytest.raises(ValueError, match='no key "graph"'):
        recipe.section_hash("graph")


def test_hash_of_a_written_default_is_that_of_the_default() -> None:
    recipe = load_recipe("demo")
    written = load_recipe("demo", ["model.alpha=1.5", "model.temperature=0.2", "graphs.behavior_k=10"])
    assert recipe.section_hash("losses", "graphs") == written.section_hash("losses", "graphs")


def test_hash_sees_the_order_of_the_modalities(recipe_file: Write) -> None:
    text = '[data]\nformat = "mmrec"\npath = "/x"\n[data.modalities]\n'
    one = load_recipe(recipe_file(text + 'a = "1"\nb = "2"')).section_hash("data")
    other = load_recipe(recipe_file(text + 'b = "2"\na = "1"')).section_hash("data")
    assert one != other


def test_hash_is_the_same_on_every_machine() -> None:
    # A changed value means that every artefact made so far is made again: change it only with a setting's meaning.
    expected = "38a66ff7a8a7bcb8521763efe3dfe70af1d9d7ea1bd620bbec9a0d3fe96b0360"
    assert load_recipe("tiktok").section_hash("graphs") == expected


def test_recipe_needs_nothing_heavy() -> None:
    code = "import sys, damrs_dgl.recipe; print(sorted({'torch', 'dgl', 'pyarrow', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
