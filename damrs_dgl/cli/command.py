"""What the commands of one line share: recipe and workspace, made at first use.

Nothing heavy is imported before a stage runs, so that `--help` answers at once.
"""

from __future__ import annotations

import difflib
import errno
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from damrs_dgl.console import FORMATS, console
from damrs_dgl.errors import DamrsError

LEAST_ADDRESS_SPACE = 1 << 30  # torch and dgl are loaded in less; how much more is needed is for the data to say

if TYPE_CHECKING:
    from damrs_dgl.recipe import Recipe
    from damrs_dgl.stages import Workspace


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

    def default_recipe(self, name: str) -> None:
        """Take a recipe where the command line names none. Raises UsageError where an earlier stage took another."""
        if self.recipe is not None:
            return
        if "loaded_recipe" in self.__dict__:
            raise click.UsageError(f"a stage before this one took another recipe; write --recipe {name}")
        self.recipe = name

    @cached_property
    def workspace(self) -> Workspace:
        recipe = self.loaded_recipe  # a mistake in it is told before anything else
        from damrs_dgl.stages import Workspace

        workspace = Workspace(recipe, run=self.run, device=self.device, console=console)
        workspace.keeps_lock = True  # nobody else changes the run between two stages of one command
        return workspace

    def close(self) -> None:
        """What is done when the last stage has ended, however it did."""
        if "workspace" in vars(self):
            self.workspace.close()


def refuse_too_little_memory() -> None:
    """DamrsError where a limit on this process leaves no room for torch, which would end it without a word."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY and limit < LEAST_ADDRESS_SPACE:
        what = f"not enough memory (this process may have {limit >> 20:,} MiB of address space)"
        raise DamrsError(what, fix=f"raise that limit, `ulimit -v`, to {LEAST_ADDRESS_SPACE >> 10} or more")


def warn_of_unusable_systems() -> None:
    """A line for each system that another package offers and that cannot be used."""
    from damrs_dgl.models.registry import unusable_systems

    for error in unusable_systems():
        console.warning(str(error))


@contextmanager
def output_of_click() -> Iterator[None]:
    """A failed write of click's own, which names no file as those of stages do, told as one of the console's."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in (errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF):
            raise console.lost_output(error) from error
        raise


class StageGroup(click.Group):
    """A group that names the nearest stage for a misspelt one, and says where its own output (`--help`) is lost."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with output_of_click():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with output_of_click():
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        names = self.list_commands(ctx)
        if args and args[0] not in names:
            near = difflib.get_close_matches(args[0], names, n=1)
            cure = f"did you mean {near[0]!r}?" if near else f"the stages are {', '.join(names)}"
            raise click.UsageError(f"there is no stage {args[0]!r}; {cure}")
        return super().resolve_command(ctx, args)


class Names(click.ParamType):
    """Names by commas, none of them empty."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        found = value if isinstance(value, tuple) else tuple(name.strip() for name in value.split(","))
        if not all(found):
            self.fail(f"{value!r} holds an empty name.", param, ctx)
        return found


class NumberRange(click.FloatRange):
    """A number in a range; "nan", which is in every range for click, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


table_format = click.option(
    "--format",
    "table_format",
    type=click.Choice(FORMATS),
    help="Print tables as Markdown, LaTeX or CSV, to be pasted elsewhere.",
)
