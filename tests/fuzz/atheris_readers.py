"""Coverage-guided fuzzing of the .npy and CSV readers, run by hand and not by pytest:

    pip install atheris
    python tests/fuzz/atheris_readers.py npy|csv|inter -max_total_time=300 CORPUS_FOLDER

Anything but success and a DamrsError ends it with the input in a file crash-*.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["damrs_dgl.data", "numpy.lib"]):
    from damrs_dgl.data.formats.mmrec import read_mmrec
    from damrs_dgl.data.formats.npy import open_npy
    from damrs_dgl.data.formats.tables import read_tables
from damrs_dgl.errors import DamrsError

FOLDER = Path(tempfile.mkdtemp())
SEEDS = {
    "csv": b'user,item,stars,when\nu1,"a ""b""\nc",5,2024-01-02\nu1,c,4.5,7\nu1,d,0x10,inf\nu2,a,1,\n',
    "inter": b"userID\titemID\tx_label\n0\t0\t0\n0\t1\t1\n0\t2\t2\n1\t0x1\t0\n",
}


def npy(data: bytes) -> None:
    (FOLDER / "v.npy").write_bytes(data)
    open_npy(FOLDER / "v.npy")


def csv(data: bytes) -> None:
    """The first byte chooses what else is asked of the table; the same text as a list of ids too."""
    choice = data[0] if data else 0
    np.save(FOLDER / "f.npy", np.ones((3, 2), dtype=np.float32))
    for name in ("t.csv", "ids.csv"):
        (FOLDER / name).write_bytes(data[1:])
    keys: dict[str, object] = {"timestamp": "when"} if choice & 1 else {}
    if choice & 2:
        keys |= {"rating": "stars", "rating_threshold": 2.0}
    if choice & 4:
        keys |= {"modalities": {"v": {"features": "f.npy", "ids": "ids.csv"}}}
    read_tables(FOLDER, interactions="t.csv", **keys)  # type: ignore[arg-type]


def inter(data: bytes) -> None:
    (FOLDER / "s.inter").write_bytes(data)
    read_mmrec(FOLDER)


def main() -> None:
    target: Callable[[bytes], None] = {"npy": npy, "csv": csv, "inter": inter}[sys.argv[1]]
    corpus = Path(sys.argv[-1])
    corpus.mkdir(parents=True, exist_ok=True)
    if sys.argv[1] == "npy":
        np.save(corpus / "seed.npy", np.ones((4, 3), dtype=np.float16))
    else:
        (corpus / "seed").write_bytes((b"\7" if sys.argv[1] == "csv" else b"") + SEEDS[sys.argv[1]])

    def one(data: bytes) -> None:
        try:
            target(data)
        except DamrsError as error:
            assert error.exit_code == 2, error

    atheris.Setup([sys.argv[0], *sys.argv[2:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
