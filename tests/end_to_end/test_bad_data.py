"""Data that cannot be used ends in one line and nothing written; data that is only untidy works and is warned of."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli_runner import CommandLine
from tests.end_to_end.conftest import ITEMS, Shop


def _text_in_npy(shop: Shop) -> None:
    (shop.folder / "visual.npy").write_text("1.0, 2.0\n3.0, 4.0\n")


def _pickle_in_npy(shop: Shop) -> None:
    (shop.folder / "visual.npy").write_bytes(pickle.dumps([[1.0, 2.0]]))


def _objects_in_npy(shop: Shop) -> None:
    np.save(shop.folder / "visual.npy", np.array([[1.0], {"a": 1}], dtype=object), allow_pickle=True)


def _half_an_npy(shop: Shop) -> None:
    path = shop.folder / "visual.npy"
    path.write_bytes(path.read_bytes()[:200])


def _flat_npy(shop: Shop) -> None:
    np.save(shop.folder / "visual.npy", np.zeros(ITEMS, dtype=np.float32))


def _too_few_feature_rows(shop: Shop) -> None:
    np.save(shop.folder / "visual.npy", np.ones((ITEMS - 5, 3), dtype=np.float32))
    np.save(shop.folder / "textual.npy", np.ones((ITEMS - 5, 3), dtype=np.float32))


def _missing_column(shop: Shop) -> None:
    shop.write([line.rsplit("\t", 1)[0] for line in shop.lines()], header="userID\titemID")


def _doubled_column(shop: Shop) -> None:
    shop.write([f"{line}\t0" for line in shop.lines()], header="userID\titemID\tx_label\tx_label")


def _negative_id(shop: Shop) -> None:
    shop.write([*shop.lines(), "-1\t3\t0"])


def _fractional_id(shop: Shop) -> None:
    shop.write([*shop.lines(), "3.5\t3\t0"])


def _word_for_an_id(shop: Shop) -> None:
    shop.write([*shop.lines(), "anna\t3\t0"])


def _other_label(shop: Shop) -> None:
    shop.write([*shop.lines(), "3\t3\t3"])


def _pair_in_two_splits(shop: Shop) -> None:
    user, item, label = shop.lines()[0].split("\t")
    shop.write([*shop.lines(), f"{user}\t{item}\t{(int(label) + 1) % 3}"])


def _empty_split(shop: Shop) -> None:
    shop.write([line for line in shop.lines() if not line.endswith("2")])


def _no_rows(shop: Shop) -> None:
    shop.write([])


def _empty_file(shop: Shop) -> None:
    shop.inter.write_text("")


def _no_interactions_file(shop: Shop) -> None:
    shop.inter.unlink()


def _no_feature_file(shop: Shop) -> None:
    (shop.folder / "visual.npy").rename(shop.folder / "visuals.npy")


BAD: list[tuple[Callable[[Shop], None], tuple[str, ...]]] = [
    (_text_in_npy, ("visual.npy",)),
    (_pickle_in_npy, ("visual.npy",)),
    (_objects_in_npy, ("visual.npy",)),
    (_half_an_npy, ("visual.npy",)),
    (_flat_npy, ("visual.npy", "items x values")),
    (_too_few_feature_rows, (str(ITEMS - 1), str(ITEMS - 5))),
    (_missing_column, ("shop.inter", "'x_label'")),
    (_doubled_column, ("shop.inter", "'x_label'", "2 times")),
    (_negative_id, ("userID", "-1", "line 402")),
    (_fractional_id, ("userID", "'3.5'", "line 402")),
    (_word_for_an_id, ("userID", "'anna'", "line 402")),
    (_other_label, ("x_label", "outside 0, 1, 2", "line 402")),
    (_pair_in_two_splits, ("shop.inter", "two splits", "train and validation")),
    (_empty_split, ("shop.inter", "no test interactions")),
    (_no_rows, ("shop.inter", "no ")),
    (_empty_file, ("shop.inter",)),
    (_no_interactions_file, ("no .inter file",)),
    (_no_feature_file, ("visual.npy", "did you mean visuals.npy?")),
]


@pytest.mark.parametrize(("spoil", "saying"), BAD, ids=[spoil.__name__.strip("_") for spoil, _ in BAD])
def test_bad_data_is_one_line(
    shop: Shop, nothing_written: Callable[[], bool], spoil: Callable[[Shop], None], saying: tuple[str, ...]
) -> None:
    spoil(shop)
    result = shop.cli.refused("build-graphs", "fit", saying=saying)
    assert result.out == ""
    assert nothing_written()


def test_no_such_folder_names_the_nearest(shop: Shop, nothing_written: Callable[[], bool]) -> None:
    shop.cli.refused("-o", 'data.path="shopp"', "fit", saying=("shopp", "did you mean shop?"))
    assert nothing_written()


def _parquet_shop(cli: CommandLine, table: pa.Table) -> tuple[Path, tuple[str, ...]]:
    folder = cli.folder / "tables"
    folder.mkdir()
    pq.write_table(table, folder / "clicks.parquet")
    (cli.folder / "t.toml").write_text('[data]\nformat = "tables"\npath = "tables"\ninteractions = "clicks.parquet"\n')
    return folder / "clicks.parquet", ("--recipe", "t.toml", "--run", "run")


def _clicks() -> pa.Table:
    pairs = [(f"u{user}", f"i{(user * 3 + step) % 17}") for user in range(20) for step in range(10)]
    return pa.table({"user": [user for user, _ in pairs], "item": [item for _, item in pairs]})


def test_truncated_parquet(cli: CommandLine, nothing_written: Callable[[], bool]) -> None:
    path, options = _parquet_shop(cli, _clicks())
    path.write_bytes(path.read_bytes()[:-40])
    cli.refused(*options, "describe", saying=("clicks.parquet",))
    assert nothing_written()


def test_missing_column_of_a_parquet(cli: CommandLine, nothing_written: Callable[[], bool]) -> None:
    _, options = _parquet_shop(cli, _clicks().rename_columns(["buyer", "item"]))
    cli.refused(*options, "describe", saying=("clicks.parquet", "user", "buyer"))
    assert nothing_written()


def test_untidy_data_is_cleaned_and_counted(shop: Shop) -> None:
    lines = shop.lines()
    untrained = [line for line in lines if not (line.startswith("7\t") and line.endswith("\t0"))]
    shop.write([*untrained, lines[0], lines[1], lines[1]])
    features = np.load(shop.folder / "visual.npy")
    features[4, 1], features[9, 0] = np.nan, np.inf
    np.save(shop.folder / "visual.npy", features)
    result = shop.cli.ok("build-graphs", "fit", "evaluate", "recommend", "--top", "3")
    warnings = [line for line in result.err.splitlines() if line.startswith("warning: ")]
    for text in (
        "3 duplicate interactions (kept once)",
        "2 rows with NaN, infinity or null (treated as missing)",
        "1 users without a training interaction (kept)",
    ):
        assert sum(text in line for line in warnings) == 1, result.err
    table = pq.read_table(shop.cli.folder / "run" / "recommendations.parquet")
    assert table["user"].to_pylist() == [user for user in range(40) for _ in range(3)]  # user 7 gets some too


def test_changed_data_is_noticed(shop: Shop) -> None:
    shop.cli.ok("build-graphs", "fit")
    shop.write(shop.lines()[:-10])  # the same files, another content
    result = shop.cli.ok("build-graphs", "fit")
    assert "build-graphs: the data changed, building anew" in result.err
    assert "fit: the data changed, training anew" in result.err


def test_another_name_for_the_same_data_changes_nothing(shop: Shop) -> None:
    shop.cli.ok("fit")
    shop.inter.rename(shop.folder / "other.inter")
    assert "fit: up to date" in shop.cli.ok("fit").err
