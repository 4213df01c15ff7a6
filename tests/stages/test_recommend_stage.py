"""Reading lists of user ids, and the table of recommendations."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from damrs_dgl.data.formats.user_list import read_ids
from damrs_dgl.errors import DataError
from damrs_dgl.evaluation.ranking import Ranking
from damrs_dgl.stages.recommend import recommendation_table


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("anna\nben\n", ["anna", "ben"]),
        ("user_id\nanna", ["anna"]),
        ("USER,age\nanna,3\n\nben,4\n", ["anna", "ben"]),
        ("007\n7\n1e3\n", ["007", "7", "1e3"]),  # as they stand: no number is made of them
        ('"a,b",1\r\n"c ""d""",2\r\n', ["a,b", 'c "d"']),
        ("\ufeffanna\n  ben  \nNA\nnull\n", ["anna", "ben", "NA", "null"]),
    ],
)
def test_ids_in_text(tmp_path: Path, text: str, ids: list[str]) -> None:
    path = tmp_path / "users.csv"
    path.write_bytes(text.encode())
    assert read_ids(path).to_pylist() == ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ('user,"5"\nben\nzoe\n', ['user,"5"', "ben", "zoe"]),  # whole lines, the first of them no header
        ('a,b\r\nuser,"5"\r\n', ["a,b", 'user,"5"']),
        ('"a,b"\nben\n', ["a,b", "ben"]),  # quoted, as a table has it
        ('user\nben\n"a,b"\n', ["ben", "a,b"]),
        ("user\nben\n", ["ben"]),  # as many either way: a header
        ("age,user\n3,ben\n", ["ben"]),
        ("zoe,1\n", ["zoe"]),
    ],
)
def test_lines_of_text_that_are_users(tmp_path: Path, text: str, ids: list[str]) -> None:
    path = tmp_path / "users.txt"
    path.write_bytes(text.encode())
    assert read_ids(path, users=pa.array(["a,b", "ben", 'user,"5"'])).to_pylist() == ids


def test_ids_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "users.parquet"
    pq.write_table(pa.table({"who": [3, None, 1], "x": ["a", "b", "c"]}), path)
    assert read_ids(path).to_pylist() == [3, 1]


@pytest.mark.parametrize(
    "columns", [{}, {"user": pa.array([], pa.string())}, {"user": pa.array([None, None], pa.int64())}]
)
def test_a_parquet_without_ids(tmp_path: Path, columns: dict[str, pa.Array]) -> None:
    path = tmp_path / "users.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(DataError, match="holds no ids"):
        read_ids(path)


def test_the_table_leaves_out_what_is_only_padding(tmp_path: Path) -> None:
    scores = torch.tensor([[0.9, 0.5], [0.7, -torch.inf]])
    ranking = Ranking(torch.tensor([[2, 0], [1, -1]]), scores)
    table = recommendation_table(ranking, pa.array(["u", "v"]), pa.array(["a", "b", "c"]))
    pq.write_table(table, tmp_path / "t.parquet", store_schema=False)
    back = pq.read_table(tmp_path / "t.parquet")
    assert back["user"].to_pylist() == ["u", "u", "v"]
    assert back["item"].to_pylist() == ["c", "a", "b"]
    assert back["rank"].to_pylist() == [1, 2, 1]
    assert back["score"].to_pylist() == pytest.approx([0.9, 0.5, 0.7])


def test_a_whole_line_goes_before_a_column_that_nobody_named(tmp_path: Path) -> None:
    path, users = tmp_path / "ids.txt", pa.array(["a", "a,b", "d", "d,e", " lead", "trail ", "x"])
    for text, ids in (("a,b\nd,e\n", ["a,b", "d,e"]), (" lead\r\ntrail \r\n x \r\n", [" lead", "trail ", "x"])):
        path.write_bytes(text.encode())
        assert read_ids(path, users=users).to_pylist() == ids
    path.write_text("user,more\na,b\nd,e\n")
    assert read_ids(path, users=users).to_pylist() == ["a", "d"]
