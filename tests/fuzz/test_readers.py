"""Whatever stands in a file, a reader ends well or with a DamrsError that is the user's to mend, and soon.

The examples are the same in every run (derandomize, and no database), so that a test that fails today failed yesterday.
"""

from __future__ import annotations

import io
import json
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from damrs_dgl.data import read_mmrec, read_mmssl, read_tables
from damrs_dgl.data.formats.npy import open_npy
from damrs_dgl.data.formats.user_list import read_ids
from damrs_dgl.errors import as_ours
from damrs_dgl.recipe import load_recipe
from tests.fuzz.mutations import EXTREMES, spoiled

SECONDS = 10  # for one file; a reader needs milliseconds
fuzzed = settings(
    max_examples=150,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """AssertionError for what takes longer."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"no end after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def ends_well(read: Callable[[], Any]) -> bool:
    """Whether the file was taken; every refusal must be one line with exit code 2."""
    with at_most(SECONDS):
        try:
            read()
        except Exception as error:
            known = as_ours(error)
            if known.exit_code != 2:
                raise
            assert len(str(known).splitlines()) == 1
            assert len(str(known)) < 2000
            return False
    return True


def parquet(**columns: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream, row_group_size=7)
    return stream.getvalue()


def npy(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


USERS, ITEMS = 6, 9
PAIRS = [(user, item) for user in range(USERS) for item in range(ITEMS)]
VECTORS = np.random.default_rng(1).normal(size=(ITEMS, 3)).astype(np.float32)
LABEL = [0, 0, 0, 0, 0, 1, 0, 2, 0]
IDS = [f"i{item}" for item in range(ITEMS)]
CSV = "user,item,stars,when,review\n" + "".join(
    f'u{user},i{item},{1 + item % 5},2024-01-{1 + item:02},"it\nis ""{item}"""\n' for user, item in PAIRS
)
INTER = "userID\titemID\tx_label\n" + "".join(f"{user}\t{item}\t{LABEL[item]}\n" for user, item in PAIRS)
LISTS = [
    json.dumps({str(user): [item for item in range(ITEMS) if LABEL[item] == label] for user in range(USERS)})
    for label in range(3)
]
TABLE = parquet(
    user=[f"u{user}" for user, _ in PAIRS], item=[f"i{item}" for _, item in PAIRS], when=[*range(len(PAIRS))]
)
WIDE = parquet(item=IDS, a=VECTORS[:, 0], b=VECTORS[:, 1])
LONG = parquet(item=IDS, v=list(VECTORS))
RECIPE = """name = "shop"
[data]
format = "tables"
path = "x"
k_core = 2
[data.modalities]
visual = {features = "v.npy", ids = "ids.csv"}
[model]
name = "damrs"
dim = 8
[training]
epochs = 3
learning_rate = 0.01
[evaluation]
ks = [5, 20]
"""
FILES: dict[str, tuple[bytes, bool]] = {
    "t.csv": (CSV.encode(), True),
    "t.parquet": (TABLE, False),
    "s.inter": (INTER.encode(), True),
    **{f"{name}.json": (text.encode(), True) for name, text in zip(("train", "val", "test"), LISTS, strict=True)},
    "v.npy": (npy(VECTORS), False),
    "ids.csv": ("\n".join(["item", *IDS]).encode(), True),
    "ids.txt": ("\n".join(IDS).encode(), True),
    "ids.parquet": (parquet(item=IDS), False),
    "wide.parquet": (WIDE, False),
    "long.parquet": (LONG, False),
    "r.toml": (RECIPE.encode(), True),
}


def tables(**keys: Any) -> Callable[[Path], Any]:
    return lambda folder: read_tables(folder, **{"interactions": "t.csv", **keys})


def with_ids(name: str) -> Callable[[Path], Any]:
    return tables(modalities={"v": {"features": "v.npy", "ids": name}})


READERS: list[tuple[str, str, Callable[[Path], Any]]] = [
    ("csv by chance", "t.csv", tables()),
    ("csv by time", "t.csv", tables(timestamp="when", rating="stars", rating_threshold=2.0)),
    ("parquet", "t.parquet", tables(interactions="t.parquet", timestamp="when", k_core=2)),
    ("mmrec", "s.inter", lambda folder: read_mmrec(folder, modalities={"v": "v.npy"})),
    ("mmssl", "train.json", lambda folder: read_mmssl(folder, modalities={"v": "v.npy"})),
    ("npy", "v.npy", lambda folder: open_npy(folder / "v.npy")),
    ("ids in csv", "ids.csv", with_ids("ids.csv")),
    ("ids in text", "ids.txt", with_ids("ids.txt")),
    ("ids in parquet", "ids.parquet", with_ids("ids.parquet")),
    ("wide vectors", "wide.parquet", tables(modalities={"v": "wide.parquet"})),
    ("lists", "long.parquet", tables(modalities={"v": "long.parquet"})),
    ("recipe", "r.toml", lambda folder: load_recipe(folder / "r.toml")),
    ("users in text", "ids.csv", lambda folder: read_ids(folder / "ids.csv", ("item",))),
    ("users in parquet", "ids.parquet", lambda folder: read_ids(folder / "ids.parquet", ("item",))),
]


@pytest.mark.parametrize(("what", "name", "read"), READERS, ids=[what for what, *_ in READERS])
def test_spoiled_files(what: str, name: str, read: Callable[[Path], Any]) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for other, (content, _) in FILES.items():
            (folder / other).write_bytes(content)
        assert ends_well(lambda: read(folder)), f"{what}: the file itself is sound"

        @fuzzed
        @given(spoiled(FILES[name][0], text=FILES[name][1]))
        def run(content: bytes) -> None:
            (folder / name).write_bytes(content)
            ends_well(lambda: read(folder))

        run()


SHAPES = st.sampled_from(
    ["(9, 3)", "(-9, 3)", "(True, 3)", "(10**30, 3)", "(9, 3)" * 400, "{{{{", "(" * 3000, "9", "()"]
)


@fuzzed
@given(
    SHAPES | st.text("(){}[],0123456789-*'\" TrueFalseNone", max_size=60),
    st.sampled_from(["<f4", "<f2", ">f8", "|O", "<U9", "|V3", "<q9", "", "("]),
    st.integers(0, 3),
    st.integers(-5, 5),
)
def test_headers_of_npy(shape: str, descr: str, version: int, longer: int) -> None:
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    size = (len(header) + longer).to_bytes(2 if version == 1 else 4, "little")
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "v.npy"
        file.write_bytes(b"\x93NUMPY" + bytes([version, 0]) + size + header + b"\0" * 108)
        ends_well(lambda: open_npy(file))


KEYS = (
    "training.epochs",
    "model.dim",
    "model.name",
    "data.k_core",
    "evaluation.ks",
    "stress.noise",
    "graphs",
    "data.modalities.v",
)


@fuzzed
@given(
    st.lists(
        st.tuples(st.sampled_from(KEYS) | st.text(max_size=12), st.sampled_from(EXTREMES) | st.binary(max_size=12))
    )
)
def test_overrides(pairs: list[tuple[str, bytes]]) -> None:
    overrides = [f"{key}={value.decode('utf-8', 'replace')}" for key, value in pairs]
    ends_well(lambda: load_recipe("demo", overrides))
