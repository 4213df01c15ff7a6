"""What a step frees, the next one gets without the system's help."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from damrs_dgl.training.allocator import USERS_OWN, keep_freed_memory

FAULTS = """
import resource, sys
import torch
from damrs_dgl.training.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        tables = [torch.zeros(2**19) for _ in range(40)]  # 2 MiB each
        del tables
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if "keep" in sys.argv:
    keep_freed_memory()
faults()
print(faults())
"""


def faults(*arguments: str, **environment: str) -> int:
    command = [sys.executable, "-c", FAULTS, *arguments]
    inherited = {name: value for name, value in os.environ.items() if name not in USERS_OWN}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**inherited, **environment})
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has its own ways")
def test_freed_tables_are_used_again() -> None:
    pages = 20 * 40 * 2**21 // 2**16  # of 64 KiB, the largest that are usual
    assert faults("keep") < 1000  # without it that or some 400,000, by chance
    assert faults("keep", MALLOC_MMAP_THRESHOLD_=str(2**20)) > pages, "what the environment says holds"


@pytest.mark.parametrize("own", [None, *USERS_OWN])
def test_thresholds_are_set_unless_the_environment_does(own: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in USERS_OWN:
        monkeypatch.delenv(name, raising=False)
    if own:
        monkeypatch.setenv(own, "1")
    calls: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda setting, value: calls.append((setting, value)))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    keep_freed_memory()
    assert calls == ([] if own else [(-3, 32 * 2**20), (-1, 256 * 2**20)])  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    keep_freed_memory()
