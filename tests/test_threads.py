"""How many cores may be used, and what the command line sets before torch loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from damrs_dgl.threads import SPIN_COUNT, USERS_OWN_WAITING, bound_waiting, settings, usable_cores

FREE = {"GOMP_SPINCOUNT": str(SPIN_COUNT)}


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of eight cores, all of which this process may use."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


def version_2(folder: Path, text: str) -> Path:
    (folder / "cpu.max").write_text(text)
    return folder


def version_1(folder: Path, quota: str, period: str | None) -> Path:
    (folder / "cpu").mkdir()
    (folder / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    if period is not None:
        (folder / "cpu" / "cpu.cfs_period_us").write_text(period)
    return folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),  # a share of a core is a core
        ("10000 100000\n", 1),
        ("1600000 100000\n", 8),  # more than there are
        ("50000 50000", 1),
        ("", 8),
        ("nonsense", 8),
        ("200000", 8),
        ("0 100000", 8),
        ("200000 0", 8),
    ],
)
@pytest.mark.usefixtures("eight_cores")
def test_the_quota_of_a_control_group_of_version_2(tmp_path: Path, text: str, expected: int) -> None:
    assert usable_cores(version_2(tmp_path, text)) == expected


@pytest.mark.parametrize(
    ("quota", "period", "expected"),
    [
        ("-1\n", "100000\n", 8),  # no limit
        ("300000\n", "100000\n", 3),
        ("250000\n", "100000\n", 3),
        ("300000\n", None, 8),
        ("", "", 8),
    ],
)
@pytest.mark.usefixtures("eight_cores")
def test_the_quota_of_a_control_group_of_version_1(
    tmp_path: Path, quota: str, period: str | None, expected: int
) -> None:
    assert usable_cores(version_1(tmp_path, quota, period)) == expected


@pytest.mark.usefixtures("eight_cores")
def test_without_a_control_group_the_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cores(tmp_path / "nothing") == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 5, 6}, raising=False)
    assert usable_cores(tmp_path) == 3
    assert usable_cores(version_2(tmp_path, "200000 100000")) == 2
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)  # as on a Mac
    assert usable_cores(tmp_path / "nothing") == 8
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores(tmp_path / "nothing") == 1


def test_this_machine_has_a_core() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.usefixtures("eight_cores")
def test_threads_are_as_many_as_the_quota_has_cores(tmp_path: Path) -> None:
    assert settings({}, tmp_path) == FREE  # no limit: torch's own choice is right
    assert settings({}, version_2(tmp_path, "200000 100000")) == {**FREE, "OMP_NUM_THREADS": "2"}
    assert settings({"OMP_NUM_THREADS": "5"}, tmp_path) == FREE


@pytest.mark.parametrize("own", USERS_OWN_WAITING)
@pytest.mark.usefixtures("eight_cores")
def test_what_the_user_set_holds(tmp_path: Path, own: str) -> None:
    assert settings({own: "7"}, tmp_path) == {}
    assert settings({own: "7"}, version_2(tmp_path, "200000 100000")) == {"OMP_NUM_THREADS": "2"}


@pytest.mark.usefixtures("eight_cores")
def test_it_is_set_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*USERS_OWN_WAITING, "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "before")  # so that it is put back after the test
        monkeypatch.delenv(name)
    bound_waiting()
    assert os.environ["GOMP_SPINCOUNT"] == str(SPIN_COUNT)


def test_the_command_line_does_so_before_torch_loads() -> None:
    code = """
import os, sys
sys.argv = ["damrs-dgl", "--version"]
from damrs_dgl import cli
real = cli.cli.main
def main(*a, **k):
    print(os.environ["GOMP_SPINCOUNT"], "torch" in sys.modules)
cli.cli.main = main
cli.main()
"""
    environment = {name: value for name, value in os.environ.items() if name not in USERS_OWN_WAITING}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(SPIN_COUNT), "False"]


def test_importing_the_package_sets_nothing() -> None:
    """In a notebook the environment is the user's."""
    code = "import os, damrs_dgl.recommender; print('GOMP_SPINCOUNT' in os.environ)"
    environment = {name: value for name, value in os.environ.items() if name not in USERS_OWN_WAITING}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.usefixtures("eight_cores")
def test_the_quota_of_the_process_s_own_group_and_those_around_it(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/user.slice/session.scope\n")
    inner = tmp_path / "user.slice" / "session.scope"
    inner.mkdir(parents=True)
    version_2(inner, "400000 100000")
    assert usable_cores(tmp_path, own) == 4
    version_2(inner.parent, "300000 100000")
    assert usable_cores(tmp_path, own) == 3
    version_2(tmp_path, "200000 100000")
    assert usable_cores(tmp_path, own) == 2
    own.write_text("5:cpu,cpuacct:/docker/abc\n")
    assert usable_cores(tmp_path, own) == 2
