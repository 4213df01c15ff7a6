"""`audit`: which clicks, pictures and texts are likely wrong."""

from __future__ import annotations

from pathlib import Path

import click

from damrs_dgl.cli.command import Command


@click.command()
@click.option("--scorer", metavar="NAME", help="What judges a click; `--scorer list` shows all. [the best measured]")
@click.option(
    "--folds",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="K",
    help="Judge each click by one of K models that were trained without it; 0: by the fitted model.",
)
@click.option("--top", type=click.IntRange(min=0), default=10, show_default=True, help="Suspects shown of each kind.")
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Judge the suspicions: a table with the columns user, item and is_noise (0 or 1), which no model sees.",
)
@click.pass_obj
def audit(command: Command, scorer: str | None, folds: int, top: int, truth: Path | None) -> None:
    """Which of your clicks, pictures and texts are likely wrong, by the fitted model; the most suspect first.

    Writes audit/interactions.parquet, content.parquet and links.parquet in your own ids, and audit.png. It changes
    nothing: what to do with a suspect is yours to say.
    """
    from damrs_dgl.stages import audit as stage

    stage(command.workspace, scorer=scorer, folds=folds, top=top, truth=truth)
