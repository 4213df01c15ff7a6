"""The command line: options and one call of a stage each. Stages chain: `damrs-dgl build-graphs fit evaluate`.

Each file here holds a few commands; `COMMANDS` are all of them.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import click

from damrs_dgl.cli.audit import audit
from damrs_dgl.cli.command import Command, StageGroup, refuse_too_little_memory
from damrs_dgl.cli.groups import groups
from damrs_dgl.cli.recipes import doctor, recipes
from damrs_dgl.cli.report import report
from damrs_dgl.cli.stages import build_graphs, describe, evaluate, fit, recommend
from damrs_dgl.cli.studies import ablate, compare, stress, tune
from damrs_dgl.console import console
from damrs_dgl.errors import DamrsError, unexpected
from damrs_dgl.threads import bound_waiting

INTERRUPTED = 130  # what a shell reports for Ctrl-C
COMMANDS = (
    describe,
    build_graphs,
    fit,
    evaluate,
    recommend,
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


for stage in COMMANDS:
    cli.add_command(stage)


def main() -> None:
    """Entry point: every error ends as one line on standard error and an exit code."""
    debug = "--debug" in sys.argv[1:]
    bound_waiting()
    try:
        cli.main(sys.argv[1:] or ["--help"], prog_name="damrs-dgl", standalone_mode=False)
        console.flush()  # a disk that is full is told here, not at Python's end
    except (click.exceptions.Abort, KeyboardInterrupt) as stop:
        reason = stop.__cause__ or stop  # click turns Ctrl-C into an Abort
        console.notice(str(reason) or "stopped; the same command goes on after what is finished")
        raise SystemExit(INTERRUPTED) from None
    except click.ClickException as error:
        _tell(_usage_error(error))
        raise SystemExit(error.exit_code) from None
    except BrokenPipeError:
        console.drop_output()
        raise SystemExit(1) from None
    except Exception as error:
        if debug:
            raise
        known = error if isinstance(error, DamrsError) else unexpected(error)
        _tell(known)
        raise SystemExit(known.exit_code) from None


def _tell(error: DamrsError) -> None:
    """The error's line; nothing where standard error cannot be written, for the exit code tells too."""
    with contextlib.suppress(OSError):
        console.error(error)
    console.drop_output()


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
