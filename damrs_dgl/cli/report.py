"""`report`: the run as a page."""

from __future__ import annotations

from pathlib import Path

import click

from damrs_dgl.cli.command import Command


@click.command()
@click.option(
    "--pictures",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Pictures of the items, each called <item id>.jpg, for thumbnails beside the audit's suspects.",
)
@click.pass_obj
def report(command: Command, pictures: Path | None) -> None:
    """All that the run holds as one page, report.html, that opens from disk and loads nothing."""
    from damrs_dgl.stages import report as stage

    stage(command.workspace, pictures=pictures)
