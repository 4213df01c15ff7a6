"""`recommend`: the best items of each user in the user's own ids, and the vectors for an index of one's own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from damrs_dgl.data.formats.files import is_pipe, require_file
from damrs_dgl.data.formats.user_list import read_ids
from damrs_dgl.errors import DataError, RunError
from damrs_dgl.evaluation.ranking import Ranking, rank_scorer
from damrs_dgl.factory import known_interactions
from damrs_dgl.scoring import DotProduct, Scorer
from damrs_dgl.stages.workspace import Workspace, writing_stage
from damrs_dgl.storage.files import whole_file
from damrs_dgl.storage.tensors import save_tensors
from damrs_dgl.user_items import UserItems

SHOWN_USERS, SHOWN_ITEMS = 3, 5  # printed; the file has all


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
    require_users(users)
    place = "standard input" if users == "-" else users
    named = getattr(workspace.recipe.data, "user", None)
    asked = read_ids(Path(users), (named,) if isinstance(named, str) else (), dataset.user_ids)
    found = torch.from_numpy(dataset.user_indices(asked))
    unknown = (found < 0).nonzero().flatten()
    if len(unknown) == len(asked):
        raise DataError(
            f"none of its {len(asked):,} ids is a user of {name} (the first is {asked[0].as_py()!r})",
            where=place,
            fix=f"give ids like {dataset.user_ids[0].as_py()!r}",
        )
    if len(unknown):
        shown = ", ".join(str(asked[index]) for index in unknown[:3].tolist())
        more = ", ..." if len(unknown) > 3 else ""
        workspace.console.warning(f"{place}: {len(unknown):,} ids are no users of {name}, left out: {shown}{more}")
    return torch.from_numpy(_distinct(found[found >= 0].numpy()))


def _distinct(indices: np.ndarray) -> np.ndarray:
    """Each index once, in the order of its first appearance."""
    _, first = np.unique(indices, return_index=True)
    return indices[np.sort(first)]


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
