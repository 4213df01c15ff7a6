"""Systems and presets in a recipe: how one is chosen, what another keeps, what a preset gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from damrs_dgl.errors import RecipeError
from damrs_dgl.models.damrs.config import DAMRSConfig
from damrs_dgl.models.specification.systems import system_names
from damrs_dgl.recipe import Recipe, as_system, load_recipe, recipe_from, recipe_mistakes, with_values

Write = Callable[[str], Path]
SYNTHETIC = {"data": {"format": "synthetic"}}
PRESET_KEYS = ("graphs.behavior_k", "graphs.behavior_weighted", "model.alpha", "model.beta", "model.regularization")


def demo(*overrides: str) -> Recipe[Any]:
    return load_recipe("demo", overrides)


def test_a_recipe_says_every_value() -> None:
    recipe = recipe_from({"data": {"format": "synthetic"}})
    assert (recipe.model.name, recipe.model.backbone.name) == ("damrs", "lightgcn")
    assert None not in [recipe.value(key) for key in PRESET_KEYS]
    assert recipe.training.batch_size == recipe.training.patience == "auto"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["model.variant=paper"], (10, True, 1.5, 1.5, 1e-4)),
        (["model.variant=authors"], (2, False, 1.0, 2.0, 0.0)),
        (["model.variant=authors", "model.backbone=mf"], (2, False, 1.0, 2.0, 0.1)),
        (["model.backbone=vbpr", "model.variant=authors"], (2, False, 1.0, 2.0, 0.1)),
        (["model.backbone=sgl", "model.variant=authors"], (2, False, 1.0, 2.0, 0.0)),
        (["model.variant=paper", "model.alpha=7", "graphs.behavior_weighted=false"], (10, False, 7.0, 1.5, 1e-4)),
        (["model.alpha=7", "model.variant=paper"], (10, True, 7.0, 1.5, 1e-4)),
    ],
)
def test_what_is_left_out_comes_from_the_preset(overrides: list[str], expected: tuple[object, ...]) -> None:
    recipe = demo(*overrides)
    assert tuple(recipe.value(key) for key in PRESET_KEYS) == expected
    assert with_values(recipe, {}) == recipe


def test_presets_follow_their_key_and_what_was_written_stays() -> None:
    recipe = demo("model.beta=7", "model.variant=authors")
    paper = with_values(recipe, {"model.variant": "paper"})
    assert (paper.model.alpha, paper.model.beta, paper.graphs.behavior_k) == (1.5, 7.0, 10)
    assert with_values(paper, {"model.variant": "authors"}) == recipe
    assert with_values(demo(), {"model.variant": "paper"}) == demo("model.variant=paper")
    plain = demo("model.name=mf", "model.preset=authors")
    assert (plain.model.dim, plain.model.norm) == (128, "unsquared")
    assert demo("model.name=mf", "model.dim=32", "model.preset=authors").model.dim == 32
    wrapped = demo("model.variant=paper", "model.backbone=mf", "model.preset=authors")  # a key of the backbone
    assert (wrapped.model.variant, wrapped.model.backbone.dim) == ("paper", 128)


def test_the_default_is_the_first_preset() -> None:
    recipe = recipe_from({"data": {"format": "synthetic"}})
    presets = DAMRSConfig.PRESETS["recommended"]
    assert recipe.model.variant == "recommended" and len(presets) > 5
    assert {key: recipe.value(key) for key in presets} == presets
    assert with_values(recipe, {"model.variant": "recommended"}) == recipe


def test_a_wrapper_has_its_own_word_on_its_backbone() -> None:
    assert demo("model.backbone=vbpr", "model.variant=paper").model.backbone.content_scale == "unit"
    assert demo("model.backbone=vbpr", "model.variant=authors").model.backbone.content_scale == "raw"
    written = demo("model.backbone=vbpr", "model.variant=authors", "model.content_scale=unit")
    assert written.model.backbone.content_scale == "unit"


BACKBONES = {
    "a string": '[model]\nbackbone = "mf"\ndim = 8\n',
    "a table": "[model]\nitem_layers = 1\n[model.backbone]\nname = 'mf'\ndim = 8\n",
    "an inline table": '[model]\nbackbone = {name = "mf", dim = 8}\n',
    "capitals": '[model]\nname = "DAMRS"\nbackbone = "MF"\ndim = 8\n',
}


@pytest.mark.parametrize("how", BACKBONES)
def test_a_backbone_is_a_name_or_a_table(recipe_file: Write, how: str) -> None:
    recipe = load_recipe(recipe_file(BACKBONES[how]))
    assert recipe.model == recipe_from({**SYNTHETIC, "model": {"backbone": {"name": "mf", "dim": 8}}}).model
    for override in ("model.dim=4", "model.backbone.dim=4"):
        assert load_recipe(recipe_file(BACKBONES[how]), [override]).model.backbone.dim == 4
    assert load_recipe(recipe_file(BACKBONES[how]), ["model.backbone=lightgcn"]).model.backbone.dim == 8


def test_a_key_of_the_backbone_is_written_once(recipe_file: Write) -> None:
    path = recipe_file("[model]\ndim = 4\n[model.backbone]\ndim = 8\n")
    assert recipe_mistakes(path) == [f"{path}: unknown key model.dim; it stands in [model.backbone] too: write it once"]
    assert load_recipe(path, ["model.dim=16"]).model.backbone.dim == 16  # which takes the place of both
    recipe = demo("model.dim=8")
    assert with_values(recipe, {"model.dim": 16}).model.backbone.dim == 16
    assert with_values(recipe, {"model.backbone.dim": 16}).model.backbone.dim == 16


def test_the_same_key_of_wrapper_and_backbone_is_the_wrapper_s() -> None:
    recipe = demo("model.variant=paper", "model.regularization=0.5")
    assert (recipe.model.regularization, recipe.model.backbone.regularization) == (0.5, 1e-4)
    recipe = demo("model.variant=paper", "model.backbone.regularization=0.5")
    assert (recipe.model.regularization, recipe.model.backbone.regularization) == (1e-4, 0.5)


@pytest.mark.parametrize(
    ("first", "switch", "key", "value"),
    [
        ("model.dim=8", "model.name=mf", "model.dim", 8),  # from the backbone to a plain system
        ("model.dim=8", "model.backbone=mf", "model.backbone.dim", 8),
        ("model.dim=8", "model.backbone.name=mf", "model.backbone.dim", 8),
        ("model.num_layers=4", "model.name=lightgcn", "model.num_layers", 4),  # the backbone itself
        ("model.gamma=4", "model.backbone=vbpr", "model.gamma", 4.0),  # the wrapper stays as it is
        ("model.dim=8", "model.name=damrs", "model.backbone.dim", 8),  # no other system at all
        ("training.epochs=7", "model.name=mf", "training.epochs", 7),
    ],
)
def test_another_system_keeps_the_keys_that_it_shares(first: str, switch: str, key: str, value: object) -> None:
    assert demo(first, switch).value(key) == value
    name, new = switch.split("=")
    assert with_values(demo(first), {name: new}).value(key) == value


def test_a_key_of_the_same_name_and_another_meaning_is_not_taken_over() -> None:
    assert as_system(demo("model.regularization=0.3"), "mf").model.regularization != 0.3
    plain = demo("model.name=mf", "model.regularization=0.3", "model.dim=8")
    assert as_system(plain, "lightgcn").model.regularization == 0.3
    assert as_system(plain, "ease").model.regularization == 200
    assert as_system(plain, "bm3").model.regularization == 0.1 and as_system(plain, "bm3").model.dim == 8
    unsquared = demo("model.name=mf", "model.regularization=0.3", "model.norm=unsquared")
    own = [as_system(unsquared, name).model for name in ("ngcf", "lattice")]  # LATTICE's is of other vectors
    assert [(keys.regularization, keys.norm) for keys in own] == [(0.3, "unsquared"), (1e-5, "squared")]
    contrast = demo("model.name=sgl", "model.temperature=0.7")
    assert as_system(contrast, "simgcl").model.temperature == 0.7
    assert as_system(contrast, "slmrec").model.temperature == 0.2


@pytest.mark.parametrize("wrong", ["vbrp", "ease"])
def test_the_same_system_again_hides_no_wrong_backbone(wrong: str) -> None:
    (line,) = recipe_mistakes("demo", [f"model.backbone={wrong}", "model.name=damrs"])
    assert line.startswith("-o: model.backbone") and f'= "{wrong}": ' in line


def test_a_wrapper_takes_over_a_plain_system_and_another_wrapper_what_it_wraps() -> None:
    plain = demo("model.name=lightgcn", "model.dim=8", "model.num_layers=3")
    wrapped = with_values(plain, {"model.name": "damrs"})
    assert (wrapped.model.backbone.name, wrapped.model.backbone.dim, wrapped.model.backbone.num_layers) == (
        "lightgcn", 8, 3,
    )  # fmt: skip
    other = with_values(demo("model.backbone=mf", "model.dim=8"), {"model.name": "tce"})
    assert (other.model.name, other.model.backbone.name, other.model.backbone.dim) == ("tce", "mf", 8)


def test_wrappers_may_be_wrapped() -> None:
    recipe = demo("model.name='tce'", "model.backbone={name='damrs', alpha=0.1, backbone='mf'}", "model.dim=8")
    assert [recipe.value(key) for key in ("model.backbone.alpha", "model.backbone.backbone.dim")] == [0.1, 8]
    assert with_values(recipe, {"model.dim": 4}).model.backbone.backbone.dim == 4
    assert with_values(recipe, {"model.alpha": 0.2}).model.backbone.alpha == 0.2


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
    recipe = as_system(demo(), name)
    keys = recipe.model
    weights = keys.preference_weight > 0, keys.relation_weight > 0
    found = keys.name, recipe.graphs.consistency, keys.denoised_bpr, *weights
    assert (*found, keys.reliability, keys.contradiction) == SWITCHES[name]
    assert keys.relation_strategy == {"diig+sp": "SP", "diig+mp": "MP"}.get(name, "AI")


def test_plain_models_and_the_backbone() -> None:
    assert {*SWITCHES, "backbone", "lightgcn", "mf", "vbpr"} <= set(system_names())
    recipe = demo("model.backbone=mf")
    assert as_system(recipe, "backbone").model.name == "mf"
    assert [as_system(recipe, name).model.name for name in ("lightgcn", "MF", "vbpr")] == ["lightgcn", "mf", "vbpr"]
    with pytest.raises(RecipeError, match='"mf" wraps no other system, so that it has no backbone'):
        as_system(as_system(recipe, "mf"), "backbone")


def test_a_row_of_another_system_s_ablation_makes_that_system() -> None:
    recipe = as_system(demo("model.name=mf", "model.dim=8"), "diig")
    assert (recipe.model.name, recipe.model.denoised_bpr, recipe.model.backbone.dim) == ("damrs", False, 8)


def test_a_system_keeps_the_rest_of_the_recipe() -> None:
    recipe = demo("model.relation_weight=0.5", "training.epochs=3")
    assert as_system(recipe, "DA-MRS") == recipe
    assert as_system(recipe, "diig+ai").model.relation_weight == 0.5
    assert as_system(recipe, "iig").training == recipe.training


def test_unknown_system() -> None:
    with pytest.raises(RecipeError, match='there is no system "diigg"; did you mean "diig"'):
        as_system(demo(), "diigg")
    with pytest.raises(RecipeError, match="needs content"):
        as_system(demo("data.modalities={}"), "vbpr")


def test_a_class_of_one_s_own_by_its_place() -> None:
    recipe = demo("model.name=damrs_dgl.models.mf:MF", "model.dim=8")
    assert recipe.model.dim == 8 and recipe.model.name == "damrs_dgl.models.mf:MF"
    assert demo("model.backbone=damrs_dgl.models.mf:MF").model.backbone.name == "damrs_dgl.models.mf:MF"
    (line,) = recipe_mistakes("demo", ["model.name=os:path"])
    assert '"os:path" cannot be used (it is no RankingModel)' in line
    (line,) = recipe_mistakes("demo", ["model.name=no_such_module:Model"])
    assert "No module named 'no_such_module'" in line and "write package.module:Class" in line


@pytest.mark.parametrize("source", ["import no_such_module", "def (", "raise RuntimeError('early')", "{}.x"])
def test_a_module_that_fails_is_to_be_mended(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_system.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    (line,) = recipe_mistakes("demo", ["model.name=broken_system:Model"])
    assert '"broken_system:Model" cannot be used (' in line and line.endswith("; mend broken_system")
