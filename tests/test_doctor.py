"""The doctor answers whatever is broken."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement

from damrs_dgl import doctor
from damrs_dgl.errors import DeviceError


def by_name() -> dict[str, doctor.Check]:
    found = doctor.checks()
    assert len({check.name for check in found}) == len(found)
    assert all(check.value and "\n" not in check.value for check in found)
    return {check.name: check for check in found}


def break_imports(monkeypatch: pytest.MonkeyPatch, broken: dict[str, Exception | Any]) -> None:
    """Make `import name` inside the doctor raise, or give something else."""

    def load(name: str) -> Any:
        if name not in broken:
            return importlib.import_module(name)
        if isinstance(broken[name], Exception):
            raise broken[name]
        return broken[name]

    monkeypatch.setattr(doctor, "_load", load)


def test_a_working_installation_is_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAMRS_DATA", raising=False)
    found = by_name()
    assert list(found)[: 1 + len(doctor.PACKAGES)] == ["Python", *doctor.PACKAGES]
    assert found["torch loads"].ok
    assert found["dgl loads"].ok
    assert found["torch"].value == importlib.metadata.version("torch")
    assert found["DAMRS_DATA"].value == "not set"
    assert found["DAMRS_DATA"].ok is None
    assert doctor.healthy([check for check in found.values() if check.name not in ("memory", "disk")])


@pytest.mark.parametrize(
    "error",
    [
        ImportError("Cannot find DGL C++ graphbolt library at /x\nand more"),
        OSError("libdgl.so: cannot open shared object file"),
        DeviceError("dgl is not installed", fix="see doctor"),
        RuntimeError("anything"),
    ],
)
def test_a_dgl_that_does_not_load(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    break_imports(monkeypatch, {"damrs_dgl.dgl_backend": error})
    found = by_name()
    assert found["dgl loads"].ok is False
    assert str(error.args[0]).splitlines()[0] in found["dgl loads"].value
    assert found["dgl loads"].cure == doctor._dgl_cure()
    assert found["torch loads"].ok
    assert not doctor.healthy(list(found.values()))


@pytest.mark.parametrize("error", [ModuleNotFoundError("No module named 'torch'"), OSError("libtorch.so: bad ELF")])
def test_a_torch_that_does_not_load(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    break_imports(monkeypatch, {"torch": error})
    found = by_name()
    assert found["torch loads"].ok is False
    assert str(found["torch loads"].cure) == f"pip install --force-reinstall '{doctor._requirement('torch')}'"
    assert "torch does not load" in found["dgl loads"].value
    assert all(found[name].ok is False for name in ("torch on a GPU", "dgl on a GPU", "threads"))
    assert found["disk"].ok is not None


def test_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = by_name()
    for name in doctor.PACKAGES:
        assert (found[name].value, found[name].ok) == ("not installed", False)
        assert "pip install" in str(found[name].cure)


@pytest.mark.parametrize(("installed", "ok"), [("2.6.1", True), ("2.5.9", False), ("2.7.0rc1", True)])
def test_a_version_is_held_against_what_the_package_asks(
    monkeypatch: pytest.MonkeyPatch, installed: str, ok: bool
) -> None:
    asked = ["pydantic>=2.6", "tomli>=2; python_version < '3.0'", "dgl==1.1.3; python_version < '3.12'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: asked)
    monkeypatch.setattr(importlib.metadata, "version", lambda _: installed)
    found = by_name()
    assert found["pydantic"].ok is ok
    assert (found["pydantic"].cure is None) is ok
    assert found["dgl"].ok  # DGL's own builds have other numbers; `dgl loads` judges
    assert found["numpy"].ok


@pytest.mark.parametrize(
    ("system", "version", "words"),
    [("Linux", (3, 11), "dgl==1.1.3"), ("Linux", (3, 12), "dgl==2.1.0"), ("Windows", (3, 11), "WSL")],
)
def test_the_cure_for_dgl_fits_the_machine(
    monkeypatch: pytest.MonkeyPatch, system: str, version: tuple[int, int], words: str
) -> None:
    monkeypatch.setattr(doctor.platform, "system", lambda: system)
    monkeypatch.setattr(doctor.sys, "version_info", (*version, 0, "final", 0))
    assert words in doctor._dgl_cure()


@pytest.mark.parametrize(("minor", "ok"), [(9, False), (10, True), (12, True), (13, False)])
def test_python_versions(monkeypatch: pytest.MonkeyPatch, minor: int, ok: bool) -> None:
    monkeypatch.setattr(doctor.sys, "version_info", (3, minor, 0, "final", 0))
    assert doctor._python().ok is ok


def test_graphics_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(is_available=lambda: True, device_count=lambda: 1, get_device_name=lambda _: "NVIDIA X")
    torch = SimpleNamespace(cuda=cuda, version=SimpleNamespace(cuda="12.8"), get_num_threads=lambda: 4096)
    for has_cuda, words in ((True, "yes"), (False, "torch's sparse product")):
        backend = SimpleNamespace(has_cuda=lambda answer=has_cuda: answer)
        break_imports(monkeypatch, {"torch": torch, "damrs_dgl.dgl_backend": backend})
        assert doctor._torch_cuda().value == "yes: NVIDIA X (CUDA 12.8)"
        assert words in doctor._dgl_cuda().value
        assert doctor._dgl_cuda().ok is not False
    assert "OMP_NUM_THREADS=" in str(doctor._threads().cure)
    cuda.is_available = lambda: False
    assert "built for CUDA 12.8" in doctor._torch_cuda().value
    torch.version.cuda = None
    assert "CPU build" in doctor._torch_cuda().value


def test_little_memory_and_little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage(2**40, 2**40, 2**20))
    memory = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=2**30, total=2**32))
    break_imports(monkeypatch, {"psutil": memory})
    assert (doctor._disk().ok, doctor._memory().ok) == (False, False)
    assert doctor._memory().value == "1.0 of 4.0 GiB free"


def test_data_sets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DAMRS_DATA", str(tmp_path / "nowhere"))
    assert doctor._data_sets().ok is False
    monkeypatch.setenv("DAMRS_DATA", str(tmp_path))
    assert doctor._data_sets().ok is False
    for name in ("baby/baby.inter", "shop/interactions.parquet", "mm/train.json", "notes/readme.md"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert doctor._data_sets().value == f"{tmp_path}: baby, mm, shop"
    assert doctor._data_sets().ok


def test_with_a_really_broken_dgl_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "dgl").mkdir()
    (tmp_path / "dgl" / "__init__.py").write_text("raise OSError('libdgl.so: cannot open shared object file')")
    program = (
        "from damrs_dgl.doctor import checks\n"
        "check = {check.name: check for check in checks()}['dgl loads']\n"
        "assert check.ok is False and check.cure, check\n"
        "assert 'libdgl.so' in check.value, check\n"
    )
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_package_that_is_always_needed_is_looked_at() -> None:
    asked = [Requirement(text) for text in importlib.metadata.requires("damrs-dgl") or ()]
    needed = {found.name for found in asked if "extra" not in str(found.marker)}
    assert needed - {"tomli", "pandas", "pillow", "markupsafe"} == set(doctor.PACKAGES)
