"""Checkpoints on disk: what goes in comes out, damage is recognised, and a failed write leaves the file before."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from damrs_dgl.errors import RunError, StorageError
from damrs_dgl.training import checkpoint
from damrs_dgl.training.checkpoint import (
    CheckpointStore,
    load_tensors,
    save_tensors,
)
from tests.training.builders import make_trainer

FILES = {"checkpoint.safetensors", "model.safetensors"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_trainer(tmp_path, training__epochs=2, model__refresh=4).fit()
    return tmp_path


def test_tensors_and_facts_come_back(tmp_path: Path) -> None:
    tensors = {
        "table": torch.randn(3, 4).T,  # not contiguous
        "ids": torch.tensor([[2**40, -1]]),
        "state": torch.Generator().manual_seed(1).get_state(),
        "half": torch.ones(2, dtype=torch.float16),
        "step": torch.tensor(3.0, requires_grad=True),
    }
    facts = {"best": {"recall@20": 0.1234567890123}, "name": "Grüße, 世界", "history": [{"epoch": 1.0}]}
    save_tensors(tmp_path / "new" / "file", tensors, facts)
    found, found_facts = load_tensors(tmp_path / "new" / "file")
    assert found_facts == facts and set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype


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


def test_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(RunError, match="not there"):
        load_tensors(path)
    for content in (b"not safetensors at all", b"\x02\0\0\0\0\0\0\0{}", b"PK\x03\x04" + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(RunError, match="damaged"):
            load_tensors(path)


@pytest.mark.parametrize("bit", range(8))
def test_no_flipped_bit_is_believed(tmp_path: Path, bit: int) -> None:
    path = tmp_path / "file"
    tensors = {"table": torch.arange(6.0).reshape(2, 3), "ids": torch.tensor([[2**40, -1]])}
    save_tensors(path, tensors, {"best": 1.5, "key": "a"})
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << bit)]) + whole[place + 1 :])
        with pytest.raises(RunError, match="fit --restart"):
            load_tensors(path)


def test_nothing_is_written_beside_the_file_but_what_can_be_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def write(tensors: Any, path: Path, metadata: Any) -> None:
        seen.extend(entry.name for entry in tmp_path.iterdir())
        assert Path(path).parent != tmp_path  # safetensors puts files with names of its own there
        save_file(tensors, path, metadata)

    monkeypatch.setattr(checkpoint, "save_file", write)
    save_tensors(tmp_path / "file", {"x": torch.ones(1)}, {})
    pid = os.getpid()
    assert sorted(seen) == [f".file.{pid}.tmp", f".file.parts.{pid}.tmp"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_file_without_a_checksum_is_refused(tmp_path: Path) -> None:
    save_file({"x": torch.ones(1)}, tmp_path / "file", {"facts": "{}"})
    with pytest.raises(RunError, match="has no checksum; an older damrs-dgl or another program wrote it; run `fit"):
        load_tensors(tmp_path / "file")


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
    monkeypatch.setattr(checkpoint, "save_file", full_disk(error))
    with pytest.raises(StorageError, match=message):
        trainer.fit()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    monkeypatch.undo()
    again = make_trainer(folder, training__epochs=4, model__refresh=4)
    again.resume()
    assert again.fit().epoch == 4
