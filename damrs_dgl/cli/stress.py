"""`stress`: what noise does."""

from __future__ import annotations

import math
from typing import Any

import click

from damrs_dgl.cli.command import Command, names


class Share(click.FloatRange):
    """A number in a range; "nan", which is in every range for click, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


@click.command()
@click.option(
    "--noise", "noises", multiple=True, metavar="KIND", help="feedback, feedback-removed, or a modality; repeatable."
)
@click.option(
    "--ratio",
    "ratios",
    type=Share(0, 1),
    multiple=True,
    metavar="R",
    help="Share of it, 0 to 1; repeatable.",
)
@click.option("--models", metavar="A,B", help="Systems to compare, by commas.")
@click.option("--seeds", type=click.IntRange(min=1, max=1000), help="Runs per cell.")
@click.pass_obj
def stress(
    command: Command, noises: tuple[str, ...], ratios: tuple[float, ...], models: str | None, seeds: int | None
) -> None:
    """Corrupt the clean training data, train each system anew, and show what it loses."""
    from damrs_dgl.stages import stress as stage

    stage(command.workspace, noises=noises, ratios=ratios, models=names(models), seeds=seeds)
