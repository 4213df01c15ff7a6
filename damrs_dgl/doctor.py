"""What is installed here and whether it works together: `damrs-dgl doctor`.

Imports torch and dgl only inside the checks. Every check stands alone: a package that is missing, or that fails while
it loads, makes one line of the answer and leaves the others as they are.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from damrs_dgl.errors import DamrsError
from damrs_dgl.threads import USERS_OWN_WAITING, usable_cores

PACKAGES = (
    *("torch", "dgl", "numpy", "scipy", "scikit-learn", "pyarrow", "pydantic", "safetensors", "matplotlib", "psutil"),
    *("threadpoolctl", "click", "rich", "jinja2", "packaging"),
)
_GIB = 2**30
_INTERACTION_FILES = ("*.inter", "interactions.*", "train.json")


@dataclass(frozen=True)
class Check:
    """One finding. ``ok``: False for what will not work, None for what is only good to know; ``cure``: what to do."""

    name: str
    value: str
    ok: bool | None = None
    cure: str | None = None


def checks() -> list[Check]:
    """All findings on this machine and this installation. Raises nothing, whatever is broken."""
    steps: list[tuple[str, Callable[[], Check]]] = [("Python", _python)]
    steps += [(name, functools.partial(_package, name)) for name in PACKAGES]
    steps += [
        ("torch loads", _torch_loads),
        ("dgl loads", _dgl_loads),
        ("torch on a GPU", _torch_cuda),
        ("dgl on a GPU", _dgl_cuda),
        ("threads", _threads),
        ("systems", _systems),
        ("memory", _memory),
        ("disk", _disk),
        ("DAMRS_DATA", _data_sets),
    ]
    return [_alone(name, step) for name, step in steps]


def healthy(found: list[Check]) -> bool:
    """Whether nothing that was found keeps the toolkit from working."""
    return all(check.ok is not False for check in found)


def _alone(name: str, step: Callable[[], Check]) -> Check:
    try:
        return step()
    except Exception as error:  # a broken library may raise anything at all; the other checks are still wanted
        return Check(name, _one_line(error), ok=False)


def _one_line(error: Exception) -> str:
    if isinstance(error, DamrsError):
        return error.what  # without its advice, which is to run this
    # dgl and torch put whole stack traces and lists of folders into their messages; the first line says it
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _load(name: str) -> Any:
    return importlib.import_module(name)


def _python() -> Check:
    fits = (3, 10) <= sys.version_info[:2] <= (3, 12)
    cure = None if fits else "use Python 3.10, 3.11 or 3.12: dgl has wheels for no other"
    return Check("Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}", fits, cure)


def _package(name: str) -> Check:
    wanted = _requirement(name)
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        cure = _dgl_cure() if name == "dgl" else f"pip install '{wanted or name}'"
        return Check(name, "not installed", ok=False, cure=cure)
    # DGL's own CUDA builds carry other versions than the registry's; whether a dgl works is for `dgl loads` to say
    if wanted is None or name == "dgl" or wanted.specifier.contains(version, prereleases=True):
        return Check(name, version, ok=True)
    return Check(name, f"{version}, but {wanted.specifier} is needed", ok=False, cure=f"pip install '{wanted}'")


def _requirement(name: str) -> Any:
    """What damrs-dgl asks of ``name``, a packaging.Requirement without its marker, or None where that is not known."""
    try:
        requirements = importlib.metadata.requires("damrs-dgl") or []
        parse = _load("packaging.requirements").Requirement
    except (importlib.metadata.PackageNotFoundError, ImportError):
        return None
    for line in requirements:
        requirement = parse(line)
        if requirement.name == name and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            requirement.marker = None
            return requirement
    return None


def _dgl_cure() -> str:
    if platform.system() == "Windows":
        return "dgl 1.1.3 has no wheels for Windows: use Linux (WSL also) or a Mac with Apple silicon"
    if sys.version_info >= (3, 12):
        return "pip install 'dgl==2.1.0' packaging pandas: the one with wheels for Python 3.12"
    return "pip install 'dgl==1.1.3' packaging: the one that works with every torch that damrs-dgl takes"


def _torch_loads() -> Check:
    try:
        torch = _load("torch")
        works = float(torch.ones(2).sum()) == 2.0
    except Exception as error:
        cure = f"pip install --force-reinstall '{_requirement('torch') or 'torch'}'"
        return Check("torch loads", f"no: {_one_line(error)}", ok=False, cure=cure)
    return Check("torch loads", "yes" if works else "yes, but it cannot add", ok=works)


def _dgl_loads() -> Check:
    """Imports dgl as the toolkit does, through its backend module, and passes a message along one edge."""
    cases = {
        "native": "its GraphBolt matches this torch",
        "absent": "this dgl has no GraphBolt, and none is needed",
        "stand-in": "its GraphBolt has no build for this torch; an empty stand-in takes its place, as nothing uses it",
    }
    try:
        torch = _load("torch")
    except Exception:
        return Check("dgl loads", "not tried: torch does not load", ok=False, cure="mend torch first")
    try:
        backend = _load("damrs_dgl.dgl_backend")
        graph = backend.dgl.graph(([0], [1]))
        works = float(backend.dgl.ops.copy_u_sum(graph, torch.ones(2, 1))[1]) == 1.0
    except Exception as error:
        return Check("dgl loads", f"no: {_one_line(error)}", ok=False, cure=_dgl_cure())
    value = f"yes; {cases.get(backend.graphbolt, backend.graphbolt)}"
    return (
        Check("dgl loads", value, ok=True)
        if works
        else Check("dgl loads", "yes, but it cannot add", False, _dgl_cure())
    )


def _torch_cuda() -> Check:
    torch = _load("torch")
    if torch.cuda.is_available():
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count()))
        return Check("torch on a GPU", f"yes: {names} (CUDA {torch.version.cuda})", ok=True)
    if torch.version.cuda is None:
        return Check("torch on a GPU", "no: this torch is a CPU build")
    return Check(
        "torch on a GPU", f"no: this torch is built for CUDA {torch.version.cuda}, but finds no GPU or no driver"
    )


def _dgl_cuda() -> Check:
    torch = _load("torch")
    if not torch.cuda.is_available():
        return Check("dgl on a GPU", "no: torch has no GPU")
    if _load("damrs_dgl.dgl_backend").has_cuda():
        return Check("dgl on a GPU", "yes", ok=True)
    value = "no: this dgl is a CPU build; on the GPU the relations are propagated by torch's sparse product instead"
    return Check("dgl on a GPU", value)


def _threads() -> Check:
    cores = usable_cores()
    asked = os.environ.get("OMP_NUM_THREADS")
    used = _load("torch").get_num_threads()
    host = os.cpu_count() or cores
    of_host = f" (of the host's {host})" if host != cores else ""
    waiting = ", ".join(f"{name}={os.environ[name]}" for name in USERS_OWN_WAITING if name in os.environ)
    value = (
        f"torch uses {used} of {cores} usable cores{of_host}; OMP_NUM_THREADS is {asked or 'not set'}; "
        f"threads wait by {waiting or 'spinning without bound'}"
    )
    if used > cores:
        return Check(
            "threads", value, cure=f"more threads than cores slow each other down: set OMP_NUM_THREADS={cores}"
        )
    return Check("threads", value)


def _systems() -> Check:
    registry = _load("damrs_dgl.models.registry")
    known, left_out = registry.models(), registry.unusable_systems()
    outside = [name for name, model in known.items() if not model.__module__.startswith("damrs_dgl.")]
    more = f" ({', '.join(outside)} from other packages)" if outside else ""
    found = f"{len(known)}: {', '.join(known)}{more}"
    return Check("systems", found, None if left_out else True, "; ".join(map(str, left_out)) or None)


def _memory() -> Check:
    memory = _load("psutil").virtual_memory()
    enough = memory.available >= 2 * _GIB
    cure = None if enough else "free some memory: training on a small data set takes 1 to 2 GiB"
    return Check("memory", f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB free", enough, cure)


def _disk() -> Check:
    usage = shutil.disk_usage(Path.cwd())
    enough = usage.free >= _GIB
    cure = None if enough else "free some room, or work in another folder: graphs and checkpoints are written here"
    return Check("disk", f"{usage.free / _GIB:.1f} GiB free in {Path.cwd()}", enough, cure)


def _data_sets() -> Check:
    named = os.environ.get("DAMRS_DATA")
    if not named:
        cure = "only recipes whose path says ${DAMRS_DATA} need it: set it to the folder with your data sets"
        return Check("DAMRS_DATA", "not set", cure=cure)
    root = Path(named)
    if not root.is_dir():
        return Check(
            "DAMRS_DATA", f"{named}: no such folder", ok=False, cure="set DAMRS_DATA to the folder with your data sets"
        )
    found = [folder.name for folder in sorted(root.iterdir()) if folder.is_dir() and _holds_data(folder)]
    advice = None if found else "a data set is a folder with a .inter file, interactions.csv or .parquet, or train.json"
    return Check("DAMRS_DATA", f"{named}: {', '.join(found) or 'no data set'}", ok=bool(found), cure=advice)


def _holds_data(folder: Path) -> bool:
    return any(True for pattern in _INTERACTION_FILES for _ in folder.glob(pattern))
