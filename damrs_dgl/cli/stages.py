"""The stages of a run: describe, build-graphs, fit, evaluate, recommend, verify."""

from __future__ import annotations

import click

from damrs_dgl.cli.command import Command, NumberRange, table_format


@click.command()
@click.pass_obj
def describe(command: Command) -> None:
    """The data set: sizes, sparsity, what cleaning met, and whether the content can help.

    For each modality: average similarity, items without content or with the same content as another, and how often
    nearest neighbours are also neighbours in another modality or chosen by the same users, against chance.
    """
    from damrs_dgl.stages import describe as stage

    stage(command.workspace)


@click.command("build-graphs")
@click.pass_obj
def build_graphs(command: Command) -> None:
    """The denoised item-item graphs and the user-item graph, as one heterograph."""
    from damrs_dgl.stages import build_graphs as stage

    stage(command.workspace)


@click.command()
@click.option("--restart", is_flag=True, help="Train anew instead of resuming.")
@click.option(
    "--track",
    type=click.Choice(["tensorboard", "mlflow"]),
    multiple=True,
    help="Follow the training there; repeatable. Needs damrs-dgl[tracking-...].",
)
@click.option(
    "--drop-suspects",
    type=NumberRange(0, 0.9, min_open=True),
    metavar="Q",
    help="Train anew without the share Q of clicks that `audit` finds most suspect, in a run of its own.",
)
@click.option(
    "--reweight-suspects",
    is_flag=True,
    help="Train anew, in a run of its own, with each click weighed by 1 - the suspicion that `audit` gives it.",
)
@click.pass_obj
def fit(
    command: Command, restart: bool, track: tuple[str, ...], drop_suspects: float | None, reweight_suspects: bool
) -> None:
    """Train to early stopping; resumes by itself, and Ctrl-C keeps the last full epoch.

    A training that was stopped goes on after its last full epoch and ends with the same numbers as one that was not.
    Its training.epochs, training.patience, [evaluation], [stress] and --device may change on the way; after any other
    change, of the data, [graphs], [model] or [training], it says what changed and trains anew.
    """
    from damrs_dgl.stages import drop_suspects as without_suspects
    from damrs_dgl.stages import fit_with_metrics as stage
    from damrs_dgl.stages import reweight_suspects as weighed

    if drop_suspects is not None and reweight_suspects:
        raise click.UsageError("--drop-suspects and --reweight-suspects are two trainings; ask for one at a time")
    if reweight_suspects:
        weighed(command.workspace, restart=restart, track=track)
        return
    if drop_suspects is not None:
        without_suspects(command.workspace, drop_suspects, restart=restart, track=track)
        return
    stage(command.workspace, restart=restart, track=track)


@click.command()
@click.option("--per-user", is_flag=True, help="Also write every user's own metrics, as Parquet.")
@table_format
@click.pass_obj
def evaluate(command: Command, per_user: bool, table_format: str | None) -> None:
    """Validation and test metrics of the best epoch, all items ranked for all users, with the floor beside."""
    from damrs_dgl.stages import evaluate as stage

    stage(command.workspace, per_user=per_user, format=table_format)


def _refuse_missing(ctx: click.Context, param: click.Parameter, users: str) -> str:
    """Refuse a file that is not there while the line is parsed, and not after the stages before."""
    if users != "all" and not ctx.resilient_parsing:
        from damrs_dgl.stages.recommend import require_users

        require_users(users)
    return users


@click.command()
@click.option(
    "--users",
    default="all",
    callback=_refuse_missing,
    metavar="FILE|all",
    show_default=True,
    help="A file of user ids, one a line; - is standard input.",
)
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True, help="Items per user.")
@click.option("--export-vectors", is_flag=True, help="Also write user and item vectors for an index of your own.")
@click.pass_obj
def recommend(command: Command, users: str, top: int, export_vectors: bool) -> None:
    """The best items that each user does not have yet, in your own ids."""
    from damrs_dgl.stages import recommend as stage

    stage(command.workspace, users=users, top=top, export_vectors=export_vectors)


@click.command()
@click.pass_obj
def verify(command: Command) -> None:
    """Whether the files of the run, and of runs inside it, are what was written, by the checksums taken then.

    It names the files that have none, such as tune.db and the history of a training that is under way.
    """
    from damrs_dgl.stages import verify as stage

    stage(command.workspace)
