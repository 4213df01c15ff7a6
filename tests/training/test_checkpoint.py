"""Checkpoints on disk: what goes in comes out, damage is recognised, and a failed write leaves the file before."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from damrs_dgl.errors import RunError, StorageError
from damrs_dgl.storage import tensors
from damrs_dgl.training.checkpoint import (
    CheckpointStore,
)
from tests.training.builders import make_trainer

FILES = {"checkpoint.safetensors", "model.safetensors"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_trainer(tmp_path, training__epochs=2, model__refresh=4).fit()
    return tmp_path


def test_a_training_leaves_two_files(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == FILES
    store = CheckpointStore(folder, "key")
    found = store.load_last()
    assert found is not None and set(found[0]) == {"model", "optimizer.model", "random"}
    store.clear()
    store.clear()
    assert not list(folder.iterdir()) and store.load_last() is None


def test_the_stores_of_parts_are_folders_below_and_go_with_the_whole(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path, "key")
    inside = store.of_member("first")
    assert (inside.folder, inside.key) == (tmp_path / "members" / "first", "key")
    assert CheckpointStore(tmp_path, "key", {"first": "its own"}).of_member("first").key == "its own"
    deeper = inside.of_member("second")
    for one in (store, inside, deeper):
        one.save_best({"x": torch.ones(1)}, {})
        one.save_last({"model": {"x": torch.ones(1)}}, {})
    store.clear()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("share", [0.0, 7, 0.1, 0.5, -1])
def test_a_file_cut_short_is_refused(folder: Path, name: str, share: float) -> None:
    path = folder / name
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole)) if abs(share) < 1 else int(share)])
    trainer = make_trainer(folder, training__epochs=2, model__refresh=4)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    with pytest.raises(RunError, match=r"damaged or cut short.*fit --restart"):
        trainer.resume()
    # What could not be resumed has changed nothing.
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())
    assert trainer.progress.epoch == 0


def test_a_best_model_of_another_training(folder: Path) -> None:
    store = CheckpointStore(folder, "other")
    assert store.load_last() is None
    with pytest.raises(RunError, match=r"other settings.*run `fit` first"):
        store.load_best()
    # A training with other settings got as far as its first best weights: the old one cannot go on and says so.
    store.save_best(CheckpointStore(folder, "key").load_best()[0], {})
    with pytest.raises(RunError, match=r"other settings.*fit --restart"):
        make_trainer(folder).resume()


def full_disk(error: Exception) -> Callable[..., None]:
    """`save_file` on a disk with room for ten bytes."""

    def write(tensors: Any, path: Path, metadata: Any) -> None:
        Path(path).write_bytes(bytes(10))
        raise error

    return write


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no room left on the disk"),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), "no room left"),
        (OSError(errno.EACCES, "Permission denied"), "Permission denied"),
    ],
    ids=["ENOSPC", "safetensors", "EACCES"],
)
def test_a_failed_write_leaves_the_file_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    trainer = make_trainer(folder, training__epochs=4, model__refresh=4)
    trainer.resume()
    monkeypatch.setattr(tensors, "save_file", full_disk(error))
    with pytest.raises(StorageError, match=message):
        trainer.fit()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    monkeypatch.undo()
    again = make_trainer(folder, training__epochs=4, model__refresh=4)
    again.resume()
    assert again.fit().epoch == 4
