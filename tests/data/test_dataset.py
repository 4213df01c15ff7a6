"""MultimodalDataset: what it holds, how it is made from arrays and frames, its fingerprint and its errors."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse
import torch

from damrs_dgl.data import Finding, Interactions, ModalityFeatures, MultimodalDataset
from damrs_dgl.errors import DataError

USERS = ["b", "b", "b", "b", "a", "a", "a", "c"]
ITEMS = [7, 3, 9, 1, 3, 7, 9, 1]


class FrameColumn:
    """What pandas offers, as far as it is used."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def to_numpy(self) -> np.ndarray:
        return self.values

    def __len__(self) -> int:
        return len(self.values)


def test_features_give_zeros_for_missing_rows() -> None:
    values = np.array([[1, 2], [np.nan, 1], [3, 4]], dtype=np.float16)
    features = ModalityFeatures(values, np.array([False, True, False]))
    assert features.dim == 2
    assert features.num_missing == 1
    assert features.block(0, 3).tolist() == [[1, 2], [0, 0], [3, 4]]
    assert features.block(1, 3).dtype == torch.float32
    assert features.take(torch.tensor([2, 1])).tolist() == [[3, 4], [0, 0]]
    assert np.isnan(values[1, 0]), "the values themselves stay"
    assert repr(features) == "ModalityFeatures(3 x 2 float16, 1 missing)"


def test_immutable() -> None:
    dataset = MultimodalDataset.from_arrays(USERS, ITEMS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.name = "other"  # type: ignore[misc]


def test_from_arrays_sorts_ids_and_splits_each_user() -> None:
    dataset = MultimodalDataset.from_arrays(USERS, ITEMS, name="x")
    assert dataset.user_ids.to_pylist() == ["a", "b", "c"]
    assert dataset.item_ids.to_pylist() == [1, 3, 7, 9]
    assert len(dataset.train) == 8 - 4
    assert set(dataset.train.users.tolist()) == {0, 1, 2}
    assert dataset.user_indices(["c", "nobody", "a"]).tolist() == [2, -1, 0]
    assert dataset.item_indices(["9", "x"]).tolist() == [3, -1], "text finds a number"
    assert dataset.item_indices(np.array([9, 2])).tolist() == [3, -1]
    assert dataset.describe()["users_without_training"] == 0
    assert "3 users, 4 items, 8 interactions, no content" in repr(dataset)


def test_from_arrays_by_time() -> None:
    times = [4, 3, 2, 1, 1, 2, 3, 1]
    dataset = MultimodalDataset.from_arrays(USERS, ITEMS, timestamps=times)
    pairs = zip(dataset.test.users.tolist(), dataset.test.items.tolist(), strict=True)
    assert sorted(pairs) == [(0, 3), (1, 2)], "the latest of a is 9, of b is 7"


@pytest.mark.parametrize(
    "wrap",
    [
        list,
        np.array,
        pa.array,
        lambda x: pa.chunked_array([x[:3], x[3:]]),
        lambda x: FrameColumn(np.array(x)),
        lambda x: pa.array(x).dictionary_encode(),
    ],
    ids=["list", "numpy", "arrow", "chunked", "pandas-like", "dictionary"],
)
def test_any_column_gives_the_same(wrap: object) -> None:
    expected = MultimodalDataset.from_arrays(USERS, ITEMS).fingerprint()
    assert MultimodalDataset.from_arrays(wrap(USERS), wrap(ITEMS)).fingerprint() == expected  # type: ignore[operator]


def test_from_frame() -> None:
    split = ["train", "val", "TEST", "0", "1", "2", "train", "train"]
    table = pa.table({"who": USERS, "what": ITEMS, "part": split})
    dataset = MultimodalDataset.from_frame(table, user="who", item="what", split="part", name="t")
    assert [len(part) for _, part in dataset.splits()] == [4, 2, 2]
    with pytest.raises(DataError, match=r"no column 'when'.*who, what, part"):
        MultimodalDataset.from_frame(table, user="who", item="what", timestamp="when")
    plain = MultimodalDataset.from_frame(table.to_pydict(), user="who", item="what", split="part", name="t")
    assert plain.fingerprint() == dataset.fingerprint()


def test_features_follow_item_ids() -> None:
    features = np.arange(10, dtype=np.float64).reshape(5, 2)
    dataset = MultimodalDataset.from_arrays(USERS, ITEMS, features={"v": features}, item_ids=[9, 1, 3, 7, 100])
    assert dataset.item_ids.to_pylist() == [9, 1, 3, 7, 100]
    assert dataset.features["v"].block(0, 5).tolist() == features.tolist()
    assert any("float64" in finding.kind for finding in dataset.findings)
    assert dataset.describe()["items_without_training"] >= 1
    torch_features = {"v": torch.from_numpy(features).bfloat16()}
    same = MultimodalDataset.from_arrays(USERS, ITEMS, features=torch_features, item_ids=[9, 1, 3, 7, 100])
    assert same.features["v"].block(0, 5).tolist() == features.tolist()


def test_items_that_are_row_numbers_need_no_item_ids() -> None:
    features = np.arange(1.0, 9.0).reshape(4, 2)
    dataset = MultimodalDataset.from_arrays(USERS, [2, 1, 3, 0, 1, 2, 3, 0], features={"v": features})
    assert dataset.features["v"].block(0, 4).tolist() == features.tolist()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"users": [None, *USERS[1:]]}, "1 null user ids, the first in row 1"),
        ({"items": [*ITEMS[:7], None]}, "1 null item ids, the first in row 8"),
        ({"items": np.array([*ITEMS[:7], np.nan])}, "1 null item ids, the first in row 8"),
        ({"items": np.array(ITEMS) + 0.5}, "item ids of type double cannot be ids"),
        ({"users": USERS[:5]}, "5 users for 8 items"),
        ({"users": [], "items": []}, "no interactions"),
        ({"users": np.zeros((8, 2))}, "2 dimensions, expected 1"),
        ({"users": [1, "a", *USERS[2:]]}, "cannot be read as one column"),
        ({"split": ["train"] * 8}, "no validation interactions among 8"),
        ({"split": [1] * 4 + [2] * 4}, "no train interactions"),
        ({"split": ["train"] * 7 + ["dev"]}, "1 split values.*'dev' in row 8"),
        ({"split": [0, 1, 2]}, "3 values of split for 8 interactions"),
        ({"timestamps": [1, 2]}, "2 values of timestamps for 8 interactions"),
        ({"timestamps": ["1", "2", "x", *"34567"]}, r"timestamps is neither numbers nor dates \('x' in row 3\)"),
        ({"features": {"v": np.ones((3, 2))}}, "3 feature rows for 4 items.*item_ids"),
        ({"features": {"v": np.ones((4, 2))}}, r"v: which row is whose .* \(1, ...\) .* 0 to 3; give item_ids"),
        ({"items": list("01230123"), "features": {"v": np.ones((4, 2))}}, "which row is whose is not known"),
        ({"features": [np.ones((4, 2))]}, "features are a list, not a dict {modality: array}; write features={"),
        ({"features": np.ones((4, 2))}, "features are a ndarray, not a dict"),
        ({"features": {3: np.ones((4, 2))}}, "3 cannot name a modality; use text"),
        ({"features": {"any": np.ones((4, 2))}}, '"any" cannot name a modality, it is reserved'),
        (
            {"users": None, "items": None},
            "arrays: users of type NoneType, expected one value for each row; give",
        ),
        ({"users": [2**70, *range(7)]}, "user ids cannot be read as one column"),
        ({"items": 3}, "items of type int, expected one value"),
        ({"split": np.int64(1)}, "split of type int64, expected one value"),
        ({"seed": "x"}, "arrays: seed = 'x'; give a whole number"),
        ({"seed": True}, "seed = True; give a whole number"),
        ({"seed": 2**70}, "seed = 1180591620717411303424; give a whole number of at most 64 bits"),
        ({"item_ids": [1, 3, 7]}, "1 items with interactions are not in item_ids, the first 9"),
        ({"item_ids": [1, 3, 7, 7, 9]}, "1 repeated item ids, the first 7"),
    ],
)
def test_bad_arrays(arguments: dict, words: str) -> None:
    with pytest.raises(DataError, match=words):
        MultimodalDataset.from_arrays(**{"users": USERS, "items": ITEMS, **arguments})


def test_pair_in_two_splits_is_refused() -> None:
    with pytest.raises(DataError, match=r"1 \(user, item\) pairs are in two splits.*user a, item 2 in train and test"):
        MultimodalDataset.from_arrays(list("aaab"), [1, 2, 2, 1], split=[1, 0, 2, 0])


def test_pair_twice_in_a_split_is_kept_once() -> None:
    dataset = MultimodalDataset.from_arrays(list("aaaab"), [1, 2, 2, 3, 1], split=[1, 0, 0, 2, 0], name="x")
    assert len(dataset.train) == 2
    assert Finding("duplicate interactions", 1, "x", "kept once") in dataset.findings
    assert str(dataset.findings[0]) == "x: 1 duplicate interactions (kept once)"


def test_fingerprint_sees_all_and_only_the_data() -> None:
    features = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    base = MultimodalDataset.from_arrays(USERS, ITEMS, item_ids=[1, 3, 7, 9], features={"v": features}, name="one")
    same = MultimodalDataset.from_arrays(
        USERS, ITEMS, item_ids=[1, 3, 7, 9], features={"v": features.copy()}, name="two"
    )
    assert base.fingerprint() == same.fingerprint()
    changed = features.copy()
    changed[2, 1] += 1e-3
    missing = base.features["v"].missing.copy()
    missing[0] = True
    others = [
        base.replace(features={"v": ModalityFeatures(changed, base.features["v"].missing)}),
        base.replace(features={"v": ModalityFeatures(features, missing)}),
        base.replace(features={"w": base.features["v"]}),
        base.replace(features={}),
        base.replace(train=base.validation, validation=base.train),
        base.replace(user_ids=pa.array(["a", "b", "d"])),
        base.replace(item_ids=pa.array([1, 3, 7, 10])),
    ]
    assert len({base.fingerprint(), *(other.fingerprint() for other in others)}) == 8


def test_fingerprint_sees_the_order_of_the_modalities() -> None:
    """It is the order of the relations in everything that is made from them."""
    one, other = np.eye(4), np.ones((4, 3))
    first = MultimodalDataset.from_arrays(USERS, ITEMS, item_ids=[1, 3, 7, 9], features={"a": one, "b": other})
    second = MultimodalDataset.from_arrays(USERS, ITEMS, item_ids=[1, 3, 7, 9], features={"b": other, "a": one})
    assert first.fingerprint() != second.fingerprint()


def test_fingerprint_does_not_depend_on_how_ids_lie_in_memory() -> None:
    base = MultimodalDataset.from_arrays(USERS, ITEMS)
    sliced = pa.array(["zz", "a", "b", "c"]).slice(1)
    assert base.replace(user_ids=sliced).fingerprint() == base.fingerprint()
    assert base.replace(user_ids=pa.array(["ab", "", "c"])).fingerprint() != base.fingerprint()


def test_inconsistent_parts_are_refused() -> None:
    base = MultimodalDataset.from_arrays(USERS, ITEMS)
    with pytest.raises(DataError, match="'v' has 3 rows for 4 items"):
        base.replace(features={"v": ModalityFeatures(np.ones((3, 2), np.float32), np.zeros(3, bool))})
    with pytest.raises(DataError, match=r"test has a item index outside 0\.\.3"):
        base.replace(test=Interactions(torch.tensor([0]), torch.tensor([4])))
    with pytest.raises(DataError, match="differ in shape"):
        Interactions(torch.zeros(2), torch.zeros(3))
    with pytest.raises(DataError, match="float64"):
        ModalityFeatures(np.ones((3, 2)), np.zeros(3, bool))


def test_a_frame_of_features_follows_the_ids_in_its_index() -> None:
    pandas = pytest.importorskip("pandas")
    ids = [f"i{number}" for number in range(6)]
    users, items = [0, 0, 0, 1, 1, 1], ["i0", "i1", "i2", "i3", "i4", "i5"]
    split = ["train", "val", "test"] * 2
    rows = np.arange(12.0).reshape(6, 2)
    shuffled = pandas.DataFrame(rows, index=ids).iloc[::-1]
    numbered = pandas.DataFrame(rows)  # its index is the rows' own
    for frame in (shuffled, numbered):
        dataset = MultimodalDataset.from_arrays(users, items, item_ids=ids, split=split, features={"v": frame})
        assert dataset.features["v"].values.tolist() == rows.tolist()


def test_an_index_that_nearly_holds_the_ids_is_refused() -> None:
    pandas = pytest.importorskip("pandas")
    ids = [f"i{number}" for number in range(6)]
    for index in ([*ids[:5], "ix"], [*ids[:5], "i0"]):
        with pytest.raises(DataError, match="the index of its rows holds 'i"):
            frame = pandas.DataFrame(np.eye(6), index=index)
            MultimodalDataset.from_arrays([0] * 6, ids, item_ids=ids, features={"v": frame})
    two_levels = pandas.DataFrame(np.eye(6), index=[ids, ids])
    split = ["train", "val", "test"] * 2
    dataset = MultimodalDataset.from_arrays([0] * 6, ids, item_ids=ids, split=split, features={"v": two_levels})
    assert dataset.features["v"].values.tolist() == np.eye(6).tolist()


def test_sparse_features_are_refused_with_a_cure() -> None:
    with pytest.raises(DataError, match=r"is a sparse matrix, expected an array; give values\.toarray"):
        MultimodalDataset.from_arrays([0], [0], item_ids=[0], features={"v": scipy.sparse.eye(1)})
