"""The command line: options and one call of a stage each. Stages chain: `damrs-dgl build-graphs fit evaluate`.

Nothing heavy is imported before a stage runs, so that `--help` answers at once.
"""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from damrs_dgl.console import console
from damrs_dgl.errors import DamrsError, DataError, unexpected
from damrs_dgl.threads import bound_waiting

if TYPE_CHECKING:
    from damrs_dgl.recipe import Recipe
    from damrs_dgl.stages import Workspace

INTERRUPTED = 130  # what a shell reports for Ctrl-C


@dataclass
class Command:
    """The options that stand before the stages, and the workspace that the stages share."""

    recipe: str | None
    run: Path | None
    overrides: tuple[str, ...]
    device: str

    @cached_property
    def loaded_recipe(self) -> Recipe:
        from damrs_dgl.recipe import load_recipe

        recipe = load_recipe(self.recipe, self.overrides)
        warn_of_unusable_systems()
        return recipe

    @cached_property
    def workspace(self) -> Workspace:
        recipe = self.loaded_recipe  # a mistake in it is told before anything else
        from damrs_dgl.stages import Workspace

        return Workspace(recipe, run=self.run, device=self.device, console=console)


def warn_of_unusable_systems() -> None:
    """A line for each system that another package offers and that cannot be used."""
    from damrs_dgl.models.registry import unusable_systems

    for error in unusable_systems():
        console.warning(str(error))


class StageGroup(click.Group):
    """A group that names the nearest stage for a misspelt one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        names = self.list_commands(ctx)
        if args and args[0] not in names:
            near = difflib.get_close_matches(args[0], names, n=1)
            cure = f"did you mean {near[0]!r}?" if near else f"the stages are {', '.join(names)}"
            raise click.UsageError(f"there is no stage {args[0]!r}; {cure}")
        return super().resolve_command(ctx, args)


@click.group(cls=StageGroup, chain=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--recipe", metavar="FILE|NAME", help="A recipe file, or a shipped recipe by name (see `recipes ls`). [demo]"
)
@click.option(
    "--run", "run", type=click.Path(path_type=Path), metavar="DIR", help="Where to keep everything. [runs/<recipe>]"
)
@click.option(
    "-o", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Change one key of the recipe; repeatable."
)
@click.option("--seed", type=click.IntRange(min=0), help="Short for -o training.seed=N.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--debug", is_flag=True, help="Show the stack trace of an error.")
@click.version_option(package_name="damrs-dgl")
@click.pass_context
def cli(
    ctx: click.Context,
    recipe: str | None,
    run: Path | None,
    overrides: tuple[str, ...],
    seed: int | None,
    device: str,
    debug: bool,
) -> None:
    """Recommend items that have pictures, texts or sounds when content and feedback are noisy.

    Stages run one after the other and share a run directory; a stage whose result is there already is skipped.

    \b
      damrs-dgl build-graphs fit evaluate                        the synthetic shop
      damrs-dgl --recipe my.toml fit recommend --top 10          your own data
      damrs-dgl stress --noise feedback --ratio 0.1              what noise does
    """
    seeded = (*overrides, f"training.seed={seed}") if seed is not None else overrides
    ctx.obj = Command(recipe, run, seeded, device)


@cli.command()
@click.pass_obj
def describe(command: Command) -> None:
    """The data set: sizes, sparsity, average similarity per modality, what cleaning met."""
    from damrs_dgl.stages import describe as stage

    stage(command.workspace)


@cli.command("build-graphs")
@click.pass_obj
def build_graphs(command: Command) -> None:
    """The denoised item-item graphs and the user-item graph, as one heterograph."""
    from damrs_dgl.stages import build_graphs as stage

    stage(command.workspace)


@cli.command()
@click.option("--restart", is_flag=True, help="Train anew instead of resuming.")
@click.pass_obj
def fit(command: Command, restart: bool) -> None:
    """Train to early stopping; resumes by itself, and Ctrl-C keeps the last full epoch.

    A training that was stopped goes on after its last full epoch and ends with the same numbers as one that was not.
    Its training.epochs, training.patience, [evaluation], [stress] and --device may change on the way; after any other
    change, of the data, [graphs], [model] or [training], it says what changed and trains anew.
    """
    from damrs_dgl.stages import fit as stage

    stage(command.workspace, restart=restart)


@cli.command()
@click.pass_obj
def evaluate(command: Command) -> None:
    """Validation and test metrics of the best epoch, all items ranked for all users."""
    from damrs_dgl.stages import evaluate as stage

    stage(command.workspace)


@cli.command()
@click.option("--users", default="all", metavar="FILE|all", show_default=True, help="A file of user ids, one a line.")
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True, help="Items per user.")
@click.option("--export-vectors", is_flag=True, help="Also write user and item vectors for an index of your own.")
@click.pass_obj
def recommend(command: Command, users: str, top: int, export_vectors: bool) -> None:
    """The best items that each user does not have yet, in your own ids."""
    from damrs_dgl.stages import recommend as stage

    stage(command.workspace, users=users, top=top, export_vectors=export_vectors)


@cli.command()
@click.option(
    "--noise", "noises", multiple=True, metavar="KIND", help="feedback, feedback-removed, or a modality; repeatable."
)
@click.option(
    "--ratio",
    "ratios",
    type=click.FloatRange(0, 1),
    multiple=True,
    metavar="R",
    help="Share of it, 0 to 1; repeatable.",
)
@click.option("--models", metavar="A,B", help="Systems to compare, by commas.")
@click.option("--seeds", type=click.IntRange(min=1), help="Runs per cell.")
@click.pass_obj
def stress(
    command: Command, noises: tuple[str, ...], ratios: tuple[float, ...], models: str | None, seeds: int | None
) -> None:
    """Corrupt the clean training data, train each system anew, and show what it loses."""
    from damrs_dgl.stages import stress as stage

    stage(command.workspace, noises=noises, ratios=ratios, models=_names(models), seeds=seeds)


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()] if text else []


@cli.command()
def doctor() -> None:
    """Versions, devices, threads; what does not fit and the cure."""
    from damrs_dgl.doctor import checks, healthy

    found = checks()
    verdicts = {True: "ok", False: "PROBLEM", None: ""}
    rows = [[check.name, check.value, verdicts[check.ok], check.cure or ""] for check in found]
    console.table("", ["what", "found", "", "cure"], rows)
    if not healthy(found):
        raise SystemExit(2)


@cli.command()
@click.argument("action", type=click.Choice(["ls", "systems", "show", "cp", "validate"]))
@click.argument("arguments", nargs=-1)
@click.pass_obj
def recipes(command: Command, action: str, arguments: tuple[str, ...]) -> None:
    """ls | systems | show [NAME] | cp NAME FILE | validate [NAME]: shipped recipes, systems, a recipe of your own.

    `show` prints every key of a recipe, or of a system by its name, with its meaning, range and default; `validate`
    lists all mistakes at once.
    """
    actions: dict[str, Any] = {"ls": _list, "systems": _systems, "show": _show, "cp": _copy, "validate": _validate}
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
        console.info(model_text(name))
    else:
        console.info(recipe_text(load_recipe(name or command.recipe, command.overrides)))


def _copy(command: Command, name: str, target: str) -> None:
    from damrs_dgl.files import write_text
    from damrs_dgl.recipe import shipped_recipes

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


def main() -> None:
    """Entry point: every error ends as one line on standard error and an exit code."""
    debug = "--debug" in sys.argv[1:]
    bound_waiting()
    try:
        cli.main(sys.argv[1:] or ["--help"], prog_name="damrs-dgl", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt) as stop:
        reason = stop.__cause__ or stop  # click turns Ctrl-C into an Abort
        console.notice(str(reason) or "stopped; the same command goes on after what is finished")
        raise SystemExit(INTERRUPTED) from None
    except click.ClickException as error:
        console.error(_usage_error(error))
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:
        raise SystemExit(1) from None
    except Exception as error:
        if debug:
            raise
        known = error if isinstance(error, DamrsError) else unexpected(error)
        console.error(known)
        raise SystemExit(known.exit_code) from None


def _usage_error(error: click.ClickException) -> DamrsError:
    """A mistake on the command line, with the help that it needs."""
    context = getattr(error, "ctx", None)
    name = getattr(error, "option_name", None)
    if isinstance(error, click.NoSuchOption) and any(name in option.opts for option in cli.params):
        return DamrsError(
            f"{name} stands after a stage", fix=f"write it before the stages: `damrs-dgl {name} ... STAGE`"
        )
    return DamrsError(
        error.format_message().rstrip("."), fix=f"see `{context.command_path if context else 'damrs-dgl'} --help`"
    )
