"""A recipe written out is read back equal, and explains every key; so does a system."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from damrs_dgl.models.registry import models
from damrs_dgl.recipe import (
    Recipe,
    is_system,
    load_recipe,
    model_text,
    recipe_from,
    recipe_text,
    shipped_recipes,
    with_values,
    written_text,
)
from damrs_dgl.toml import read_toml

Write = Callable[[str], Path]
TABLES = """
[data]
format = "tables"
path = "/shop"
timestamp = "when"
[data.modalities]
visual = "pictures.parquet"
textual = {features = "texts.npy", ids = "items.csv"}
"""


def _read_back(recipe: Recipe[Any], folder: Path) -> Recipe[Any]:
    path = folder / "back.toml"
    path.write_text(recipe_text(recipe), encoding="utf-8")
    return load_recipe(path)


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
@pytest.mark.parametrize("variant", ["recommended", "paper", "authors"])
def test_shipped_recipe_is_read_back_equal(name: str, variant: str, tmp_path: Path) -> None:
    recipe = load_recipe(name, [f"model.variant={variant}"])
    assert _read_back(recipe, tmp_path) == recipe


@pytest.mark.parametrize("name", models())
def test_a_recipe_of_any_system_is_read_back_equal(name: str, tmp_path: Path) -> None:
    recipe = load_recipe("demo", [f"model.name={name}"])
    assert _read_back(recipe, tmp_path) == recipe


@pytest.mark.parametrize("model", ["damrs", "blend"])
def test_tables_that_were_not_written_are_shown_behind_a_sign(model: str, tmp_path: Path) -> None:
    recipe = recipe_from({"data": {"format": "synthetic"}, "model": {"name": model}})
    text = recipe_text(recipe)
    assert "\n#[data.modalities]\n#visual = " in text and ("\n#[model.members]\n" in text) == (model == "blend")
    again = _read_back(recipe, tmp_path)
    assert (again.data, again.model) == (recipe.data, recipe.model)


def test_tables_are_read_back_equal(recipe_file: Write, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file(TABLES))
    text = recipe_text(recipe)
    assert 'visual = "pictures.parquet"' in text
    assert 'textual = {features = "texts.npy", ids = "items.csv"}' in text
    assert "\n#rating =\n" in text
    assert _read_back(recipe, tmp_path) == recipe


VALUES = st.fixed_dictionaries(
    {
        "description": st.text(),
        "training.learning_rate": st.floats(min_value=0, max_value=1, exclude_min=True),
        "training.batch_size": st.one_of(st.just("auto"), st.integers(1, 2**40)),
        "model.relation_weight": st.floats(min_value=0, allow_infinity=False, allow_nan=False),
        "model.anchors": st.one_of(st.just("all"), st.integers(1, 2**40)),
        "model.dim": st.integers(1, 4096),
        "evaluation.ks": st.sets(st.integers(1, 10**6)).map(lambda ks: tuple(sorted({20, *ks}))),
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=VALUES)
def test_any_value_is_read_back_equal(values: dict[str, object], tmp_path: Path) -> None:
    recipe = with_values(load_recipe("demo"), values)
    assert _read_back(recipe, tmp_path) == recipe


def test_every_key_has_its_meaning_range_and_default() -> None:
    recipe = load_recipe("demo")
    text = recipe_text(recipe)
    assert "itself among them: 10 keeps 9 others (an" in text and "\n#k = 10\n" in text
    lines = text.split("\n")
    assert max(map(len, lines)) <= 120
    for section in ("graphs", "model", "model.backbone", "training", "evaluation", "stress"):
        at = lines.index(f"[{section}]")
        assert lines[at - 1].startswith("# ")
        for key, field in type(recipe.value(section)).model_fields.items():
            assert field.description
            if key != "backbone":  # a table of its own
                line = next(i for i in range(at, len(lines)) if lines[i].removeprefix("#").startswith(f"{key} = "))
                assert lines[line - 1].startswith("#")


def test_what_a_preset_gives_is_said_wherever_the_key_stands() -> None:
    text = " ".join(recipe_text(load_recipe("demo")).replace("\n# ", "").split())
    for said in (
        "default by variant: recommended 1.0, paper 1.5, authors 1.0) #alpha = 1.0",
        "default by variant: recommended 2, paper 10, authors 2) #behavior_k = 2",  # in [graphs]
        "default by preset: original 0.0001, authors 0.0) #regularization = 0.0001",  # of the backbone
    ):
        assert said in text


def test_what_a_preset_gives_does_not_follow_to_others(tmp_path: Path) -> None:
    """From `recipes show > mine.toml` other variants, and the systems of a study, are what they are without it."""
    shown = _read_back(load_recipe("demo"), tmp_path)
    for change in ({"model.variant": "authors"}, {"model.name": "sgl"}, {"model.name": "lightgcn"}):
        written = with_values(load_recipe("demo"), change)
        for section in ("graphs", "model", "training"):
            assert getattr(with_values(shown, change), section) == getattr(written, section), (change, section)


@pytest.mark.parametrize("name", models())
def test_a_system_is_explained(name: str) -> None:
    """What it is, who published it, and each of its keys."""
    assert is_system(name) or name in shipped_recipes()
    text = model_text(name)
    model = models()[name]
    assert text.startswith("# ") and f'\n[model]\n# The system (a non-empty string)\nname = "{name}"\n' in text
    assert " ".join(model.citation.split()) in " ".join(text.replace("\n#", "").split())
    for key, field in model.Config.model_fields.items():
        assert field.description, key
        assert f"\n{key} = " in text or f"\n#{key} =" in text or f"[model.{key}]" in text, key


def test_what_a_preset_leaves_alone_keeps_the_field_s_default() -> None:
    assert "default by preset: original 64, authors 128)\n#dim = 64" in model_text("mf")


def test_no_such_system() -> None:
    assert not is_system("demo") and not is_system("nothing")
    with pytest.raises(ValueError, match='there is no system "ligthgcn"; did you mean "lightgcn"'):
        model_text("ligthgcn")


def test_a_recipe_is_written_as_it_was(tmp_path: Path) -> None:
    data = {"format": "mmrec", "path": "a\\b", "modalities": {"photos": "p.npy"}}
    sections = {"model": {"name": "damrs", "backbone": {"name": "mf", "dim": 8}}, "evaluation": {"ks": [5, 20]}}
    recipe = recipe_from({"name": "my shop", "data": {**data, "left_out": None}, **sections, "training": {}})
    (tmp_path / "recipe.toml").write_text(written_text(recipe), encoding="utf-8")
    found = read_toml(tmp_path / "recipe.toml")
    assert found == {"name": "my shop", "data": data, **sections}
    again = recipe_from(found)
    assert again == recipe_from({"name": "my shop", "data": data, **sections})
    assert again.training.model_fields_set == set()
