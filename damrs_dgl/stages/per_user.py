"""`per_user.parquet`: every metric of every averaged user, in the user's own id."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.stages.workspace import Workspace
from damrs_dgl.storage.files import whole_file
from damrs_dgl.studies.judging import Judge, Judgement


def write_per_user(workspace: Workspace) -> None:
    """Write the file where it is not there or no longer fits, and say which it was."""
    run = workspace.run
    if run.is_sound("per_user", workspace.metrics_parts, workspace.console.warning):
        workspace.console.notice(f"evaluate: up to date ({run.per_user})")
        return
    with workspace.writing("evaluate"):
        found = Judge(workspace.recipe, workspace.dataset)(workspace.fitted.scorer)
        with run.making("per_user", workspace.metrics_parts, run.per_user), whole_file(run.per_user) as temporary:
            pq.write_table(per_user_table(workspace.dataset, found), temporary)
    workspace.console.notice(f"evaluate: {len(found.lists):,} users ({run.per_user})")


def per_user_table(dataset: MultimodalDataset, found: Judgement) -> pa.Table:
    """A row for each user that the means are over; null where a user has no value of a metric."""
    users = found.lists.users
    trained = torch.bincount(dataset.train.users, minlength=dataset.num_users)[users]
    columns = {
        "user": dataset.user_ids.take(pa.array(users.numpy())),
        "split": pa.array(["test"] * len(users)).dictionary_encode(),
        "training_interactions": pa.array(trained.numpy(), pa.int64()),
    }
    for name, values in found.per_user.items():
        numbers = values.double().numpy()
        columns[name] = pa.array(numbers, pa.float64(), from_pandas=True)  # NaN becomes null
    return pa.table(columns)
