"""The command line: options and one call of a stage each. Stages chain: `damrs-dgl build-graphs fit evaluate`.

Each file here holds a few commands; `COMMANDS` are all of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from damrs_dgl.cli.audit import audit
from damrs_dgl.cli.command import Command, StageGroup, refuse_too_little_memory
from damrs_dgl.cli.groups import groups
from damrs_dgl.cli.recipes import doctor, recipes
from damrs_dgl.cli.report import report
from damrs_dgl.cli.stages import build_graphs, describe, evaluate, fit, recommend, verify
from damrs_dgl.cli.studies import ablate, compare, stress, tune
from damrs_dgl.console import console, open_standard_streams
from damrs_dgl.errors import DamrsError, ReaderGone, as_ours
from damrs_dgl.interrupts import exit_code, stopping_in_order
from damrs_dgl.threads import bound_waiting

COMMANDS = (
    describe,
    build_graphs,
    fit,
    evaluate,
    recommend,
    verify,
    groups,
    compare,
    ablate,
    stress,
    tune,
    audit,
    report,
    doctor,
    recipes,
)


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
    refuse_too_little_memory()
    seeded = (*overrides, f"training.seed={seed}") if seed is not None else overrides
    ctx.obj = Command(recipe, run, seeded, device)
    ctx.call_on_close(ctx.obj.close)


for stage in COMMANDS:
    cli.add_command(stage)


def main() -> None:
    """Entry point: every error ends as one line on standard error and an exit code."""
    open_standard_streams()
    bound_waiting()
    try:
        code = _run_command()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except Exception as error:
        if "--debug" in sys.argv[1:]:
            raise
        known = as_ours(error)
        if not isinstance(known, ReaderGone):
            console.error(known)
        code = known.exit_code
    if code:
        raise SystemExit(code)


def _run_command() -> int:
    """Do what the arguments ask for; 0, or the code of a usage error or an interrupt after its line is said."""
    try:
        with stopping_in_order():
            cli.main(sys.argv[1:] or ["--help"], prog_name="damrs-dgl", standalone_mode=False)
        console.flush()
        return 0
    except (click.exceptions.Abort, KeyboardInterrupt) as stop:
        reason = stop.__cause__ or stop  # click turns Ctrl-C into an Abort
        console.notice(str(reason) or "stopped; the same command goes on after what is finished")
        return exit_code(reason)
    except click.ClickException as error:
        console.error(_usage_error(error))
        return error.exit_code


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
