"""`recommend`: the best items of each user in the user's own ids, and the vectors for an index of one's own."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from damrs_dgl.data.columns import find_ids, first_line, to_arrow
from damrs_dgl.data.formats.files import is_pipe, read_pipe, require_file
from damrs_dgl.errors import DataError, RunError
from damrs_dgl.evaluation.ranking import Ranking, rank_scorer
from damrs_dgl.factory import known_interactions
from damrs_dgl.files import whole_file
from damrs_dgl.scoring import DotProduct, Scorer
from damrs_dgl.stages.workspace import Workspace, writing_stage
from damrs_dgl.training.checkpoint import save_tensors
from damrs_dgl.user_items import UserItems

SHOWN_USERS, SHOWN_ITEMS = 3, 5  # printed; the file has all
HEADERS = ("user", "users", "user_id", "userid")  # names of the column, beside the data set's own


@writing_stage
def recommend(workspace: Workspace, *, users: str = "all", top: int = 20, export_vectors: bool = False) -> pa.Table:
    """Write and return `recommendations.parquet`: columns user, item, rank (from 1), score; best first.

    Items that a user already has, in any split, are left out.

    Parameters
    ----------
    users: `all`, or a text, CSV or Parquet file of user ids, `-` for standard input: in the column that has the name of
        the data set's column of users, else in the first; or whole lines of text, where those are more users' ids.
    top: how many items per user; fewer where a user has fewer left.
    export_vectors: also write user and item vectors (`vectors.safetensors`) with their id lists beside them.
    """
    dataset, run = workspace.dataset, workspace.run
    chosen = _chosen_users(workspace, users)
    scorer = workspace.fitted.scorer
    if export_vectors:
        vectors_of(scorer)  # refuse before an hour of ranking
    seen = UserItems.from_pairs(*known_interactions(dataset), dataset.num_users)
    top = min(top, dataset.num_items)
    ranking = rank_scorer(scorer, top, users=chosen, seen=seen, block_size=workspace.recipe.evaluation.block_size)
    user_ids = dataset.user_ids.take(pa.array(chosen.numpy()))
    table = recommendation_table(ranking, user_ids, dataset.item_ids)
    parts = {**made_from(workspace), "top": top, "the users": hashlib.sha256(chosen.numpy().data).hexdigest()}
    with run.making("recommendations", parts, run.recommendations), whole_file(run.recommendations) as temporary:
        pq.write_table(table, temporary, store_schema=False)  # ids come back as plain text or numbers
    _show(workspace, ranking, user_ids)
    workspace.console.notice(
        f"recommend: {len(table):,} rows for {len(chosen):,} users, top {top} ({run.recommendations})"
    )
    if export_vectors:
        export(workspace, vectors_of(scorer))
    return table


def recommendation_table(ranking: Ranking, user_ids: pa.Array, item_ids: pa.Array) -> pa.Table:
    """Rows of (user, item, rank, score) in original ids; `user_ids` [n] belong to the ranking's rows.

    The ids are dictionary columns, so that millions of users with long ids stay small, below Arrow's 2 GiB of text.
    """
    items, scores = ranking.items.cpu().numpy(), ranking.scores.cpu().numpy()
    row, rank = np.nonzero(items >= 0)
    return pa.table(
        {
            "user": pa.DictionaryArray.from_arrays(pa.array(row, pa.int32()), user_ids),
            "item": pa.DictionaryArray.from_arrays(pa.array(items[row, rank], pa.int32()), item_ids),
            "rank": pa.array(rank + 1, pa.int32()),
            "score": pa.array(scores[row, rank], pa.float32()),
        }
    )


def require_users(path: str | Path) -> None:
    """DataError where the file of users is not there; asked before the hours of a training."""
    if not is_pipe(path):
        require_file(path)


def _chosen_users(workspace: Workspace, users: str) -> torch.Tensor:
    """Internal ids of the asked users, int64, each once; unknown ones are left out with a warning."""
    dataset, name = workspace.dataset, workspace.recipe.name
    if users == "all":
        return torch.arange(dataset.num_users)
    named = getattr(workspace.recipe.data, "user", None)
    asked = read_ids(Path(users), (named,) if isinstance(named, str) else (), dataset.user_ids)
    found = torch.from_numpy(dataset.user_indices(asked))
    unknown = (found < 0).nonzero().flatten()
    if len(unknown) == len(asked):
        raise DataError(
            f"none of its {len(asked):,} ids is a user of {name} (the first is {asked[0].as_py()!r})",
            where=users,
            fix=f"give ids like {dataset.user_ids[0].as_py()!r}",
        )
    if len(unknown):
        shown = ", ".join(str(asked[index]) for index in unknown[:3].tolist())
        more = ", ..." if len(unknown) > 3 else ""
        workspace.console.warning(f"{users}: {len(unknown):,} ids are no users of {name}, left out: {shown}{more}")
    return torch.from_numpy(_distinct(found[found >= 0].numpy()))


def _distinct(indices: np.ndarray) -> np.ndarray:
    """Each index once, in the order of its first appearance."""
    _, first = np.unique(indices, return_index=True)
    return indices[np.sort(first)]


def read_ids(path: Path, names: Sequence[str] = (), users: pa.Array | None = None) -> pa.Array:
    """The user ids of a Parquet, CSV, TSV or plain text file, nulls and empty lines left out; `-`: standard input.

    They stand in the column that has one of `names` or of HEADERS, else in the first, of which no line is a header
    then. A text without such a column is read by whole lines where these are as many of the known `users` as its first
    column holds: an id may hold commas and quotes. Text is kept as it stands, so that "007" stays "007"; spaces around
    an id are left out where no user is called so. Raises DataError.
    """
    require_users(path)
    pipe = is_pipe(path)
    known = (*names, *HEADERS)
    try:
        if path.suffix in (".parquet", ".pq") and not pipe:
            column = _parquet_column(path, known)
        else:
            text = (read_pipe(path) if pipe else path.read_bytes()).decode("utf-8-sig")
            column = _text_ids(text, known, users)
    except (pa.ArrowException, csv.Error, OSError, ValueError) as error:
        raise DataError(
            f"cannot be read as a list of ids ({first_line(error)[:200]})",
            where=path,
            fix="one id a line, or a Parquet file",
        ) from error
    if not len(column):
        raise DataError("holds no ids", where=path, fix="write one user id a line")
    return column


def _parquet_column(path: Path, known: Sequence[str]) -> pa.Array:
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if not names:
            return pa.array([], pa.string())
        column = file.read(columns=[names[_column_of(names, known) or 0]]).column(0)
    column.validate(full=True)
    return to_arrow(column.drop_null(), what="user ids")


def _text_ids(text: str, known: Sequence[str], users: pa.Array | None) -> pa.Array:
    """The ids of a column, or the whole lines where these are of more `users`, or of as many and no column is named."""
    first = text.partition("\n")[0]
    delimiter = "\t" if "\t" in first else ","
    rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    named = _column_of(rows[0], known) if rows else None
    column = _texts((row[named or 0] for row in rows[named is not None :] if len(row) > (named or 0)), users)
    if users is None:
        return column
    lines = _texts((line.rstrip("\r") for line in text.split("\n")), users)
    by_column, by_line = (np.count_nonzero(find_ids(ids, users) >= 0) for ids in (column, lines))
    return lines if by_line > by_column or (named is None and by_line == by_column > 0) else column


def _texts(ids: Iterable[str], users: pa.Array | None) -> pa.Array:
    """The ids that are not empty, without spaces around them where none of `users` is called so."""
    found = [user for user in ids if user.strip()]
    plain = pa.array([user.strip() for user in found], pa.string())
    if users is None:
        return plain
    as_given = pa.array(found, pa.string())
    return pc.if_else(pa.array(find_ids(as_given, users) >= 0), as_given, plain)


def _column_of(header: Sequence[str], known: Sequence[str]) -> int | None:
    """Which column has a known name, None where none has; the first of `known` counts most."""
    lower = [name.strip().lower() for name in header]
    return next((lower.index(name.lower()) for name in known if name.lower() in lower), None)


def vectors_of(scorer: Scorer) -> DotProduct:
    """The scorer itself where it scores by vectors, else RunError."""
    if not isinstance(scorer, DotProduct):
        raise RunError(
            "this model has no user and item vectors, only scores",
            where="--export-vectors",
            fix="leave the option out, or take another model",
        )
    return scorer


def export(workspace: Workspace, vectors: DotProduct) -> None:
    """Write `vectors.safetensors`: `users` [U, d] and `items` [I, d], float32; score = dot product.

    Rows are in the order of `ids/users.parquet` and `ids/items.parquet`.
    """
    run = workspace.run
    parts = made_from(workspace)
    ids = {"user_ids": str(run.user_ids.relative_to(run.path)), "item_ids": str(run.item_ids.relative_to(run.path))}
    with run.making("vectors", parts, run.vectors):
        save_tensors(run.vectors, {"users": vectors.user_emb, "items": vectors.item_emb}, {**ids, "made_from": parts})
    workspace.console.notice(f"recommend: vectors in {run.vectors}, their ids in {run.user_ids} and {run.item_ids}")


def made_from(workspace: Workspace) -> dict[str, Any]:
    """The data, the training and the epoch that recommendations and vectors are made from."""
    return {
        "the data": workspace.dataset.fingerprint(),
        "the training": workspace.checkpoints.key,
        "the epoch": workspace.fitted.progress.best_epoch,
    }


def _show(workspace: Workspace, ranking: Ranking, user_ids: pa.Array) -> None:
    """A glimpse of the file: the best items of its first users."""
    item_ids = workspace.dataset.item_ids
    rows = []
    for user, items in zip(user_ids[:SHOWN_USERS], ranking.items[:SHOWN_USERS, :SHOWN_ITEMS].tolist(), strict=True):
        rows.append([user.as_py(), ", ".join(str(item_ids[item].as_py()) for item in items if item >= 0)])
    title = f"{workspace.recipe.name}: the best items of the first {len(rows)} of {len(user_ids):,} users"
    title += workspace.synthetic_note
    workspace.console.table(title, ["user", "items, best first"], rows)
