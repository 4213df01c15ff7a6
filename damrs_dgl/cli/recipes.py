"""What needs no run: `doctor`, and the recipes and systems that there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from damrs_dgl.cli.command import Command, warn_of_unusable_systems
from damrs_dgl.console import console
from damrs_dgl.errors import DataError, RecipeError


@click.command()
def doctor() -> None:
    """Versions, devices, threads; what does not fit and the cure."""
    from damrs_dgl.doctor import checks, healthy

    found = checks()
    verdicts = {True: "ok", False: "PROBLEM", None: ""}
    rows = [[check.name, check.value, verdicts[check.ok], check.cure or ""] for check in found]
    console.table("", ["what", "found", "", "cure"], rows)
    if not healthy(found):
        raise SystemExit(2)


@click.command()
@click.argument("action", type=click.Choice(["ls", "systems", "show", "cp", "validate", "space", "grid"]))
@click.argument("arguments", nargs=-1)
@click.pass_obj
def recipes(command: Command, action: str, arguments: tuple[str, ...]) -> None:
    """ls | systems | show | cp NAME FILE | validate | space | grid [NAME]: shipped recipes, systems, your own recipe.

    `show` prints every key of a recipe, or of a system by its name, with its meaning, range and default; `validate`
    lists all mistakes at once. `space` and `grid` print what `tune` tries for a recipe or a system, as a file to edit.
    """
    actions: dict[str, Any] = {"ls": _list, "systems": _systems, "show": _show, "cp": _copy, "validate": _validate}
    actions |= {"space": _space, "grid": _grid}
    usage, fewest, most = {"ls": ("", 0, 0), "systems": ("", 0, 0), "cp": (" NAME FILE", 2, 2)}.get(
        action, (" [NAME]", 0, 1)
    )
    if not fewest <= len(arguments) <= most:
        raise click.UsageError(f"`recipes {action}{usage}` does not take {len(arguments)} arguments")
    actions[action](command, *arguments)


def _list(command: Command) -> None:
    from damrs_dgl.recipe import recipe_header, shipped_recipes

    console.table("", ["recipe", "what it is"], [[name, recipe_header(name)] for name in sorted(shipped_recipes())])


def _systems(command: Command) -> None:
    from damrs_dgl.recipe import systems_table

    warn_of_unusable_systems()
    console.table("", ["system", "what it is", "content", "trained"], [row[:4] for row in systems_table()])


def _show(command: Command, name: str | None = None) -> None:
    from damrs_dgl.recipe import is_system, load_recipe, model_text, recipe_text

    if name and is_system(name):
        try:
            console.info(model_text(name))
        except ValueError as error:
            raise RecipeError(str(error), where="recipes show") from None
    else:
        console.info(recipe_text(load_recipe(name or command.recipe, command.overrides)))


def _copy(command: Command, name: str, target: str) -> None:
    from damrs_dgl.recipe import shipped_recipes
    from damrs_dgl.storage.files import write_text

    shipped = shipped_recipes()
    if name not in shipped:
        raise DataError(f"there is no shipped recipe {name!r}", fix=f"choose one of {', '.join(sorted(shipped))}")
    if Path(target).exists():
        raise DataError("is there already", where=target, fix="choose another file name")
    write_text(Path(target), shipped[name].read_text(encoding="utf-8"))
    console.info(f"{target} is yours now: edit it, then `damrs-dgl --recipe {target} describe`")


def _validate(command: Command, name: str | None = None) -> None:
    from damrs_dgl.recipe import recipe_mistakes

    mistakes = recipe_mistakes(name or command.recipe, command.overrides)
    for mistake in mistakes:
        console.info(mistake)
    if mistakes:
        raise SystemExit(2)
    console.info("no mistakes")


def _space(command: Command, name: str | None = None) -> None:
    _show_space(command, name, grid=False)


def _grid(command: Command, name: str | None = None) -> None:
    _show_space(command, name, grid=True)


def _show_space(command: Command, name: str | None, *, grid: bool) -> None:
    from damrs_dgl.recipe import DEFAULT_RECIPE, as_system, is_system, load_recipe
    from damrs_dgl.search_space import own_space, space_text

    system = name is not None and is_system(name)
    source = command.recipe if system or name is None else name
    recipe = load_recipe(source, command.overrides)
    if name is not None and system:
        recipe = as_system(recipe, name)
    console.info(space_text(source or DEFAULT_RECIPE, recipe, own_space(recipe, grid=grid)).rstrip("\n"))
