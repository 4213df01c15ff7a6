"""Studies, many trainings and one table: compare, ablate, stress, tune."""

from __future__ import annotations

from pathlib import Path

import click

from damrs_dgl.cli.command import Command, Names, NumberRange, table_format

_seeds = click.option(
    "--seeds", type=click.IntRange(min=1, max=1000), default=1, show_default=True, help="Runs of each system."
)
_jobs = click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Trainings side by side, a core each; the numbers are the same for any. [by cores and memory; 1 on a GPU]",
)


@click.command()
@click.option(
    "--models",
    type=Names(),
    default=(),
    metavar="A,B",
    help="Systems, by commas; WRAPPER:BACKBONE for one with what it wraps.",
)
@_seeds
@_jobs
@table_format
@click.pass_obj
def compare(command: Command, models: tuple[str, ...], seeds: int, jobs: int | None, table_format: str | None) -> None:
    """Systems on the recipe's data, beside simple ones and the paper's figures where there are some.

    Every training is kept, and shared with the other studies: the same command goes on after what is finished.
    """
    from damrs_dgl.stages import compare as stage

    stage(command.workspace, models=models, seeds=seeds, jobs=jobs, format=table_format)


@click.command()
@_seeds
@_jobs
@table_format
@click.pass_obj
def ablate(command: Command, seeds: int, jobs: int | None, table_format: str | None) -> None:
    """The recipe's system with parts of it taken away, beside the paper's Tables 3 and 4."""
    from damrs_dgl.stages import ablate as stage

    stage(command.workspace, seeds=seeds, jobs=jobs, format=table_format)


@click.command()
@click.option(
    "--noise", "noises", multiple=True, metavar="KIND", help="feedback, feedback-removed, or a modality; repeatable."
)
@click.option(
    "--ratio",
    "ratios",
    type=NumberRange(0, 1),
    multiple=True,
    metavar="R",
    help="Share of it, 0 to 1; repeatable.",
)
@click.option("--models", type=Names(), default=(), metavar="A,B", help="Systems to compare, by commas.")
@click.option("--seeds", type=click.IntRange(min=1, max=1000), help="Runs per cell.")
@_jobs
@table_format
@click.pass_obj
def stress(
    command: Command,
    noises: tuple[str, ...],
    ratios: tuple[float, ...],
    models: tuple[str, ...],
    seeds: int | None,
    jobs: int | None,
    table_format: str | None,
) -> None:
    """Corrupt the clean training data, train each system anew, and show what it loses."""
    from damrs_dgl.stages import stress as stage

    stage(command.workspace, noises=noises, ratios=ratios, models=models, seeds=seeds, jobs=jobs, format=table_format)


@click.command()
@click.option("--trials", type=click.IntRange(min=1), required=True, help="Trainings besides the recipe as it is.")
@click.option(
    "--search", type=click.Choice(["optuna", "grid"]), default="optuna", show_default=True, help="How to search."
)
@click.option("--space", type=click.Path(path_type=Path), metavar="FILE", help="What to try. [the system's own]")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the search. [training.seed]")
@click.option("--timeout", type=NumberRange(min=0, min_open=True), metavar="MIN", help="Stop after so many minutes.")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Trainings side by side; with more than one, what optuna tries depends on which ends first.",
)
@click.pass_obj
def tune(
    command: Command,
    trials: int,
    search: str,
    space: Path | None,
    seed: int | None,
    timeout: float | None,
    jobs: int,
) -> None:
    """Better keys for the recipe, by validation alone: tune.csv, and the best as a recipe, tuned.toml.

    Each trial is kept: the same command goes on after what is finished, and a larger --trials adds to it. A space file
    lists keys with values or ranges; `recipes space` prints a system's own to start from.
    """
    from damrs_dgl.search_space import load_space
    from damrs_dgl.stages import tune as stage

    loaded = None
    if space is not None:
        recipe, loaded = load_space(space)
        if recipe is not None:
            command.default_recipe(recipe)
    stage(command.workspace, trials=trials, search=search, space=loaded, seed=seed, minutes=timeout, jobs=jobs)
