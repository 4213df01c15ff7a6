"""Search spaces: what a file may say, mistakes in one line each, and the spaces that systems come with."""

from __future__ import annotations

from pathlib import Path

import pytest

from damrs_dgl.errors import RecipeError
from damrs_dgl.models.core.ranges import Range
from damrs_dgl.models.registry import models
from damrs_dgl.models.specification.spaces import space_of
from damrs_dgl.recipe import as_system, load_recipe
from damrs_dgl.search_space import check_space, load_space, own_space, recipe_values, space_text

WITHOUT_KEYS = ("popularity",)


def _file(folder: Path, text: str) -> Path:
    path = folder / "space.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_with_everything(tmp_path: Path) -> None:
    text = """
recipe = "tiktok"
[space]
"training.learning_rate" = {low = 1e-4, high = 1e-2, log = true}
training.batch_size = ["auto", 512]
model.num_layers = {low = 1, high = 3}
"model.variant" = ["authors", "paper"]
"""
    recipe, space = load_space(_file(tmp_path, text))
    assert recipe == "tiktok"
    assert space.entries == {
        "training.learning_rate": Range(1e-4, 1e-2, log=True),
        "training.batch_size": ("auto", 512),
        "model.num_layers": Range(1, 3),
        "model.variant": ("authors", "paper"),
    }
    assert space.size is None
    check_space(load_recipe("demo"), space, grid=False)


def test_a_recipe_of_a_file_is_sought_beside_the_space(tmp_path: Path) -> None:
    found, _ = load_space(_file(tmp_path, 'recipe = "mine.toml"\n[space]\n"graphs.k" = [5, 10]'))
    assert found == str(tmp_path / "mine.toml")
    assert load_space(_file(tmp_path, '[space]\n"graphs.k" = [5, 10]'))[0] is None


MISTAKES = [
    ("[space]", ("has no keys to try", "[space]")),
    ("[spcae]\na = [1]", ("unknown key spcae", "did you mean space?")),
    ("recipe = 3\n[space]\na = [1]", ("recipe = 3", "name a shipped recipe or a file")),
    ("[space]\na = [1", ("not valid TOML", "line")),
    ('[space]\n"training.learning_rat" = [0.1]', ("unknown key", "did you mean training.learning_rate?")),
    ('[space]\n"trainin.learning_rate" = [0.1]', ("trainin", "training")),
    ('[space]\n"training.learning_rate" = [0.1, 3.0]', ("training.learning_rate = 3.0", "at most 1")),
    ('[space]\n"training.learning_rate" = {low = 0.1, high = 3.0}', ("training.learning_rate = 3.0", "at most 1")),
    ('[space]\n"training.learning_rate" = {low = 0.1, high = 0.01}', ("low = 0.1 is not below high = 0.01",)),
    ('[space]\n"training.learning_rate" = {low = 0, high = 0.01, log = true}', ("log = true needs low above 0",)),
    ('[space]\n"training.learning_rate" = {low = 0.1, hgih = 0.2}', ("unknown key hgih", "did you mean high?")),
    ('[space]\n"training.learning_rate" = {low = 0.1}', ("is no range", "low = number, high = number")),
    ('[space]\n"training.learning_rate" = 0.1', ("is neither a list nor a range", "[0.1, ...]")),
    ('[space]\n"training.learning_rate" = []', ("has no value to try",)),
    ('[space]\n"graphs.k" = [5, 10, 5]', ("5 stands in it twice",)),
    ('[space]\n"model.relation_k" = [5, "ten"]', ('model.relation_k = "ten"', "an integer from 1 to 1000")),
    ('[space]\n"model.relation_k" = {low = 0, high = 10}', ("model.relation_k = 0", "an integer from 1 to 1000")),
    ('[space]\n"model.relation_k" = {low = 1.5, high = 10.0}', ("model.relation_k = 1.5", "an integer from 1 to 1000")),
    ('[space]\n"data.seed" = [0, 1]', ("data.seed cannot be tuned",)),
    ('[space]\n"training.seed" = [0, 1]', ("training.seed cannot be tuned",)),
    ('[space]\n"model.name" = ["a"]', ("model.name cannot be tuned",)),
    ('[space]\n"evaluation.protocol" = ["paper"]', ("evaluation.protocol cannot be tuned",)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "saying"), MISTAKES)
def test_mistakes_say_what_where_and_the_cure(tmp_path: Path, text: str, saying: tuple[str, ...]) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(RecipeError) as refusal:
        check_space(load_recipe("demo"), load_space(path)[1], grid=False)
    line = str(refusal.value)
    assert str(path) in line
    assert all(part in line for part in saying), line
    assert "\n" not in line


def test_a_grid_has_no_ranges(tmp_path: Path) -> None:
    space = load_space(_file(tmp_path, '[space]\n"training.learning_rate" = {low = 0.1, high = 0.2}'))[1]
    with pytest.raises(RecipeError, match="is a range, and a grid needs values"):
        check_space(load_recipe("demo"), space, grid=True)


@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("name", [name for name in models() if name not in WITHOUT_KEYS])
def test_every_system_has_a_space_that_its_recipe_takes(tmp_path: Path, name: str, grid: bool) -> None:
    recipe = as_system(load_recipe("demo"), name)
    space = own_space(recipe, grid=grid)
    check_space(recipe, space, grid=grid)
    source, written = load_space(_file(tmp_path, space_text("demo", recipe, space)))
    assert (source, written.entries) == ("demo", space.entries)


@pytest.mark.parametrize("grid", [False, True])
def test_a_system_without_keys_is_refused(grid: bool) -> None:
    with pytest.raises(RecipeError, match='"popularity" has no key to tune; give --space FILE'):
        own_space(as_system(load_recipe("demo"), "popularity"), grid=grid)


def test_the_authors_grids() -> None:
    """Table in the authors' logs: 3 depths, 7 and 6 weights, 4 x 5 x 3 of DA-MRS."""
    sizes = {
        "lightgcn": 3,
        "mf": 7,
        "ngcf": 6,
        "sgl": 4,
        "simgcl": 12,
        "mmgcn": 4,
        "grcn": 5,
        "lattice": 4,
        "damrs": 60,
    }
    recipe = load_recipe("demo")
    assert {name: own_space(as_system(recipe, name), grid=True).size for name in sizes} == sizes


def test_a_wrapper_tries_what_it_wraps_too_but_for_the_loss_that_it_replaces() -> None:
    inner, outer = (
        space_of({"name": "lightgcn"}, grid=False),
        space_of({"name": "damrs", "backbone": "lightgcn"}, grid=False),
    )
    assert outer["model.backbone.num_layers"] == inner["model.num_layers"]
    assert "model.regularization" in inner
    assert "model.backbone.regularization" not in outer
    assert "model.backbone.negatives" not in outer  # a wrapper's ranking loss asks for its own
    assert "model.relation_weight" in outer


def test_a_system_that_says_nothing_gets_rate_and_regularisation() -> None:
    found = space_of({"name": "tests.plugin.damrs_plugin:BiasedMF"}, grid=False)
    assert found == {"training.learning_rate": Range(1e-4, 1e-2, log=True), "model.decay": Range(1e-6, 0.1, log=True)}
    lists = space_of({"name": "tests.plugin.damrs_plugin:BiasedMF"}, grid=True)
    assert list(lists) == list(found)
    assert not any(isinstance(values, Range) for values in lists.values())


def test_the_recipes_own_values(tmp_path: Path) -> None:
    recipe = load_recipe("demo", ["model.name=mf", "training.learning_rate=0.01"])
    inside = load_space(
        _file(tmp_path, '[space]\n"training.learning_rate" = [0.01, 0.1]\n"model.dim" = {low = 8, high = 64}')
    )[1]
    assert recipe_values(recipe, inside) == {"training.learning_rate": 0.01, "model.dim": 64}
    outside = load_space(_file(tmp_path, '[space]\n"training.learning_rate" = [0.02]'))[1]
    assert recipe_values(recipe, outside) is None


@pytest.mark.parametrize(
    ("low", "high", "log"), [(1, 1, False), (2, 1, False), (float("nan"), 1, False), (0.0, 1.0, True)]
)
def test_ranges_without_numbers(low: float, high: float, log: bool) -> None:
    with pytest.raises(ValueError, match="low"):
        Range(low, high, log)


def test_what_lies_in_a_range() -> None:
    assert Range(1, 3).holds(2)
    assert not Range(1, 3).holds(2.0)
    assert not Range(1, 3).holds(True)
    assert Range(0.5, 3.0).holds(3)
    assert not Range(0.5, 3.0).holds("auto")
