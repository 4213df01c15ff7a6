"""`groups`: whom the numbers come from."""

from __future__ import annotations

import click

from damrs_dgl.cli.command import Command, table_format


class CutPoints(click.ParamType):
    """Ascending numbers by commas, e.g. 5,10,20."""

    name = "N,N,..."

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            cuts = tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is no list of whole numbers by commas, such as 5,10,20", param, ctx)
        if min(cuts) < 1 or list(cuts) != sorted(set(cuts)):
            self.fail(f"{value!r} must be numbers of 1 or more in ascending order, such as 5,10,20", param, ctx)
        return cuts


@click.command()
@click.option("--cuts", type=CutPoints(), default=(), help="Users between these numbers of training interactions.")
@click.option("--item-cuts", type=CutPoints(), default=(), help="Items between these numbers of them. [thirds]")
@table_format
@click.pass_obj
def groups(command: Command, cuts: tuple[int, ...], item_cuts: tuple[int, ...], table_format: str | None) -> None:
    """Test metrics by users' activity and by items' popularity, for the trained model and the floor.

    Without --cuts the users are new, less active, between and active, as in the authors' cold-start study.
    """
    from damrs_dgl.stages import groups as stage

    stage(command.workspace, cuts=cuts, item_cuts=item_cuts, format=table_format)
