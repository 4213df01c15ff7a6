"""README.md and docs/: every command is understood, every key, system, file, module and link is there."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import damrs_dgl.stages
from damrs_dgl.cli import cli
from damrs_dgl.models.specification.overview import systems_markdown
from damrs_dgl.models.specification.systems import check_system
from damrs_dgl.recipe import Recipe, as_system, load_recipe, recipe_from, shipped_recipes, with_values
from tests.documents import ARCHITECTURE, PAGES, ROOT, SYSTEMS, Page
from tests.shown_shop import make_shop

STAGES = [name for name in cli.commands if name not in {"doctor", "recipes"}]
COMMANDS = [(page.name, command) for page in PAGES for command in page.commands()]
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@pytest.mark.parametrize(
    ("page", "command"), COMMANDS, ids=lambda part: part if isinstance(part, str) else " ".join(part)
)
def test_every_command_is_understood(
    page: str, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Options, stages, recipes and overrides are real; the stages themselves are replaced by a look at the recipe."""
    monkeypatch.chdir(make_shop(tmp_path))
    if "cp" not in command:
        shutil.copy("shop.toml", "my.toml")
    Path("space.toml").write_text(Page("docs/tune.md").blocks("toml")[0], encoding="utf-8")
    Path("runs/NAME").mkdir(parents=True)
    shutil.copy("shop.toml", "runs/NAME/tuned.toml")
    (tmp_path / "data" / "tiktok").mkdir(parents=True)
    (tmp_path / "data" / "tiktok" / "tiktok.inter").touch()  # which is all that doctor looks for
    monkeypatch.setenv("DAMRS_DATA", str(tmp_path / "data"))
    reached: list[Recipe[Any]] = []

    def stage(workspace: Any, *_: Any, **__: Any) -> None:
        reached.append(workspace.recipe)

    for name in damrs_dgl.stages.__all__:  # a function for each stage, and some for an option of one
        if inspect.isfunction(getattr(damrs_dgl.stages, name)):
            monkeypatch.setattr(damrs_dgl.stages, name, stage)
    if "--help" in command:
        assert cli.main(command, standalone_mode=False) == 0, page
        return
    cli.main(command, standalone_mode=False)
    assert len(reached) == len([word for word in command if word in STAGES]), page


def value_in_model(recipe: Recipe[Any], key: str) -> object:
    """A key of the default model or, where that has none, of the backbone's."""
    name = key.removeprefix("model.")
    return recipe.value(key if name.split(".")[0] in type(recipe.model).model_fields else f"model.backbone.{name}")


@by_page
def test_keys_systems_and_recipes_are_real(page: Page) -> None:
    recipe = recipe_from({"data": {"format": "synthetic"}})
    for key in page.recipe_keys():
        value = recipe.value(key) if not key.startswith("model.") else value_in_model(recipe, key)
        with_values(recipe, {key: value})
    for override in page.overrides():
        load_recipe("demo", [override])
    for models in re.findall(r"--models ([a-z0-9_:+,-]+)", page.text):
        for name in models.split(","):
            as_system(recipe, check_system(name))
    for name in re.findall(r"--recipe ([a-z0-9-]+)(?= )", page.text):
        assert name in shipped_recipes()


@by_page
def test_files_modules_and_targets_are_there(page: Page) -> None:
    folder = (ROOT / page.name).parent
    missing = [link for link in page.links() if not (folder / link).exists()]
    missing += [module for module in page.modules() if importlib.util.find_spec(module) is None]
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    missing += sorted(page.make_targets() - set(targets))
    assert not missing


def test_the_tree_is_the_one_that_is_there() -> None:
    (tree,) = ARCHITECTURE.blocks("text")
    for name in re.findall(r"([a-z_]+(?:/[a-z_]+)*(?:\.py|/))", tree):
        found = [*ROOT.glob(name), *ROOT.glob(f"damrs_dgl/{name}"), *ROOT.glob(f"damrs_dgl/*/{name}")]
        assert found, f"the tree of docs/architecture.md names {name}, which is not there"
    named = re.findall(r"`((?:[a-z_]+/)*[a-z_]+(?:\.py|/))`", ARCHITECTURE.text)
    assert len(named) > 10
    assert not [name for name in named if not (ROOT / "damrs_dgl" / name).exists()]


def test_the_table_of_systems_is_the_registry_s() -> None:
    """`make systems` prints it anew."""
    table = re.search(r"<!-- systems: .*? -->\n(.*?)\n<!-- end of systems -->", SYSTEMS.text, flags=re.DOTALL)
    assert table is not None
    assert table[1] == systems_markdown()


def test_the_shown_study_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = Page("docs/studies.md").blocks("python")
    names: dict[str, Any] = {}
    code = code.replace("training.epochs=10", "training.epochs=1").replace("(5, 20)", "(5,)")
    exec(compile(code, "docs/studies.md", "exec"), names)
    assert len(names["cells"]) == 2
    assert "recall@20" in names["outcome"].validation


def test_the_parts_that_work_alone_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = Page("docs/api.md").blocks("python")
    names: dict[str, Any] = {}
    exec(compile(code, "docs/api.md", "exec"), names)
    assert sorted(names["graph"].etypes) == sorted(["interacts", "interacted_by", "visual", "textual", "behavior"])
    assert names["positive"].grad is not None
