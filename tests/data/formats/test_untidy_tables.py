"""Tables that other programs wrote: what stands in them is read as it is meant, or refused, and never guessed."""

from __future__ import annotations

import datetime
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from damrs_dgl.data import MultimodalDataset, read_mmrec, read_mmssl, read_tables
from damrs_dgl.data.formats import text_table
from damrs_dgl.data.formats.files import read_pipe
from damrs_dgl.data.formats.tables import TablesData
from damrs_dgl.errors import DataError

ITEMS = [f"i{number:02}" for number in range(30)]
PAIRS = [(f"u{user}", item) for user in range(6) for item in ITEMS[user:]]


def write(folder: Path, rows: list[tuple[Any, ...]] = PAIRS, header: str = "user,item") -> Path:
    (folder / "interactions.csv").write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return folder


def with_vectors(folder: Path, ids: str, name: str = "ids.csv", **keys: str) -> MultimodalDataset:
    """The shop with a vector [row, 1] for each of 30 rows, and a file of ids."""
    np.save(folder / "v.npy", np.array([[row + 1, 1] for row in range(30)], dtype=np.float32))
    (folder / name).write_text(ids)
    return read_tables(write(folder), modalities={"v": {"features": "v.npy", "ids": name, **keys}})


@pytest.mark.parametrize("name", ["ids.csv", "ids.txt", "ids.tsv"])
@pytest.mark.parametrize(
    ("lines", "keys"),
    [
        (ITEMS, {}),
        (["item", *ITEMS], {}),
        (["sku", *ITEMS], {"id_column": "sku"}),
        ([*ITEMS, "", ""], {}),
        (['"item"', *ITEMS], {}),
    ],
)
def test_every_vector_stays_with_its_item(tmp_path: Path, name: str, lines: list[str], keys: dict[str, str]) -> None:
    dataset = with_vectors(tmp_path, "\n".join(lines), name, **keys)
    assert dataset.item_ids.to_pylist() == ITEMS
    assert dataset.features["v"].block(0, 30)[:, 0].tolist() == list(range(1, 31))


@pytest.mark.parametrize(
    ("lines", "keys", "words"),
    [
        (["item", *ITEMS[:-1]], {}, "ids.csv: 29 ids for 30 feature rows; give one id per row"),
        (["item", *ITEMS, "more"], {}, "31 ids for 30"),
        ([*ITEMS, "more"], {}, "31 ids for 30"),
        (ITEMS[:-1], {}, "29 ids for 30"),
        (["sku", *ITEMS[:-1]], {}, "first line, 'sku', is neither .* 'item' nor an item.*write id_column = 'sku'"),
        (["sku", *ITEMS], {}, "the first line, 'sku'"),
        (["sku", *ITEMS[:-1]], {"id_column": "sku"}, "29 ids for 30"),
        (ITEMS, {"id_column": "sku"}, "no column 'sku'; it has i00, which seems to be data"),
        ([], {}, "ids.csv: is empty"),
        (["item", *ITEMS[:10], "", *ITEMS[11:]], {}, "1 null feature ids, the first in row 11"),
        (["item", *ITEMS[:10], '" "', *ITEMS[11:]], {}, "1 empty feature ids, the first in row 11"),
        (["item", *ITEMS[:10], "", *ITEMS[10:]], {}, "1 null feature ids, the first in row 11"),
    ],
)
def test_ids_that_do_not_fit_the_rows(tmp_path: Path, lines: list[str], keys: dict[str, str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        with_vectors(tmp_path, "\n".join(lines) + "\n", **keys)


def test_ids_beside_the_index_of_pandas(tmp_path: Path) -> None:
    for column in ("item", "asin"):
        text = "\n".join([f",{column}", *(f"{row},{item}" for row, item in enumerate(ITEMS))])
        dataset = with_vectors(tmp_path, text)
        assert dataset.features["v"].block(0, 30)[:, 0].tolist() == list(range(1, 31))


def test_damaged_ids_in_parquet(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ids.parquet: not a readable Parquet file"):
        with_vectors(tmp_path, "PAR1 and nothing", "ids.parquet")


@pytest.mark.parametrize("block", [64, 1 << 20])
def test_line_breaks_in_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Arrow cuts a file into blocks; where it may not look for quotes it cuts a value in two."""
    monkeypatch.setattr(text_table, "_BLOCK", block)
    rows = [(user, '"good,\nnot ""best""\n,x"', item) for user, item in PAIRS]
    dataset = read_tables(write(tmp_path, rows, "user,review,item"))
    assert dataset.user_ids.to_pylist() == [f"u{user}" for user in range(6)]
    assert sum(len(part) for _, part in dataset.splits()) == len(PAIRS)


def test_more_than_a_megabyte_of_line_breaks_in_quotes(tmp_path: Path) -> None:
    review = '"' + "it is\nu9,i00\n" * 50 + '"'
    rows = [(user, item, review) for _ in range(20) for user, item in PAIRS]
    dataset = read_tables(write(tmp_path, rows, "user,item,review"))
    assert (tmp_path / "interactions.csv").stat().st_size > 2_000_000
    assert dataset.user_ids.to_pylist() == [f"u{user}" for user in range(6)]


def test_a_line_longer_than_a_block(tmp_path: Path) -> None:
    rows = [(*pair, "x" * (3_000_000 if position == 70 else 1)) for position, pair in enumerate(PAIRS)]
    assert read_tables(write(tmp_path, rows, "user,item,text")).num_items == 30


def test_a_quote_that_is_never_closed(tmp_path: Path) -> None:
    rows = [(*pair, '"open' if position == 70 else "text") for position, pair in enumerate(PAIRS)]
    with pytest.raises(DataError, match="a quoted value is never closed"):
        read_tables(write(tmp_path, rows, "user,item,text"))
    inches = [(*pair, '12" disc' if position == 70 else "text") for position, pair in enumerate(PAIRS)]
    assert read_tables(write(tmp_path, inches, "user,item,text")).num_users == 6


@pytest.mark.parametrize("value", ["0x10", "0X1f", "-0x1"])
def test_hexadecimal_is_no_number(tmp_path: Path, value: str) -> None:
    rows = [(*pair, value if position == 70 else 5) for position, pair in enumerate(PAIRS)]
    write(tmp_path, rows, "user,item,stars")
    with pytest.raises(DataError, match="stars is not numbers"):
        read_tables(tmp_path, rating="stars", rating_threshold=3)
    with pytest.raises(DataError, match="stars is neither numbers nor dates"):
        read_tables(tmp_path, timestamp="stars")
    lines = ["userID\titemID\tx_label", *(f"{user}\t{user + 1}\t{user % 3}" for user in range(9)), f"{value}\t3\t0"]
    (tmp_path / "s.inter").write_text("\n".join(lines))
    with pytest.raises(DataError, match=rf"userID: 1 values are not integers, the first '{value}' in line 11"):
        read_mmrec(tmp_path)


def test_hexadecimal_elsewhere_does_not_matter(tmp_path: Path) -> None:
    rows = [(user, f"0x{item}", 1.5) for user, item in PAIRS]
    dataset = read_tables(write(tmp_path, rows, "user,item,stars"), rating="stars", rating_threshold=1)
    assert dataset.item_ids[0].as_py() == "0xi00"


def test_numbers_that_look_whole_in_the_first_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_table, "_BLOCK", 256)
    rows = [(*pair, 4.5 if position == 150 else 5) for position, pair in enumerate(PAIRS)]
    dataset = read_tables(write(tmp_path, rows, "user,item,stars"), rating="stars", rating_threshold=5)
    assert "1 interactions rated below 5 (left out: nothing learns from them" in str(dataset.findings[0])


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_dates_are_no_ratings(tmp_path: Path, kind: str) -> None:
    when = pa.array([datetime.date(2024, 5, 6)] * len(PAIRS))
    table = pa.table({"user": [user for user, _ in PAIRS], "item": [item for _, item in PAIRS], "when": when})
    csv.write_csv(table, tmp_path / "t.csv")
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"when is not numbers but .*; write numbers"):
        read_tables(tmp_path, interactions=f"t.{kind}", rating="when", rating_threshold=3)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("good", "bad", "rating", "words"),
    [
        ("1", "vier", True, r"stars is not numbers \('vier' in row 71\); write numbers"),
        ("1.5", "4,5", True, r"stars is not numbers \('4,5' in row 71\)"),
        ("1", "vier", False, r"stars is neither numbers nor dates \('vier' in row 71\)"),
        ("2024-05-06", "gestern", False, r"stars is neither numbers nor dates \('gestern' in row 71\)"),
        ("2024-05-06T08:00Z", "gestern", False, r"stars is neither numbers nor dates \('gestern' in row 71\)"),
        ("2024-05-06", "1", False, r"stars is neither all numbers nor all dates of one form \('1' in row 71\)"),
        (
            "1",
            "2024-05-06",
            False,
            r"stars is neither all numbers nor all dates of one form \('2024-05-06' in row 71\)",
        ),
    ],
)
def test_the_value_that_is_no_number_is_named(
    tmp_path: Path, kind: str, good: str, bad: str, rating: bool, words: str
) -> None:
    stars = [bad if position in (70, 90) else good for position in range(len(PAIRS))]
    table = pa.table({"user": [user for user, _ in PAIRS], "item": [item for _, item in PAIRS], "stars": stars})
    csv.write_csv(table, tmp_path / "t.csv")
    pq.write_table(table, tmp_path / "t.parquet")
    asked: dict[str, Any] = {"rating": "stars", "rating_threshold": 1} if rating else {"timestamp": "stars"}
    with pytest.raises(DataError, match=words):
        read_tables(tmp_path, interactions=f"t.{kind}", **asked)


def test_infinite_times_and_ratings(tmp_path: Path) -> None:
    rows = [(*pair, "inf" if position == 70 else 5.5) for position, pair in enumerate(PAIRS)]
    write(tmp_path, rows, "user,item,when")
    with pytest.raises(DataError, match="1 infinite values of when, the first in row 71"):
        read_tables(tmp_path, timestamp="when")
    with pytest.raises(DataError, match="1 infinite values of when"):
        read_tables(tmp_path, rating="when", rating_threshold=3)


def test_empty_ids_and_ids_with_spaces(tmp_path: Path) -> None:
    pairs = [*PAIRS, ("", "i00"), ("u1", "i00 ")]
    with pytest.raises(DataError, match=f"1 empty user ids, the first in row {len(PAIRS) + 1}"):
        MultimodalDataset.from_arrays([user for user, _ in pairs], [item for _, item in pairs])
    dataset = read_tables(write(tmp_path, [*PAIRS, ("u1", "i00 "), ("u1 ", "i00"), (" v", "i00")]))
    found = [str(finding) for finding in dataset.findings]
    for what, shown in (("user", "'u1 '"), ("item", "'i00 '")):
        text = f"interactions.csv: 1 {what} ids that differ from others in spaces alone, such as {shown} (kept apart)"
        assert text in found


def test_the_index_of_pandas_is_no_feature(tmp_path: Path) -> None:
    columns = {"item": ITEMS, "a": [1.0] * 30, "b": [2.0] * 30}
    names = {"unnamed": "Unnamed: 0", "level": "__index_level_0__", "noted": "row", "ranged": None}
    for name, index in names.items():
        table = pa.table({**columns, index: range(30)} if index else columns)
        noted = {"range": {"index_columns": [{"kind": "range"}]}, "noted": {"index_columns": ["row"]}}.get(name, {})
        pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(noted)}), tmp_path / f"{name}.parquet")
    dataset = read_tables(write(tmp_path), modalities={name: f"{name}.parquet" for name in names})
    assert [dataset.features[name].block(0, 1).tolist() for name in names] == [[[1.0, 2.0]]] * 4
    assert "unnamed.parquet: 1 columns of a pandas index (Unnamed: 0) (left out)" in map(str, dataset.findings)


@pytest.mark.parametrize("vectors", [[[]] * 30, [None, *[[]] * 29]])
def test_empty_vectors(tmp_path: Path, vectors: list[Any]) -> None:
    table = {"item": ITEMS, "vector": pa.array(vectors, pa.list_(pa.float32()))}
    pq.write_table(pa.table(table), tmp_path / "v.parquet")
    with pytest.raises(DataError, match=r"v.parquet: vector: all vectors are empty"):
        read_tables(write(tmp_path), modalities={"v": "v.parquet"})


def test_views_of_text(tmp_path: Path) -> None:
    try:
        users, items = (pa.array([pair[side] for pair in PAIRS]).cast(pa.string_view()) for side in (0, 1))
    except (AttributeError, pa.ArrowNotImplementedError):
        pytest.skip("this pyarrow makes no string_view")
    expected = read_tables(write(tmp_path)).fingerprint()
    assert MultimodalDataset.from_arrays(users, items).fingerprint() == expected
    pq.write_table(pa.table({"user": users, "item": items}), tmp_path / "t.parquet")
    assert read_tables(tmp_path, interactions="t.parquet").fingerprint() == expected


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    text = pa.array([b"\xff\xfe", *[b"u"] * (len(PAIRS) - 1)]).view(pa.binary()).cast(pa.string(), safe=False)
    pq.write_table(pa.table({"user": text, "item": [item for _, item in PAIRS]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t.parquet: not a readable Parquet file"):
        read_tables(tmp_path, interactions="t.parquet")
    (tmp_path / "t.csv").write_text("user,item\na,b\n", encoding="utf-16")
    with pytest.raises(DataError, match="is UTF-16 text; save it as UTF-8"):
        read_tables(tmp_path, interactions="t.csv")


@pytest.mark.parametrize(
    ("header", "row", "words"),
    [
        ("user,item", "Müller,i00", "t.csv: is not UTF-8 text; save it as UTF-8"),
        ("user,item,part", "u0,i00,prüfen", "t.csv: is not UTF-8 text; save it as UTF-8"),
        ("user,Größe", "u0,i00", "no column 'item'; it has user, Gr.*, and is not UTF-8 text: save it as UTF-8"),
    ],
)
def test_latin_1(tmp_path: Path, header: str, row: str, words: str) -> None:
    (tmp_path / "t.csv").write_text(f"{header}\n{row}\n", encoding="latin-1")
    with pytest.raises(DataError, match=words):
        read_tables(tmp_path, interactions="t.csv", split="part" if "part" in header else None)


@pytest.mark.parametrize(
    ("name", "lines", "words"),
    [
        (
            "t.csv",
            ["user;item", "u0;i00"],
            "has user;item, and seems to be separated by semicolons: save it with comma",
        ),
        ("t.tsv", ["user|item", "u0|i00"], "it has user|item, and seems to be separated by bars: save it with tabs"),
        ("t.csv", ["user\titem", "u0\ti00"], "separated by tabs: name it .tsv"),
        ("t.tsv", ["user,item", "u0,i00"], "separated by commas: name it .csv"),
        (
            "t.csv",
            ["u0,i00,2024-05-06", "u0,i01,2024-05-06"],
            "no column 'user'; it has u0.*, which seems to be data",
        ),
        ("t.csv", ["anna,pear,4.5", "anna,fig,5"], "no column 'user'; it has anna.*, which seems to be data"),
        ("t.csv", ["customer,sku", "u0,i00"], "no column 'user'; it has customer, sku$"),
        ("t.csv", ["item,2024", "u0,i00"], "no column 'user'; it has item, 2024$"),
        ("t.csv", [], "t.csv: is empty"),
        ("t.csv", ["", "user,item"], "it has nothing, as its first line is empty: begin with the columns' names"),
    ],
)
def test_what_a_first_line_without_the_columns_is(tmp_path: Path, name: str, lines: list[str], words: str) -> None:
    (tmp_path / name).write_text("\n".join([*lines, ""]))
    with pytest.raises(DataError, match=words.replace("|", r"\|")):
        read_tables(tmp_path, interactions=name)


def test_the_line_of_too_few_values_where_values_have_lines(tmp_path: Path) -> None:
    rows = [(user, item, '"two\nlines"') for user, item in PAIRS]
    with pytest.raises(DataError, match=r"line 7: Expected 3 columns, got 2: u0,short\)"):
        read_tables(write(tmp_path, [*rows[:2], ("", "", ""), ("u0", "short"), *rows], "user,item,text"))


def test_interactions_from_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    expected = read_tables(tmp_path).fingerprint()
    content = (tmp_path / "interactions.csv").read_bytes()
    for sent in (content, content.replace(b",", b"\t")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(sent)))
        for _ in range(2):  # what came is kept for a stage that reads the data anew
            assert read_tables(tmp_path, interactions="-").fingerprint() == expected
    assert read_pipe("-") == b"", "and nothing is left for another who reads it"
    assert TablesData(path=str(tmp_path), interactions="-").reads_once
    assert not TablesData(path=str(tmp_path)).reads_once


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ('{"7": [0], "007": [1]}', "users '7' and '007' are one number"),
        ('{"0": [' + "9" * 5000 + "]}", "not readable JSON"),
        ('{"0": ' + "[" * 100_000 + "]" * 100_000 + "}", "not readable JSON"),
        ('{"' + "a" * 5000 + '": [0]}', "user 'a{60}' is not a number"),
    ],
)
def test_users_and_numbers_in_json(tmp_path: Path, train: str, words: str) -> None:
    (tmp_path / "train.json").write_text(train)
    for name in ("val", "test"):
        (tmp_path / f"{name}.json").write_text('{"1": [2]}')
    with pytest.raises(DataError, match=words):
        read_mmssl(tmp_path)
