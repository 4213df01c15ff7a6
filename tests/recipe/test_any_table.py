"""Whatever TOML a recipe file holds, its mistakes are lines and never a trace."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from damrs_dgl.data.formats import FORMATS
from damrs_dgl.errors import RecipeError
from damrs_dgl.models.registry import models
from damrs_dgl.recipe import Recipe, load_recipe, recipe_mistakes
from damrs_dgl.toml import toml_value

SECTIONS = ["data", "graphs", "model", "training", "evaluation", "stress", "name", "description", "losses"]
SYSTEMS = [name for name in models() if models()[name].__module__.startswith("damrs_dgl.")]
WORDS = [*SYSTEMS, *FORMATS, "auto", "all", "paper", "authors", "recall@20", "visual", "${HOME}", "/x", "os:path"]


def keys_of_every_table() -> list[str]:
    recipe = load_recipe("demo")
    sections = [type(recipe.value(section)) for section in ("graphs", "training", "evaluation", "stress")]
    tables = [Recipe, *sections, *FORMATS.values(), *(models()[name].Config for name in SYSTEMS)]
    return sorted({key for table in tables for key in table.model_fields} | {"visual", "dim", "features", "ids"})


KEYS = st.one_of(st.sampled_from(keys_of_every_table()), st.text(max_size=5))
WRITABLE = st.text(st.characters(codec="utf-8"), max_size=5)
SCALARS = st.one_of(
    st.booleans(), st.integers(), st.floats(), WRITABLE, st.sampled_from(WORDS), st.dates(date(1000, 1, 1))
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))
TABLES = st.dictionaries(KEYS, VALUES, max_size=4)
DATA = st.builds(
    lambda table, name: {**table, "format": name, "path": "/x"} if name != "synthetic" else {**table, "format": name},
    st.dictionaries(KEYS, VALUES, max_size=2),
    st.sampled_from(list(FORMATS)),
)
NAMED = st.builds(lambda table, name: {**table, "name": name}, TABLES, st.sampled_from(SYSTEMS))
WRAPPING = st.builds(
    lambda outer, inner: {**outer, "backbone": inner}, NAMED, st.one_of(NAMED, st.sampled_from(SYSTEMS), VALUES)
)
MEMBERS = st.builds(lambda inner: {"name": "blend", "members": {"a": inner}}, st.one_of(NAMED, WRAPPING, VALUES))
RECIPES = st.builds(
    lambda tables, data, model: {**tables, "data": data, "model": model},
    st.dictionaries(st.sampled_from(SECTIONS), VALUES | TABLES, max_size=4),
    DATA | TABLES | VALUES,
    NAMED | WRAPPING | MEMBERS | TABLES | VALUES,
)
OVERRIDES = st.lists(
    st.builds(
        lambda section, key, value: f"{section}.{key}={value}",
        st.sampled_from([*SECTIONS, "model.backbone", "data.modalities"]),
        st.sampled_from(keys_of_every_table()),
        st.one_of(SCALARS.map(toml_value), st.text(max_size=8)),
    ),
    max_size=3,
)


def as_toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{toml_value(key)} = {as_toml(item)}' for key, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_toml, value))}]"
    return toml_value(value)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(recipe=RECIPES, overrides=OVERRIDES)
def test_no_table_and_no_override_ends_in_a_trace(recipe: dict[str, Any], overrides: list[str], tmp_path: Path) -> None:
    path = tmp_path / "any.toml"
    path.write_text("\n".join(f"{key} = {as_toml(value)}" for key, value in recipe.items()), encoding="utf-8")
    lines = recipe_mistakes(path, overrides)
    assert all("\n" not in line and line.startswith(("-o", str(path))) for line in lines)
    if lines:
        with pytest.raises(RecipeError) as caught:
            load_recipe(path, overrides)
        assert str(caught.value).startswith(lines[0])
    else:
        assert isinstance(load_recipe(path, overrides), Recipe)


@pytest.mark.parametrize("text", ["[" * 100_000, f"name = {'9' * 10_000}", f"a = {'[' * 5000}{']' * 5000}", "\x00"])
def test_no_file_ends_in_a_trace(tmp_path: Path, text: str) -> None:
    path = tmp_path / "any.toml"
    path.write_text(text, encoding="utf-8")
    (line,) = recipe_mistakes(path)
    assert line.startswith(str(path)) and "not valid TOML" in line
