"""The MMRec reader: real folders, and each thing that can be wrong with one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from damrs_dgl.data import read_mmrec
from damrs_dgl.errors import DataError

HEADER = "userID\titemID\tx_label"
GOOD = [(0, 0, 0), (0, 1, 1), (0, 2, 2), (1, 0, 0), (1, 2, 0)]


def write(folder: Path, rows: list[tuple], header: str = HEADER, name: str = "shop.inter") -> Path:
    lines = [header, *("\t".join(map(str, row)) for row in rows)]
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize(
    ("name", "sizes", "counts", "untrained"),
    [
        ("baby", (19445, 7050), (118551, 20559, 21682), (0, 3)),
        ("sports", (35598, 18357), (218409, 37899, 40029), (0, 5)),
        ("clothing", (39387, 23033), (197338, 40150, 41189), (0, 13)),
        ("ml-1m", (6037, 3533), (400517, 57301, 117462), (0, 48)),
    ],
)
def test_real_sizes(real_data: Callable[[str], Path], name: str, sizes: tuple, counts: tuple, untrained: tuple) -> None:
    dataset = read_mmrec(real_data(name))
    assert (dataset.name, dataset.num_users, dataset.num_items) == (name, *sizes)
    assert tuple(len(part) for _, part in dataset.splits()) == counts
    described = dataset.describe()
    assert (described["users_without_training"], described["items_without_training"]) == untrained


def test_real_tiktok(real_data: Callable[[str], Path]) -> None:
    files = {"visual": "image_feat.npy", "acoustic": "audio_feat.npy"}
    dataset = read_mmrec(real_data("tiktok"), interactions="tiktok.inter", modalities=files)
    described = dataset.describe()
    assert described["splits"] == {"train": 59541, "validation": 3051, "test": 6130}
    assert (described["users"], described["items"]) == (9308, 6710)
    assert (described["users_without_training"], described["items_without_training"]) == (10, 465)
    assert described["modalities"] == {"visual": {"dim": 128, "missing": 0}, "acoustic": {"dim": 128, "missing": 0}}
    assert isinstance(dataset.features["visual"].values, np.memmap)
    assert dataset.features["visual"].values.dtype == np.float16
    with pytest.raises(DataError, match=r"2 .inter files \(tiktok.inter, tiktok_authors.inter\); name one"):
        read_mmrec(real_data("tiktok"))


def test_real_missing_posters(real_data: Callable[[str], Path]) -> None:
    dataset = read_mmrec(real_data("ml-1m"), modalities={"visual": "image_feat.npy", "textual": "text_feat.npy"})
    assert dataset.features["visual"].num_missing == 290
    assert any("290 rows with NaN" in str(finding) for finding in dataset.findings)


def test_reads_what_is_written(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.array([[1, 2], [0, 0], [np.inf, 1], [3, 4]], dtype=np.float32))
    dataset = read_mmrec(write(tmp_path, [*GOOD, (0, 0, 0)]), modalities={"visual": "v.npy"})
    assert dataset.name == "shop"
    assert dataset.num_items == 4, "an item that has a feature row and no interaction"
    assert dataset.item_ids.to_pylist() == [0, 1, 2, 3]
    assert dataset.train.users.tolist() == [0, 1, 1]
    assert dataset.train.items.tolist() == [0, 0, 2]
    assert dataset.features["visual"].missing.tolist() == [False, True, True, False]
    assert {str(finding) for finding in dataset.findings} == {
        "v.npy: 1 rows with NaN, infinity or null (treated as missing)",
        "v.npy: 1 all-zero rows (treated as missing)",
        "shop.inter: 1 duplicate interactions (kept once)",
        "shop.inter: 2 items without a training interaction (kept)",
    }


def test_other_columns_and_windows_ends(tmp_path: Path) -> None:
    text = 'x_label\ttext\titemID\tuserID\r\n0\t"a\t1\t0\r\n1\tb\t0\t0\r\n2\tc\t2\t0\r\n'
    (tmp_path / "a.inter").write_bytes(b"\xef\xbb\xbf" + text.encode())
    dataset = read_mmrec(tmp_path)
    assert [part.items.tolist() for _, part in dataset.splits()] == [[1], [0], [2]]


@pytest.mark.parametrize(
    ("rows", "header", "words"),
    [
        ([*GOOD, (-1, 0, 0)], HEADER, r"userID: 1 negative values, the first -1 in line 7"),
        ([*GOOD, (1.5, 0, 0)], HEADER, r"userID: 1 values are not integers, the first '1.5' in line 7"),
        ([*GOOD, (1, "B00X", 0)], HEADER, r"itemID: 1 values .*'B00X' in line 7.*\"tables\""),
        ([*GOOD, (1, "", 0)], HEADER, r"itemID: 1 values are not integers.*line 7"),
        ([*GOOD, (1, 10**30, 0)], HEADER, r"itemID: 1 values are not integers"),
        ([*GOOD, (1, 1, 3), (1, 4, 4)], HEADER, r"x_label: 2 values outside 0, 1, 2, the first 3 in line 7"),
        ([*GOOD, (1, 1)], HEADER, r"not a readable TSV file .*Expected 3 columns, got 2"),
        (
            [*GOOD, (0, 1, 0)],
            HEADER,
            r"1 \(user, item\) pairs are in two splits.*user 0, item 1 in validation and train",
        ),
        ([*GOOD, (99999, 1, 0)], HEADER, r"user ids reach 99,999 and only 3 occur.*\"tables\""),
        ([*GOOD, (1, 99999, 0)], HEADER, r"item ids reach 99,999 and only 4 occur.*\"tables\""),
        ([row for row in GOOD if row[2] != 0], HEADER, "no train interactions"),
        ([row for row in GOOD if row[2] != 1], HEADER, "no validation interactions"),
        ([row for row in GOOD if row[2] != 2], HEADER, "no test interactions"),
        ([], HEADER, "no interactions"),
        (GOOD, "userID\titem\tx_label", r"no column 'itemID'; the first line has: userID, item, x_label"),
        (GOOD, "userID,itemID,x_label", r"no column 'userID'.*tab-separated"),
        ([(*row, 0) for row in GOOD], HEADER + "\tuserID", r"column 'userID' is there 2 times"),
    ],
)
def test_bad_interactions(tmp_path: Path, rows: list, header: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read_mmrec(write(tmp_path, rows, header))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"interactions": "shap.inter"}, "no such file; did you mean shop.inter"),
        ({"modalities": {"visual": "vv.npy"}}, "vv.npy: no such file; did you mean v.npy"),
        ({"modalities": {"visual": "v.npy", "textual": "t.npy"}}, "different row counts: visual 4, textual 5"),
        (
            {"modalities": {"visual": "short.npy"}},
            r"1 item ids, the first 2 and the last 2, are beyond the 2 feature rows",
        ),
        ({"path": "shob"}, "no such folder; did you mean shop"),
        ({"path": "nowhere/shop"}, "nowhere does not exist either"),
        ({"path": "shop/shop.inter"}, "is a file, expected the folder"),
        ({"path": "empty"}, "no .inter file"),
    ],
)
def test_bad_folders(tmp_path: Path, arguments: dict[str, Any], words: str) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    (tmp_path / "empty").mkdir()
    write(folder, GOOD)
    for name, rows in (("v", 4), ("t", 5), ("short", 2)):
        np.save(folder / f"{name}.npy", np.ones((rows, 3), dtype=np.float32))
    rest = {key: value for key, value in arguments.items() if key != "path"}
    with pytest.raises(DataError, match=words):
        read_mmrec(tmp_path / arguments.get("path", "shop"), **rest)


def test_optional_modalities_are_left_out(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.ones((3, 2), dtype=np.float16))
    files = {"visual": "v.npy", "textual": "t.npy"}
    dataset = read_mmrec(write(tmp_path, GOOD), modalities=files, optional_modalities=True)
    assert dataset.modalities == ("textual",)
    assert str(dataset.findings[0]) == "v.npy: 1 absent feature file of 'visual' (modality left out)"


def test_a_column_beyond_the_three_is_read_by_nobody(tmp_path: Path) -> None:
    """Such as is_noise, the truth of a benchmark: the data set is the same without it."""
    rows = [(user, item, item) for user in range(3) for item in range(3)]
    for name, extra in (("plain", []), ("known", ["is_noise"])):
        (tmp_path / name).mkdir()
        lines = [[*map(str, row), *["1" for _ in extra]] for row in rows]
        text = ["\t".join(line) for line in [["userID", "itemID", "x_label", *extra], *lines]]
        (tmp_path / name / "x.inter").write_text("\n".join(text) + "\n")
    assert read_mmrec(tmp_path / "plain").fingerprint() == read_mmrec(tmp_path / "known").fingerprint()
