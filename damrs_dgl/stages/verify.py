"""`verify`: whether the files of a run are what was written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from damrs_dgl.errors import RunError
from damrs_dgl.stages.workspace import Workspace
from damrs_dgl.storage.locking import LOCK_NAME
from damrs_dgl.storage.run import RunDirectory
from damrs_dgl.storage.sealed import soundness
from damrs_dgl.storage.tensors import load_tensors
from damrs_dgl.studies.results import ResultStore
from damrs_dgl.studies.tune.trials import TrialStore


def verify(workspace: Workspace) -> dict[str, str]:
    """Compare each file with its checksum; prints and returns "sound", "damaged" or "not there" by file name.

    Runs inside the run's folder, as `fit --drop-suspects` makes them, are compared too. A line names files of which no
    checksum was taken. Nothing is written and no data are read, unless [data] is not what the run was made with. Raises
    RunError, after the table, where a file is not sound, and where there is nothing yet.
    """
    run, console = workspace.run, workspace.console
    states: dict[str, str] = {}
    for path, state in _states(run):
        states.setdefault(path.relative_to(run.path).as_posix(), state)
    if not states:
        raise RunError("nothing is there yet", where=run.path, fix="run `build-graphs` or `fit` first")
    console.table(f"{workspace.recipe.name}: files of {run.path}", ["file", "state"], list(states.items()))
    if unknown := _unknown(run.path, states):
        console.notice(f"verify: not compared, for no checksum was taken: {', '.join(unknown)}")
    unsound = [name for name, state in states.items() if state != "sound"]
    if unsound:
        raise RunError(
            f"{len(unsound)} of {len(states)} files are damaged or gone, the first is {unsound[0]}",
            where=run.path,
            fix="run the stages again that write them; a damaged training needs `fit --restart`",
        )
    return states


def _states(run: RunDirectory) -> Iterator[tuple[Path, str]]:
    """Every file that has a checksum, and its state; first what manifests say, of which a file may be under two."""
    yield from _of_a_run(run)
    for manifest in sorted(run.path.glob("*/**/run.json")):
        yield from _of_an_inner_run(manifest)
    for path in sorted(run.path.rglob("*.safetensors")):  # these carry their checksum inside them
        yield path, soundness(path, load_tensors)


def _of_a_run(run: RunDirectory) -> Iterator[tuple[Path, str]]:
    yield from ((run.path / name, state) for name, state in run.states().items())
    yield from ResultStore(run.cells).states().items()
    yield from TrialStore(run.trials).states().items()


def _of_an_inner_run(manifest: Path) -> Iterator[tuple[Path, str]]:
    try:
        run = RunDirectory(manifest.parent)
    except RunError:
        yield manifest, "damaged"
        return
    yield manifest, "sound"
    yield from _of_a_run(run)


def _unknown(folder: Path, states: dict[str, str]) -> list[str]:
    """Files that nothing vouches for; the manifest was read already, and the lock says nothing."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name[0] != ".")
    names = (path.relative_to(folder).as_posix() for path in found if path.name != LOCK_NAME)
    return [name for name in names if name not in states and name != "run.json"]
