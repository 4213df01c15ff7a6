"""`verify`: whether every file of a run is what was written."""

from __future__ import annotations

from damrs_dgl.errors import RunError
from damrs_dgl.stages.workspace import Workspace
from damrs_dgl.training.checkpoint import load_tensors


def verify(workspace: Workspace) -> dict[str, str]:
    """Compare each file with its checksum; prints and returns "sound", "damaged" or "not there" by file name.

    Nothing is written and no data are read, unless [data] is not what the run was made with. Raises RunError, after
    the table, where a file is not sound, and where there is nothing yet.
    """
    run, states = workspace.run, workspace.run.states()
    for path in sorted(run.path.rglob("*.safetensors")):  # these carry their checksum inside them
        try:
            load_tensors(path)
            state = "sound"
        except RunError:
            state = "damaged"
        states.setdefault(path.relative_to(run.path).as_posix(), state)
    if not states:
        raise RunError("nothing is there yet", where=run.path, fix="run `build-graphs` or `fit` first")
    workspace.console.table(f"{workspace.recipe.name}: files of {run.path}", ["file", "state"], list(states.items()))
    unsound = [name for name, state in states.items() if state != "sound"]
    if unsound:
        raise RunError(
            f"{len(unsound)} of {len(states)} files are damaged or gone, the first is {unsound[0]}",
            where=run.path,
            fix="run the stages again that write them; a damaged training needs `fit --restart`",
        )
    return states
