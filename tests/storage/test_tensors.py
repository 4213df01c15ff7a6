"""Tensors on disk: what goes in comes out, damage is recognised, and a failed write leaves the file before."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from damrs_dgl.errors import RunError
from damrs_dgl.storage import tensors as storage
from damrs_dgl.storage.tensors import load_tensors, save_tensors


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
        with pytest.raises(RunError, match=r"damaged|no checksum"):
            load_tensors(path)


def test_nothing_is_written_beside_the_file_but_what_can_be_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def write(tensors: Any, path: Path, metadata: Any) -> None:
        seen.extend(entry.name for entry in tmp_path.iterdir())
        assert Path(path).parent != tmp_path  # safetensors puts files with names of its own there
        save_file(tensors, path, metadata)

    monkeypatch.setattr(storage, "save_file", write)
    save_tensors(tmp_path / "file", {"x": torch.ones(1)}, {})
    pid = os.getpid()
    assert sorted(seen) == [f".file.{pid}.tmp", f".file.parts.{pid}.tmp"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_file_without_a_checksum_is_refused(tmp_path: Path) -> None:
    save_file({"x": torch.ones(1)}, tmp_path / "file", {"facts": "{}"})
    with pytest.raises(RunError, match="has no checksum; an older damrs-dgl or another program wrote it"):
        load_tensors(tmp_path / "file")
