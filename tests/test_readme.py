"""Everything in README.md that can be run is run: its Python, its recipe, and its commands, on tiny data."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import damrs_dgl.stages
from damrs_dgl.cli import cli
from damrs_dgl.models.overview import systems_markdown
from damrs_dgl.models.systems import check_system
from damrs_dgl.recipe import Recipe, as_system, load_recipe, recipe_from, shipped_recipes, with_values

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
STAGES = ("describe", "build_graphs", "fit", "evaluate", "recommend", "stress")
CUSTOMERS, SKUS = 60, 40


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[list[str]]:
    """The arguments of every damrs-dgl line in the README's shell blocks, and of those within its sentences."""
    text = "\n".join(line.split("#")[0] for block in blocks("sh") for line in block.splitlines())
    quoted = "\n".join(re.findall(r"`(damrs-dgl [^`\n]+)`", README))
    lines = [shlex.split(line) for line in f"{text}\n{quoted}".splitlines() if line.startswith("damrs-dgl")]
    return [line[1:] for line in lines]


def shop_commands() -> list[list[str]]:
    return [command for command in commands() if "shop.toml" in command]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of "Your own data": the README's recipe beside a folder of files as it describes them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    count, folder = 900, tmp_path / "shop"
    folder.mkdir()
    skus = [f"sku-{n}" for n in range(SKUS)]
    orders = {
        "customer": [f"customer-{n}" for n in rng.integers(0, CUSTOMERS, count)],
        "sku": [skus[n] for n in rng.integers(0, SKUS, count)],
        "time": rng.integers(1_600_000_000, 1_700_000_000, count),
    }
    pyarrow.csv.write_csv(pa.table(orders), folder / "orders.csv")
    np.save(folder / "pictures.npy", rng.normal(size=(SKUS, 16)).astype(np.float32))
    pyarrow.csv.write_csv(pa.table({"sku": skus}), folder / "picture_ids.csv")
    vectors = [row.tolist() for row in rng.normal(size=(SKUS - 3, 8))]  # three items have no text
    pq.write_table(pa.table({"sku": skus[3:], "vector": vectors}), folder / "texts.parquet")
    (recipe,) = blocks("toml")
    (tmp_path / "shop.toml").write_text(recipe.replace("epochs = 100", "epochs = 2"), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_runs(number: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    code = blocks("python")[number].replace("training__epochs=20", "training__epochs=1")
    names: dict[str, Any] = {}
    exec(compile(code, f"README.md python block {number + 1}", "exec"), names)
    if "best" in names:
        assert names["best"].shape == names["scores"].shape == (2, 5)
        assert set(names["best"].flat) <= set(names["items"])
        assert "sku-3" not in names["nearest"]
    else:
        relations = ["interacts", "interacted_by", "visual", "textual", "behavior"]
        assert sorted(names["graph"].etypes) == sorted(relations)
        assert names["positive"].grad is not None


def test_the_shop_gets_its_recommendations(shop: Path) -> None:
    assert len(shop_commands()) >= 4
    for command in shop_commands():
        cli.main(command, standalone_mode=False)
    run = shop / "runs" / "shop"
    table = pq.read_table(run / "recommendations.parquet")
    assert table.column_names == ["user", "item", "rank", "score"]
    assert table["rank"].to_pylist()[:3] == [1, 2, 3]
    assert set(table["user"].to_pylist()) == {f"customer-{n}" for n in range(CUSTOMERS)}
    assert set(table["item"].to_pylist()) <= {f"sku-{n}" for n in range(SKUS)}


def test_stages_write_what_the_table_says(shop: Path) -> None:
    section = README[README.index("## Stages") : README.index("## The paper")]
    rows = re.findall(r"^\| `([a-z-]+)` \|.*\| (.*) \|$", section, flags=re.MULTILINE)
    assert [name.replace("-", "_") for name, _ in rows] == list(STAGES)
    options = {"recommend": ["--export-vectors"], "stress": ["--ratio", "0.1", "--models", "mf"]}
    run = shop / "runs" / "shop"
    for name, written in rows:
        shutil.rmtree(run / "stress", ignore_errors=True)
        cli.main(["--recipe", "shop.toml", name, *options.get(name, [])], standalone_mode=False)
        for pattern in re.findall(r"`([^`]+)`", written):
            assert list(run.glob(pattern.rstrip("/"))), f"{name} did not write {pattern}"


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_is_understood(command: list[str], shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options, stages, recipes and overrides are real; the stages themselves are replaced by a look at the recipe."""
    (shop / "data" / "tiktok").mkdir(parents=True)
    (shop / "data" / "tiktok" / "tiktok.inter").touch()  # which is all that doctor looks for
    monkeypatch.setenv("DAMRS_DATA", str(shop / "data"))
    reached: list[Recipe[Any]] = []

    def stage(workspace: Any, **_: Any) -> None:
        reached.append(workspace.recipe)

    for name in STAGES:
        monkeypatch.setattr(damrs_dgl.stages, name, stage)
    cli.main(command, standalone_mode=False)
    named = [word for word in command if word.replace("-", "_") in STAGES]
    assert len(reached) == len(named)


def value_in_model(recipe: Recipe[Any], key: str) -> object:
    """A key of the default model or, where that has none, of the backbone's."""
    name = key.removeprefix("model.")
    return recipe.value(key if name in type(recipe.model).model_fields else f"model.backbone.{name}")


def test_systems_keys_and_files_are_real() -> None:
    """What the sentences name: keys of a recipe, systems, files of the tree, make targets, shipped recipes."""
    recipe = recipe_from({"data": {"format": "synthetic"}})
    for key in set(re.findall(r"`((?:graphs|model|losses|training|evaluation|stress)\.[a-z_.]*[a-z_])`", README)):
        if key not in {"stress.csv", "stress.png", "model.safetensors"}:
            value = recipe.value(key) if not key.startswith("model.") else value_in_model(recipe, key)
            with_values(recipe, {key: value})
    for override in re.findall(r"-o ([a-z]+\.[a-z_.]+=[^\s`]+)", README):
        if override != "section.key=value":
            load_recipe("demo", [override])
    for models in re.findall(r"--models ([a-z+,-]+)", README):
        for name in models.split(","):
            as_system(recipe, check_system(name))
    for name in re.findall(r"`?--recipe ([a-z0-9-]+)(?= )", README):
        assert name in shipped_recipes()
    tree = blocks("text")[-1]
    for name in re.findall(r"([a-z_]+(?:/[a-z_]+)*(?:\.py|/))", tree):
        found = [*ROOT.glob(name), *ROOT.glob(f"damrs_dgl/{name}"), *ROOT.glob(f"damrs_dgl/*/{name}")]
        assert found, f"the README's tree names {name}, which is not there"
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(re.findall(r"^make ([a-z]+)", "\n".join(blocks("sh")), flags=re.MULTILINE)) <= set(targets)


def test_the_table_of_systems_is_the_registry_s() -> None:
    """`make systems` prints it anew."""
    table = re.search(r"<!-- systems: .*? -->\n(.*?)\n<!-- end of systems -->", README, flags=re.DOTALL)
    assert table is not None
    assert table[1] == systems_markdown()
