"""The tables reader: any ids, filters, splits, features by id, and each thing that can be wrong."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from damrs_dgl.data import read_tables
from damrs_dgl.data.formats.features import open_parquet
from damrs_dgl.data.parts import Finding, no_interactions
from damrs_dgl.errors import DataError

ITEMS = ["apple", "pear", "fig", "plum"]
LINES = [f"{user},{item},{5 - place},{place}" for user in ("zoe", "ann", "bob") for place, item in enumerate(ITEMS)]


def write(folder: Path, lines: list[str] = LINES, header: str = "user,item,stars,when", name: str = "") -> Path:
    (folder / (name or "interactions.csv")).write_text("\n".join([header, *lines]) + "\n")
    return folder


def vectors(folder: Path, ids: list[Any], name: str = "v.parquet", **columns: Any) -> Path:
    values = columns or {"vector": [[float(row), 1.0] for row in range(len(ids))]}
    pq.write_table(pa.table({"item": ids, **values}), folder / name)
    return folder


def test_ids_are_sorted_and_users_split_by_time(tmp_path: Path) -> None:
    dataset = read_tables(write(tmp_path), timestamp="when")
    assert dataset.user_ids.to_pylist() == ["ann", "bob", "zoe"]
    assert dataset.item_ids.to_pylist() == ["apple", "fig", "pear", "plum"]
    assert set(dataset.test.items.tolist()) == {3}
    assert set(dataset.validation.items.tolist()) == {1}
    assert dataset.name == tmp_path.name


def test_seeded_split(tmp_path: Path) -> None:
    write(tmp_path, [f"u{user},{item},1,1" for user in range(40) for item in range(12)])
    one, same, other = (read_tables(tmp_path, seed=seed).fingerprint() for seed in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_kinds_of_files_agree(tmp_path: Path, suffix: str) -> None:
    expected = read_tables(write(tmp_path), timestamp="when").fingerprint()
    name = f"other.{suffix}"
    if suffix == "parquet":
        rows = [line.split(",") for line in LINES]
        columns = {
            "user": [row[0] for row in rows],
            "item": [row[1] for row in rows],
            "when": [int(r[3]) for r in rows],
        }
        pq.write_table(pa.table(columns), tmp_path / name, row_group_size=5)
    else:
        sign = "\t" if suffix == "tsv" else ","
        write(tmp_path, [line.replace(",", sign) for line in LINES], f"user{sign}item{sign}x{sign}when", name)
    assert read_tables(tmp_path, interactions=name, timestamp="when").fingerprint() == expected


def test_number_ids_are_numbers_and_zeros_in_front_are_kept(tmp_path: Path) -> None:
    lines = [f"{user},{item},1,{item}" for user in (10, 9) for item in (100, 20, 3)]
    dataset = read_tables(write(tmp_path, lines), timestamp="when")
    assert dataset.user_ids.to_pylist() == [9, 10]
    assert dataset.item_ids.to_pylist() == [3, 20, 100]
    dataset = read_tables(write(tmp_path, [f"0{line}" for line in lines]), timestamp="when")
    assert dataset.user_ids.to_pylist() == ["010", "09"]


def test_dates_and_quotes(tmp_path: Path) -> None:
    lines = [f'"a, b",{item},1,2024-0{9 - place}-01' for place, item in enumerate(ITEMS)]
    dataset = read_tables(write(tmp_path, lines), timestamp="when")
    assert dataset.user_ids.to_pylist() == ["a, b"]
    assert dataset.item_ids[int(dataset.test.items[0])].as_py() == "apple"


def test_rating_threshold_and_duplicates(tmp_path: Path) -> None:
    lines = ["ann,apple,5,9", *LINES, "ann,kiwi,1,9"]
    dataset = read_tables(write(tmp_path, lines), timestamp="when", rating="stars", rating_threshold=3)
    assert dataset.item_ids.to_pylist() == ["apple", "fig", "pear"]
    action = "left out: nothing learns from them, and they are not recommended"
    assert f"interactions.csv: 4 interactions rated below 3 ({action})" in map(str, dataset.findings)
    assert "interactions.csv: 1 duplicate interactions (kept once)" in map(str, dataset.findings)
    assert set(dataset.test.items.tolist()) == {1}, "fig for all: the earlier of two equal pairs counts"


def test_what_was_rated_low_is_known_to_its_user(tmp_path: Path) -> None:
    """But for a pair that is an interaction by another row, a user or an item that is none of the data set's."""
    vectors(tmp_path, ["apple", "kiwi"])
    more = ["ann,plum,5,4", "ann,fig,1,9", "ann,kiwi,1,9", "ann,lime,1,9", "eve,apple,1,9", "bob,plum,1,9"]
    write(tmp_path, [*LINES, *more])
    arguments: dict[str, Any] = {"timestamp": "when", "modalities": {"v": "v.parquet"}}
    dataset = read_tables(tmp_path, rating="stars", rating_threshold=3, **arguments)
    assert dataset.user_ids.to_pylist() == ["ann", "bob", "zoe"]
    assert dataset.item_ids.to_pylist() == ["apple", "fig", "kiwi", "pear", "plum"]
    pairs = zip(dataset.left_out.users.tolist(), dataset.left_out.items.tolist(), strict=True)
    assert list(pairs) == [(0, 2), (1, 4), (2, 4)], "ann's kiwi, which features alone know; bob's and zoe's plum"
    assert dataset.replace(left_out=no_interactions()).fingerprint() != dataset.fingerprint()
    core = read_tables(tmp_path, rating="stars", rating_threshold=3, k_core=2, **arguments)
    assert core.item_ids.to_pylist() == ["apple", "fig", "kiwi", "pear"]
    assert [core.item_ids[int(item)].as_py() for item in core.left_out.items] == ["kiwi"], "plum is outside the 2-core"
    assert len(read_tables(tmp_path, **arguments).left_out) == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (",fig,5,9,train", "1 null user ids, the first in row 13"),
        ("ann,,1,9,train", "1 null item ids, the first in row 13"),
        ("ann,fig,5,,train", "1 null values of when, the first in row 13"),
        ("ann,fig,5,9,", "1 null split values, the first in row 13"),
        ("ann,fig,5,9,dev", "'dev' in row 13"),
        ("ann,lime,5,9,0", None),
        ("ann,fig,1,,", None),
    ],
)
def test_rows_are_counted_before_low_ratings_are_left_out(tmp_path: Path, line: str, words: str | None) -> None:
    parts = ["test", "train", "val", "train"] * 3
    lines = [f"{line},{part}" for line, part in zip(LINES, parts, strict=True)]
    write(tmp_path, [*lines, line], "user,item,stars,when,part")
    refused = pytest.raises(DataError, match=words) if words else nullcontext()
    with refused:
        read_tables(tmp_path, rating="stars", rating_threshold=3, timestamp="when", split="part")


def test_k_core_leaves_items_out_and_keeps_cold_ones(tmp_path: Path) -> None:
    vectors(tmp_path, ["kiwi", "apple", "new"])
    dataset = read_tables(
        write(tmp_path, [*LINES, "ann,kiwi,1,9", "eve,apple,1,1"]),
        k_core=3,
        timestamp="when",
        modalities={"v": "v.parquet"},
    )
    assert dataset.item_ids.to_pylist() == ["apple", "fig", "new", "pear", "plum"]
    assert dataset.user_ids.to_pylist() == ["ann", "bob", "zoe"]
    assert dataset.features["v"].missing.tolist() == [False, True, False, True, True]
    assert dataset.features["v"].values[1].tolist() == [0, 0]
    assert dataset.features["v"].block(0, 3).tolist() == [[1, 1], [0, 0], [2, 1]]
    assert {"interactions outside the 3-core", "items without a feature row"} <= {f.kind for f in dataset.findings}
    with pytest.raises(DataError, match="nothing is left of 14 interactions in the 9-core; lower k_core"):
        read_tables(tmp_path, k_core=9)


def test_a_core_hides_no_pair_that_is_in_two_splits(tmp_path: Path) -> None:
    parts = ["train", "0", "VAL", "2"] * 3
    lines = [f"{line},{part}" for line, part in zip(LINES, parts, strict=True)]
    head = "user,item,stars,when,part"
    dataset = read_tables(write(tmp_path, [*lines, lines[0]], head), split="part", k_core=2)
    assert {"duplicate interactions": 1}.items() <= {note.kind: note.count for note in dataset.findings}.items()
    other = lines[0].replace(",train", ",test")
    with pytest.raises(DataError, match=r"1 \(user, item\) pairs are in two splits"):
        read_tables(write(tmp_path, [*lines, other], head), split="part", k_core=2)


def test_a_feature_file_without_rows(tmp_path: Path) -> None:
    empty = {"item": pa.array([], pa.string()), "x": pa.array([], pa.float32())}
    pq.write_table(pa.table(empty), tmp_path / "v.parquet")
    with pytest.raises(DataError, match=r"v\.parquet: it holds no rows"):
        read_tables(write(tmp_path, LINES, "user,item,stars,when"), modalities={"v": "v.parquet"})


def test_a_given_split(tmp_path: Path) -> None:
    parts = ["train", "0", "VAL", "2"] * 3
    lines = [f"{line},{part}" for line, part in zip(LINES, parts, strict=True)]
    dataset = read_tables(write(tmp_path, lines, "user,item,stars,when,part"), split="part")
    assert [len(part) for _, part in dataset.splits()] == [6, 3, 3]


@pytest.mark.parametrize("ids", ["ids.csv", "bare.csv", "ids.txt", "ids.parquet", "wide.csv"])
def test_npy_with_ids(tmp_path: Path, ids: str) -> None:
    np.save(tmp_path / "v.npy", np.array([[4, 4], [1, 1], [2, 2], [3, 3]], dtype=np.float16))
    names = ["plum", "apple", "fig", "pear"]
    (tmp_path / "ids.csv").write_text("\n".join(["item", *names]))
    (tmp_path / "bare.csv").write_text("\n".join(names))
    (tmp_path / "ids.txt").write_text("\n".join(names))
    (tmp_path / "wide.csv").write_text("\n".join(["n,sku", *(f"1,{name}" for name in names)]))
    pq.write_table(pa.table({"item": names}), tmp_path / "ids.parquet")
    keys = {"features": "v.npy", "ids": ids} | ({"id_column": "sku"} if ids == "wide.csv" else {})
    dataset = read_tables(write(tmp_path), timestamp="when", modalities={"v": keys})
    assert dataset.features["v"].block(0, 4)[:, 0].tolist() == [1, 2, 3, 4]
    assert dataset.features["v"].values.dtype == np.float16


def test_rows_in_order_stay_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.ones((5, 2), dtype=np.float32))
    (tmp_path / "ids.txt").write_text("\n".join([*sorted(ITEMS), "zucchini"]))
    dataset = read_tables(write(tmp_path), modalities={"v": {"features": "v.npy", "ids": "ids.txt"}}, timestamp="when")
    assert isinstance(dataset.features["v"].values, np.memmap)
    assert dataset.num_items == 5
    assert dataset.describe()["items_without_training"] == 3


def test_parquet_vectors(tmp_path: Path) -> None:
    write(tmp_path)
    fixed = pa.array([[1.0, 2.0], None, [3.0, None], [5.0, 6.0]], pa.list_(pa.float32(), 2))
    try:
        vectors(tmp_path, ITEMS, "fixed.parquet", vector=fixed)
    except pa.ArrowNotImplementedError:
        pytest.skip("this pyarrow cannot write nulls in lists of a fixed size")
    vectors(tmp_path, ITEMS, "wide.parquet", a=[1.0, 0.0, 3.0, 5.0], text=["x"] * 4, b=[2, None, 4, 6])
    vectors(tmp_path, ITEMS, "half.parquet", vector=pa.array([np.ones(2, np.float16)] * 4, pa.list_(pa.float16())))
    files = {"fixed": "fixed.parquet", "wide": "wide.parquet", "half": "half.parquet"}
    features = read_tables(tmp_path, timestamp="when", modalities=files).features
    assert features["fixed"].block(0, 4).tolist() == [[1, 2], [0, 0], [0, 0], [5, 6]]
    assert features["wide"].block(0, 4).tolist() == [[1, 2], [3, 4], [0, 0], [5, 6]]
    assert features["half"].values.dtype == np.float16


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64(), pa.int64()], ids=str)
def test_vectors_of_a_fixed_size_are_read_as_any_others(tmp_path: Path, kind: pa.DataType) -> None:
    """Nulls first, last, alone in a row group and beside a vector: pyarrow before 26 reads no such column by itself."""
    ids = list("abcdefg")
    flat = pa.array(np.arange(14), pa.int64()).cast(kind)
    null = pa.array([True, False, True, True, False, False, True])
    plain = pa.ListArray.from_arrays(pa.array(range(0, 15, 2), pa.int32()), flat, mask=null)
    fixed = pa.FixedSizeListArray.from_arrays(flat, 2, mask=null)
    for name, column in (("plain", plain), ("fixed", fixed)):
        pq.write_table(pa.table({"item": ids, "vector": column}), tmp_path / f"{name}.parquet", row_group_size=2)
    assert pa.types.is_fixed_size_list(pq.read_schema(tmp_path / "fixed.parquet").field("vector").type)
    expected, found = (open_parquet(tmp_path / f"{name}.parquet", id_column="item") for name in ("plain", "fixed"))
    assert found[1].to_pylist() == expected[1].to_pylist() == ids
    assert found[0].values.dtype == expected[0].values.dtype
    assert found[0].missing.tolist() == expected[0].missing.tolist() == null.to_pylist()
    assert found[0].block(0, 7).tolist() == expected[0].block(0, 7).tolist()
    assert found[0].block(4, 6).tolist() == [[8, 9], [10, 11]]
    assert found[2] == [Finding("rows with NaN, infinity or null", 4, "fixed.parquet", "treated as missing")]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "columns",
    [
        {"vector": [[1e300, 1.0], [1.0, 1.0], [np.inf, 1.0]]},
        {"vector": [[1e300, 1.0], [1.0, 1.0], None]},
        {"x": [-1e300, 1.0, 1.0], "y": [1.0, 1.0, None]},
    ],
    ids=["lists", "lists and a null", "columns"],
)
def test_numbers_beyond_float32_are_called_so(tmp_path: Path, columns: dict[str, list[object]]) -> None:
    vectors(tmp_path, list("abc"), **columns)
    features, _, findings = open_parquet(tmp_path / "v.parquet", id_column="item")
    assert features.missing.tolist() == [True, False, True]
    assert [str(finding) for finding in findings] == [
        "v.parquet: 1 rows with NaN, infinity or null (treated as missing)",
        "v.parquet: 1 rows with numbers beyond float32's range (treated as missing)",
    ]


@pytest.mark.parametrize("ids", [[], ["a", "b"]], ids=["no row", "no vector"])
def test_no_vector_of_a_fixed_size(tmp_path: Path, ids: list[str]) -> None:
    vectors(tmp_path, ids, vector=pa.array([None] * len(ids), pa.list_(pa.float32(), 2)))
    with pytest.raises(DataError, match="vector: all vectors are null"):
        open_parquet(tmp_path / "v.parquet", id_column="item")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"user": "userid"}, "no column 'userid'; it has user, item, stars, when"),
        ({"user": "item"}, "interactions.csv: user and item are both the column 'item'; name a column for each"),
        ({"interactions": "interaction.csv"}, "no such file; did you mean interactions.csv"),
        ({"interactions": "t.xlsx"}, "a table in a .xlsx file; give one of .csv"),
        ({"rating": "stars"}, "rating is given alone"),
        ({"rating_threshold": 3}, "rating_threshold is given alone"),
        ({"rating": "stars", "rating_threshold": 9}, "none of 12 ratings reaches 9; the highest is 5"),
        ({"rating": "item", "rating_threshold": 1}, r"item is not numbers \('apple' in row 1\); write numbers"),
        ({"split": "stars"}, "9 split values are none of the known ones, the first 5 in row 1"),
        ({"modalities": {"v": "v.npy"}}, 'a .npy has no item ids; .*ids = "ids.csv"'),
        ({"modalities": {"v": "gone.parquet"}}, "gone.parquet: no such file"),
        ({"modalities": {"v": "t.xlsx"}}, "features in a .xlsx file"),
        ({"modalities": {"v": {"features": "v.npy", "id": "ids.txt"}}}, "unknown key 'id' in modality 'v'"),
        ({"modalities": {"v": {"ids": "ids.txt"}}}, "no key 'features'"),
        ({"modalities": {"v": {"features": "v.npy", "ids": "ids.txt"}}}, "ids.txt: 3 ids for 4 feature rows"),
        ({"modalities": {"v": {"features": "v.npy", "ids": "twice.txt"}}}, "1 repeated item ids, the first pear"),
        (
            {"modalities": {"v": {"features": "v.npy", "ids": "numbers.txt"}}},
            r"none of its 4 ids \(int64, such as 1\).*string",
        ),
        ({"modalities": {"v": {"features": "v.npy", "ids": "wide.csv"}}}, r"2 columns \(a, b\); name one as id_column"),
        ({"modalities": {"v": {"features": "ok.parquet", "ids": "ids.txt"}}}, "a Parquet file has its own ids"),
        ({"modalities": {"v": {"features": "ok.parquet", "id_column": "sku"}}}, "no column 'sku'; it has item, vector"),
        (
            {"modalities": {"v": {"features": "ok.parquet", "vector_column": "item"}}},
            "'item' is string, expected lists",
        ),
        ({"modalities": {"v": "ragged.parquet"}}, "different lengths: 2 at first, 1 at the vector 2"),
        ({"modalities": {"v": "lists.parquet"}}, r"2 list columns \(a, b\); name one as vector_column"),
        ({"modalities": {"v": "bare.parquet"}}, "neither a list column nor numeric columns"),
        ({"modalities": {"v": "text.parquet"}}, "lists of string, expected numbers"),
        ({"modalities": {"v": "null.parquet"}}, "1 null feature ids, the first in row 2"),
        ({"modalities": {"v": "broken.parquet"}}, "not a readable Parquet file"),
    ],
)
def test_bad_tables(tmp_path: Path, arguments: dict[str, Any], words: str) -> None:
    write(tmp_path)
    np.save(tmp_path / "v.npy", np.ones((4, 2), dtype=np.float32))
    (tmp_path / "ids.txt").write_text("apple\npear\nfig\n")
    (tmp_path / "twice.txt").write_text("apple\npear\nfig\npear\n")
    (tmp_path / "numbers.txt").write_text("1\n2\n3\n4\n")
    (tmp_path / "wide.csv").write_text("a,b\n" + "1,apple\n" * 4)
    for name in ("t.xlsx", "broken.parquet"):
        (tmp_path / name).write_text("no")
    vectors(tmp_path, ITEMS, "ok.parquet")
    vectors(tmp_path, ITEMS, "ragged.parquet", vector=[[1.0, 2.0], [1.0], None, None])
    vectors(tmp_path, ITEMS, "lists.parquet", a=[[1.0]] * 4, b=[[1.0]] * 4)
    vectors(tmp_path, ITEMS, "bare.parquet", a=["x"] * 4)
    vectors(tmp_path, ITEMS, "text.parquet", a=[["x"]] * 4)
    vectors(tmp_path, ["apple", None, "fig"], "null.parquet")
    with pytest.raises(DataError, match=words):
        read_tables(tmp_path, **arguments)


@pytest.mark.parametrize(
    ("lines", "header", "words"),
    [
        ([*LINES, ",apple,1,1"], "user,item,stars,when", "1 null user ids, the first in row 13"),
        ([*LINES, "ann,,1,1", "bob,,1,1"], "user,item,stars,when", "2 null item ids, the first in row 13"),
        (
            [LINES[0], "", *LINES[1:], "ann,kiwi", "bob,kiwi"],
            "user,item,stars,when",
            r"not a readable table \(line 15: Expected 4 columns, got 2: ann,kiwi\); give each line as many values",
        ),
        ([*LINES, "ann,kiwi,1,"], "user,item,stars,when", "1 null values of when, the first in row 13"),
        (LINES, "user,item,user,when", "column 'user' is there 2 times"),
        ([], "user,item,stars,when", "no interactions"),
        (
            LINES[:2],
            "user,item,stars,when",
            "no user has the three interactions .* of 2 in all; give more",
        ),
    ],
)
def test_bad_lines(tmp_path: Path, lines: list[str], header: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_tables(write(tmp_path, lines, header), timestamp="when")


def test_optional_modalities_are_left_out(tmp_path: Path) -> None:
    files = {"v": "gone.parquet", "w": {"features": "v.npy", "ids": "gone.txt"}}
    np.save(tmp_path / "v.npy", np.ones((4, 2)))
    dataset = read_tables(write(tmp_path), modalities=files, optional_modalities=True, timestamp="when")
    assert dataset.modalities == ()
    assert [finding.where for finding in dataset.findings[:2]] == ["gone.parquet", "gone.txt"]


def test_ids_of_another_type_that_match_as_text(tmp_path: Path) -> None:
    lines = [f"u{user},{item},1,{item}" for user in range(3) for item in range(4)]
    vectors(tmp_path, ["3", "0", "x9"])
    dataset = read_tables(write(tmp_path, lines), modalities={"v": "v.parquet"}, timestamp="when")
    assert dataset.item_ids.to_pylist() == ["0", "1", "2", "3", "x9"]
    assert dataset.features["v"].missing.tolist() == [False, True, True, False, False]
