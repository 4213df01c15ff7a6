"""How a study names systems: a wrapper with its backbone, the rows of an ablation, the floor."""

from __future__ import annotations

import pytest

from damrs_dgl.models.specification.systems import ablation_systems, check_system, floor_systems, full_name
from damrs_dgl.recipe import as_system, load_recipe, model_text


@pytest.mark.parametrize(
    ("name", "checked", "full"),
    [
        ("damrs:mf", "damrs:mf", "damrs:mf"),
        ("DIIG+AU:MF", "diig+au:mf", "damrs:mf"),
        ("tce:vbpr", "tce:vbpr", "tce:vbpr"),
        ("damrs:damrs_dgl.models.mf:MF", "damrs:damrs_dgl.models.mf:MF", "damrs:damrs_dgl.models.mf:MF"),
        ("damrs_dgl.models.mf:MF", "damrs_dgl.models.mf:MF", "damrs_dgl.models.mf:MF"),
        ("backbone", "backbone", "lightgcn"),
    ],
)
def test_a_name_and_the_system_that_it_trains(name: str, checked: str, full: str) -> None:
    assert check_system(name) == checked
    assert full_name(as_system(load_recipe("demo"), name).model.model_dump()) == full


def test_a_row_with_another_backbone_keeps_the_rows_settings() -> None:
    recipe = as_system(load_recipe("demo", ["model.dim=8"]), "iig:mf")
    assert recipe.model.backbone.name == "mf"
    assert recipe.model.backbone.dim == 8
    assert not recipe.graphs.consistency and not recipe.model.denoised_bpr


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mf:lightgcn", '"mf" wraps no other system'),
        ("damrs:ease", 'no system can be wrapped round "ease"'),
        ("damrs:lightgnc", 'did you mean "lightgcn"'),
        ("nothing:mf", "write package.module:Class"),
    ],
)
def test_names_that_are_none(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("?", r"\?")):
        check_system(name)


def test_the_floor() -> None:
    assert floor_systems() == ["itemknn", "popularity"]


def test_the_rows_of_an_ablation() -> None:
    rows, whole = ablation_systems({"name": "damrs", "backbone": "mf"})
    assert (rows[0], rows[1], whole) == ("backbone", "iig", "da-mrs")
    rows, whole = ablation_systems({"name": "graph_filter"})
    assert rows[-1] == whole == "graph_filter"
    assert len(rows) == 4
    with pytest.raises(ValueError, match='"mf" has no ablation; damrs, graph_filter have one'):
        ablation_systems({"name": "mf"})


def test_a_wrapper_round_a_wrapper() -> None:
    assert check_system("TCE:damrs:SGL") == "tce:damrs:sgl"
    model = as_system(load_recipe("demo"), "tce:damrs:sgl").model
    assert full_name(model.model_dump()) == "tce:damrs:sgl"
    assert check_system("tce:damrs_dgl.models.mf:MF") == "tce:damrs_dgl.models.mf:MF"
    with pytest.raises(ValueError, match="wraps no other system"):
        check_system("tce:mf:sgl")


@pytest.mark.parametrize("name", ["damrs:sgl", "tce:damrs:mf", "SGL"])
def test_a_system_shows_its_keys_by_any_of_its_names(name: str) -> None:
    assert f'name = "{name.rpartition(":")[2].lower()}"' in model_text(name)


def test_a_system_s_own_name_has_its_own_defaults_whatever_the_recipe_wraps() -> None:
    """Else which of two systems is the better would depend on which one the recipe happens to wrap."""
    alone = as_system(load_recipe("demo", ["model.backbone=mf"]), "lightgcn")
    for name in ("mf", "lightgcn"):
        recipe = load_recipe("demo", [f"model.backbone={name}"])
        assert as_system(recipe, "backbone").training.start == recipe.training.start == "spectral"
        assert as_system(recipe, "lightgcn").training == alone.training
        assert as_system(recipe, "mf").training.start == "random"
