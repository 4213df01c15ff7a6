"""Sources, overrides, paths and the shipped recipes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from damrs_dgl.data.formats import FORMATS, MMRecData, SyntheticData, TablesData, keys
from damrs_dgl.errors import RecipeError
from damrs_dgl.recipe import (
    load_recipe,
    recipe_header,
    recipe_mistakes,
    shipped_recipes,
)

Write = Callable[[str], Path]
SHIPPED = sorted(shipped_recipes())


def test_the_promised_recipes_are_shipped() -> None:
    assert {"demo", "tiktok", "tiktok-paper", "ml-1m", "baby", "sports", "clothing"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipe_is_sound_and_says_how_to_run_it(name: str) -> None:
    assert recipe_mistakes(name) == []
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    first, run, change = shipped_recipes()[name].read_text(encoding="utf-8").split("\n")[:3]
    assert recipe_header(name) == first.removeprefix("# ")
    assert "damrs-dgl" in run
    override = re.search(r"-o (\S+)", change)
    assert override
    assert load_recipe(name, [override[1]]) != recipe, "the override that the header shows changes nothing"


def test_no_source_is_the_demo() -> None:
    assert load_recipe() == load_recipe("demo")
    assert isinstance(load_recipe().data, SyntheticData)


def test_a_file_is_named_by_its_stem_unless_it_says_otherwise(recipe_file: Write) -> None:
    assert load_recipe(recipe_file("")).name == "mine"
    assert load_recipe(recipe_file('name = "other"')).name == "other"


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("model.name=mf", "model.name", "mf"),
        ('model.name="mf"', "model.name", "mf"),
        (" graphs.k = 7 ", "graphs.k", 7),
        ("evaluation.ks=[10, 20]", "evaluation.ks", (10, 20)),
        ("graphs.behavior_weighted=false", "graphs.behavior_weighted", False),
        ("model.gamma=2", "model.gamma", 2.0),
        ("model.anchors=all", "model.anchors", "all"),
        ("model.refresh=3", "model.refresh", 3),
        ('stress.noise=["visual", "feedback"]', "stress.noise", ("visual", "feedback")),
        ("name=a-run", "name", "a-run"),
        ("description=a = b", "description", "a = b"),
    ],
)
def test_override(override: str, key: str, value: object) -> None:
    found = load_recipe("demo", [override]).value(key)
    assert found == value
    assert type(found) is type(value)


def test_an_override_of_one_modality_leaves_the_others() -> None:
    modalities = load_recipe("demo", ["data.modalities.visual.dim=32"]).data.modalities
    assert modalities["visual"].dim == 32
    assert modalities["textual"].dim == 48
    recipe = load_recipe("tiktok", ['data.modalities.visual="x.npy"'])
    assert recipe.data.modalities == {"visual": "x.npy", "acoustic": "audio_feat.npy"}


def test_the_last_override_holds() -> None:
    assert load_recipe("demo", ["graphs.k=3", "graphs.k=4"]).graphs.k == 4


def test_tables_take_a_file_name_or_a_table(recipe_file: Write) -> None:
    text = """
    [data]
    format = "tables"
    path = "shop"
    rating = "stars"
    rating_threshold = 4
    [data.modalities]
    visual = "pictures.parquet"
    textual = {features = "texts.npy", ids = "items.csv", id_column = "sku"}
    """
    data = load_recipe(recipe_file(text)).data
    assert isinstance(data, TablesData)
    assert data.rating_threshold == 4.0
    assert data.modalities["visual"].model_dump(exclude_none=True) == {"features": "pictures.parquet"}
    assert data.modalities["textual"].id_column == "sku"


def test_the_order_of_the_modalities_is_the_files(recipe_file: Write) -> None:
    text = '[data]\nformat = "mmssl"\npath = "x"\n[data.modalities]\nz = "1.npy"\na = "2.npy"\nm = "3.npy"\n'
    assert list(load_recipe(recipe_file(text)).data.modalities) == ["z", "a", "m"]


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "windows.toml"
    path.write_bytes(b'\xef\xbb\xbf[data]\r\nformat = "synthetic"\r\n')
    assert load_recipe(path).name == "windows"


def test_relative_path_starts_at_the_recipe_file(
    recipe_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = recipe_file('[data]\nformat = "mmrec"\npath = "shop"\n')
    monkeypatch.chdir(elsewhere)
    recipe = load_recipe(path)
    monkeypatch.chdir(tmp_path.parent)
    assert recipe.data.folder() == tmp_path / "shop"
    assert load_recipe(path, ["data.path=/abs"]).data.folder() == Path("/abs")


def test_relative_path_of_an_override_or_a_shipped_recipe_starts_here(
    recipe_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recipe_file('[data]\nformat = "mmrec"\npath = "shop"\n')
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert load_recipe(path, ["data.path=mall"]).data.folder() == here / "mall"
    assert load_recipe("tiktok", ["data.path=mall"]).data.folder() == here / "mall"


def test_damrs_data_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe("tiktok")
    assert isinstance(recipe.data, MMRecData)
    assert recipe.data.path == "${DAMRS_DATA}/tiktok"
    monkeypatch.setenv("DAMRS_DATA", str(tmp_path))
    assert recipe.data.folder() == tmp_path / "tiktok"
    monkeypatch.setenv("DAMRS_DATA", str(tmp_path / "gone"))
    with pytest.raises(RecipeError, match=r"DAMRS_DATA = .*gone.* is not a folder"):
        recipe.data.folder()


def test_damrs_data_unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAMRS_DATA", raising=False)
    monkeypatch.setattr(keys, "REPOSITORY", tmp_path / "repository")
    data = MMRecData(path="${DAMRS_DATA}/tiktok")
    with pytest.raises(RecipeError, match="needs the variable DAMRS_DATA, which is not set; set DAMRS_DATA to"):
        data.folder()
    beside = tmp_path / "shared" / "data"
    beside.mkdir(parents=True)
    assert data.folder() == beside / "tiktok"


def test_the_description_names_every_format() -> None:
    assert all(f'"{name}"' in keys.FORMAT for name in FORMATS)


def test_synthetic_data_has_no_path() -> None:
    with pytest.raises(RecipeError, match="made-up data have no files"):
        load_recipe("demo").data.folder()


WRAPPED = ("model.backbone=damrs", "model.name=tce")


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.preset=authors", "model.name=sgl"],
        ["model.backbone.preset=authors", "model.backbone=sgl"],
        ["model.members.filter.rank=7", "model.name=blend"],
        [
            "model.backbone.backbone.preset=authors",
            "model.backbone.backbone=sgl",
            "model.backbone=damrs",
            "model.name=tce",
        ],
    ],
)
def test_the_order_of_overrides_says_nothing(overrides: list[str]) -> None:
    first, last = load_recipe("demo", overrides), load_recipe("demo", overrides[::-1])
    assert first == last
    assert first != load_recipe("demo", overrides[1:])  # the key is not lost


def test_a_key_of_the_system_that_goes_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"unknown key model.variant"):
        load_recipe("demo", ["model.variant=paper", "model.name=lightgcn"])
