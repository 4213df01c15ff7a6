"""The Python API: fit, recommend, similar_items, evaluate, save and load, in the user's own ids."""

from __future__ import annotations

import logging
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors import safe_open
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from damrs_dgl import MultimodalDataset, Recommender
from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.errors import DataError, DeviceError, RecipeError, RunError
from damrs_dgl.recipe import Recipe, load_recipe, recipe_from, with_values
from damrs_dgl.storage.tensors import load_tensors, save_tensors
from damrs_dgl.training.schedule import Progress, Schedule

FAST: dict[str, Any] = {
    "model__dim": 8,
    "training__epochs": 3,
    "training__batch_size": 128,
    "training__learning_rate": 0.02,
    "model__anchors": 16,
    "device": "cpu",
}


def shop(*, text: bool, seed: int = 0) -> MultimodalDataset:
    """40 users and 30 items in two tastes, ids as text or as numbers that are not indices."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(40), 8)
    items = np.concatenate([rng.permutation(15)[:8] + 15 * (user % 2) for user in range(40)])
    pictures = rng.normal(size=(30, 6)) + 3 * (np.arange(30)[:, None] >= 15)
    if text:
        return MultimodalDataset.from_arrays(
            [f"user {u}" for u in users],
            [f"item {i:02d}" for i in items],
            item_ids=[f"item {i:02d}" for i in range(30)],
            features={"visual": pictures.astype(np.float32)},
        )
    return MultimodalDataset.from_arrays(
        1000 + users, 7 * items, item_ids=7 * np.arange(30), features={"visual": pictures.astype(np.float32)}
    )


@pytest.fixture(scope="module")
def by_text() -> Recommender:
    return Recommender(**FAST).fit(shop(text=True))


@pytest.fixture(scope="module")
def by_number() -> Recommender:
    return Recommender(**FAST).fit(shop(text=False))


def test_one_id(by_text: Recommender, by_number: Recommender) -> None:
    items, scores = by_text.recommend("user 3", k=4)
    assert items.shape == scores.shape == (4,) and items.dtype == object and scores.dtype == np.float32
    assert all(isinstance(item, str) for item in items) and (np.diff(scores) <= 0).all()
    for user in (1003, np.int64(1003), np.array(1003), torch.tensor(1003), "1003"):
        items, _ = by_number.recommend(user, k=4)
        assert items.shape == (4,) and all(isinstance(item, int) and item % 7 == 0 for item in items)


def test_several_ids_of_any_kind(by_text: Recommender, by_number: Recommender) -> None:
    names = ["user 3", "user 0", "user 3"]
    expected, scores = by_text.recommend(names, k=4)
    assert expected.shape == scores.shape == (3, 4)
    assert list(expected[0]) == list(expected[2]) == list(by_text.recommend("user 3", k=4)[0])
    for same in (
        tuple(names),
        np.array(names),
        np.array(names, dtype=object),
        pa.array(names),
    ):
        assert np.array_equal(by_text.recommend(same, k=4)[0], expected)
    numbers = [1003, 1000]
    expected, _ = by_number.recommend(numbers, k=4)
    for others in (np.array(numbers), torch.tensor(numbers), range(1003, 999, -3)):
        assert np.array_equal(by_number.recommend(others, k=4)[0], expected)


def test_ids_in_a_pandas_series(by_text: Recommender) -> None:
    """With an index of its own, which is no position."""
    pandas = pytest.importorskip("pandas")
    names = pandas.Series(["user 3", "user 0"], [7, 5])
    assert np.array_equal(by_text.recommend(names, k=4)[0], by_text.recommend(["user 3", "user 0"], k=4)[0])
    with pytest.raises(DataError, match="the first is 'eve'"):
        by_text.recommend(pandas.Series(["user 3", "eve"], [7, 5]))


def test_no_ids(by_text: Recommender) -> None:
    items, scores = by_text.recommend([], k=4)
    assert items.shape == scores.shape == (0, 4)


def test_scores_are_products_of_the_vectors(by_text: Recommender) -> None:
    data = by_text.dataset_
    assert by_text.user_vectors.shape == (40, 8) and by_text.item_vectors.shape == (30, 8)
    assert by_text.user_vectors.dtype == by_text.item_vectors.dtype == np.float32
    (user,) = data.user_indices(["user 3"])
    items, scores = by_text.recommend("user 3", k=30, filter_known=False)
    assert sorted(items) == data.item_ids.to_pylist()
    found = by_text.item_vectors[data.item_indices(list(items))] @ by_text.user_vectors[user]
    assert np.allclose(scores, found, atol=1e-6)


def test_known_items_are_left_out_unless_asked_for(by_text: Recommender) -> None:
    for _ in range(2):  # what is prepared for the first call serves the second
        items, scores = by_text.recommend("user 3", k=30)
        assert (items != None).sum() == 22 and np.isneginf(scores[22:]).all()  # noqa: E711 (elementwise)
        assert set(by_text.recommend("user 3", k=30, filter_known=False)[0]) > set(items[:22])


def test_similar_items(by_text: Recommender) -> None:
    items, scores = by_text.similar_items("item 04", k=3)
    assert items.shape == (3,) and "item 04" not in items and (np.abs(scores) <= 1 + 1e-6).all()
    table = by_text.item_vectors / np.linalg.norm(by_text.item_vectors, axis=1, keepdims=True)
    cosines = table @ table[4]
    cosines[4] = -np.inf
    assert list(items) == [f"item {i:02d}" for i in np.argsort(-cosines)[:3]]
    assert np.allclose(scores, np.sort(cosines)[::-1][:3], atol=1e-6)
    many, _ = by_text.similar_items(["item 04", "item 20"], k=40)
    assert many.shape == (2, 40) and list(many[0, :3]) == list(items) and many[0, 29] is None


def test_tastes_are_found(by_text: Recommender) -> None:
    items, _ = by_text.similar_items("item 04", k=5)
    assert all(item < "item 15" for item in items)


def test_unknown_ids(by_text: Recommender) -> None:
    with pytest.raises(DataError, match=r"2 unknown user ids, the first is 'eve'"):
        by_text.recommend(np.array(["user 1", "eve", "mallory"]))
    with pytest.raises(DataError, match=r"1 unknown item ids, the first is 5;"):
        by_text.similar_items(5)
    with pytest.raises(DataError, match="k must be a whole number of 1 or more"):
        by_text.recommend("user 1", k=0)


def test_evaluate(by_text: Recommender) -> None:
    for split in ("validation", "test"):
        metrics = by_text.evaluate(split)
        assert set(metrics) == {f"{m}@{k}" for m in ("recall", "precision", "ndcg", "map") for k in (5, 10, 20, 50)}
        assert all(0 <= value <= 1 for value in metrics.values())
    assert by_text.evaluate("validation") == by_text.progress_.best


def _content(path: Path) -> tuple[dict[str, str], dict[str, bytes]]:
    """What a file of tensors holds; the order of its metadata is safetensors' own, another each time."""
    with safe_open(path, "pt") as file:
        return file.metadata(), {name: file.get_tensor(name).numpy().tobytes() for name in file.keys()}  # noqa: SIM118


def test_saved_and_loaded(by_text: Recommender, tmp_path: Path) -> None:
    path = tmp_path / "shop.safetensors"
    by_text.save(path)
    data = shop(text=True)
    loaded = Recommender.load(path, data)
    assert loaded.recipe_ == by_text.recipe_ and loaded.recipe == by_text.recipe_
    assert loaded.data_fingerprint_ == by_text.data_fingerprint_ == data.fingerprint()
    for verb, ids in (("recommend", ["user 1", "user 30"]), ("similar_items", ["item 20"])):
        for mine, theirs in zip(getattr(by_text, verb)(ids), getattr(loaded, verb)(ids), strict=True):
            assert np.array_equal(mine, theirs)
    assert loaded.evaluate() == by_text.evaluate() and not hasattr(loaded, "progress_")
    again = tmp_path / "again.safetensors"
    loaded.save(again)
    assert _content(again) == _content(path)
    with pytest.raises(RunError, match="saved with another data set"):
        Recommender.load(path, shop(text=True, seed=1))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunError, match=r"damaged or cut short.*save the recommender again"):
        Recommender.load(path, data)
    with pytest.raises(RunError, match="not there"):
        Recommender.load(tmp_path / "nothing", data)
    with pytest.raises(RunError, match=r"is a folder; give what `save` wrote"):
        Recommender.load(tmp_path)


def test_loaded_without_its_data_set(by_text: Recommender, tmp_path: Path) -> None:
    """For a server: recommendations need the file alone, metrics do not."""
    by_text.save(tmp_path / "shop")
    loaded = Recommender.load(tmp_path / "shop")
    assert np.array_equal(loaded.recommend("user 1")[0], by_text.recommend("user 1")[0])
    assert np.array_equal(loaded.similar_items("item 20")[0], by_text.similar_items("item 20")[0])
    assert loaded.data_fingerprint_ == by_text.data_fingerprint_ and not hasattr(loaded, "dataset_")
    with pytest.raises(RunError, match="give `load` the data set too"):
        loaded.evaluate()


@pytest.mark.parametrize("change", ["no recipe", "a recipe of another time", "ids that are none"])
def test_a_file_that_is_no_recommender(by_text: Recommender, tmp_path: Path, change: str) -> None:
    by_text.save(tmp_path / "shop")
    tensors, facts = load_tensors(tmp_path / "shop")
    if change == "no recipe":
        del facts["recipe"]
    elif change == "ids that are none":
        tensors["user_ids"] = torch.zeros(9, dtype=torch.uint8)
    else:
        facts["recipe"]["losses"] = {"gamma": 2.0}
    save_tensors(tmp_path / "other", tensors, facts)
    with pytest.raises(RunError, match=r"is no saved recommender.*save the recommender again"):
        Recommender.load(tmp_path / "other")


def test_a_saved_file_with_one_other_bit_is_refused(by_text: Recommender, tmp_path: Path) -> None:
    path = tmp_path / "model"
    by_text.save(path)
    whole = path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 200)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(RunError, match="save the recommender again"):
            Recommender.load(path)


def test_saving_clears_what_a_killed_process_left(by_text: Recommender, tmp_path: Path) -> None:
    (tmp_path / ".model.2147483646.tmp").write_text("half")
    (tmp_path / ".other.2147483646.tmp").write_text("another file's")
    by_text.save(tmp_path / "model")
    assert {path.name for path in tmp_path.iterdir()} == {"model", ".other.2147483646.tmp"}


@pytest.mark.parametrize("name", ["mf", "lightgcn", "vbpr"])
def test_every_model_gives_vectors(name: str, tmp_path: Path) -> None:
    """MF's vectors are its trained tables themselves."""
    own = {key: value for key, value in FAST.items() if key != "model__anchors"}
    model = Recommender(model__name=name, **own).fit(shop(text=True))
    assert np.isfinite(model.user_vectors).all() and len(model.item_vectors) == 30
    model.save(tmp_path / "model")


def test_fitting_anew_forgets_the_data_set_before(tmp_path: Path) -> None:
    model = Recommender(**FAST).fit(shop(text=True))
    model.recommend("user 1")
    model.fit(shop(text=False, seed=1))
    items, _ = model.recommend(1001, k=30)
    data = model.dataset_
    known = {
        data.item_ids[i].as_py()
        for _, split in data.splits()
        for u, i in zip(split.users.tolist(), split.items.tolist(), strict=True)
        if data.user_ids[u].as_py() == 1001
    }
    assert known and not known & set(items)


def test_before_fit() -> None:
    model = Recommender(**FAST)
    for use in (
        lambda: model.recommend("anna"),
        lambda: model.similar_items("book"),
        model.evaluate,
        lambda: model.user_vectors,
        lambda: model.save("nowhere"),
    ):
        with pytest.raises(RunError, match="call fit"):
            use()


def recipe_of(model: Recommender) -> Recipe[Any]:
    """The recipe that a fitted model was trained by, on a tiny data set and for one epoch."""
    return model.set_params(device="cpu", training__epochs=1).fit(shop(text=True)).recipe_


def test_settings_and_recipes() -> None:
    recipe = with_values(load_recipe("demo"), {"model.dim": 12})
    assert recipe_of(Recommender(recipe)).model.backbone.dim == 12
    changed = recipe_of(Recommender(recipe, training__seed=2, model__backbone="mf"))
    assert (changed.training.seed, changed.model.backbone.name, changed.model.backbone.dim) == (2, "mf", 12)
    assert recipe.training.seed == 0


def test_a_recipe_by_its_name_or_file(tmp_path: Path) -> None:
    assert recipe_of(Recommender("demo")).stress.models == load_recipe("demo").stress.models
    path = tmp_path / "mine.toml"
    path.write_text('[data]\nformat = "synthetic"\n[model]\nname = "mf"\ndim = 5\n')
    assert recipe_of(Recommender(path)).model.dim == recipe_of(Recommender(str(path))).model.dim == 5


def test_a_recipe_as_a_dict_of_its_sections() -> None:
    found = recipe_of(Recommender({"model": {"name": "mf", "dim": 5}}, training__seed=2))
    assert (found.model.name, found.model.dim, found.training.seed) == ("mf", 5, 2)


def test_modalities_that_keys_name_are_the_data_sets(tmp_path: Path) -> None:
    """Not those of the recipe's [data], which is not read."""
    data = shop(text=True)
    sounds = data.replace(features={"visual": data.features["visual"], "sound": data.features["visual"]})
    model = Recommender(model__name="slmrec", model__left_out=["sound"], training__epochs=1, device="cpu").fit(sounds)
    model.save(tmp_path / "model")
    assert Recommender.load(tmp_path / "model").recipe_.model.left_out == ("sound",)


def test_without_a_recipe_every_key_has_the_schema_s_default() -> None:
    """And not the demo's, which were chosen for the synthetic shop."""
    found = recipe_of(Recommender())
    plain = recipe_from({"data": {"format": "synthetic"}, "training": {"epochs": 1}})
    assert found == plain
    assert found.stress.models == () != load_recipe("demo").stress.models
    assert found.training.batch_size == "auto"


WRONG: dict[str, Any] = {
    "unknown key training.epoks; did you mean training.epochs?": {"training__epoks": 2},
    "training.epochs = 0; expected an integer of at least 1": {"training__epochs": 0},
    'there is no system "lightgnc"; did you mean "lightgcn"?': {"model__name": "lightgnc"},
    'there is no recipe "tiktk"; did you mean "tiktok"?': {"recipe": "tiktk"},
    "unknown key nothing": {"nothing": 3},
    "Recommender: 3 is no recipe; give a recipe, a dict of its sections, a file": {"recipe": 3},
    "unknown key model.dims; did you mean model.dim?": {"recipe": {"model": {"name": "mf", "dims": 3}}},
    "Recommender: callback = 3 cannot be called; give a function": {"callback": 3},
    'model.left_out holds "visul", which is no modality of the data; did you mean visual?': {
        "model__name": "slmrec",
        "model__left_out": ["visul"],
    },
    'model.name = "vbpr" needs content, and there is no modality in [data.modalities]': {
        "recipe": {"data": {"format": "synthetic", "modalities": {}}, "model": {"name": "vbpr"}},
    },
    'model.left_out = ["visual"] leaves slmrec without a modality': {
        "model__name": "slmrec",
        "model__left_out": ["visual"],
    },
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_values_are_told_by_fit(message: str) -> None:
    """As scikit-learn has it: the constructor keeps what it is given, and `fit` raises ValueError."""
    model = Recommender(**WRONG[message])
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        model.fit(shop(text=True))
    assert isinstance(caught.value, RecipeError)


def test_numpys_numbers_are_numbers() -> None:
    model = Recommender(training__epochs=np.int64(1), training__learning_rate=np.float64(0.01), model__name="mf")
    assert model.fit(shop(text=True)).recipe_.training.epochs == 1


def test_what_is_no_data_set_or_split_is_refused(by_text: Recommender) -> None:
    with pytest.raises(DataError, match=r"expected a MultimodalDataset, not a list.*from_arrays"):
        Recommender().fit([[1, 2]])  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"no split 'tset'.*\"validation\" or \"test\""):
        by_text.evaluate("tset")


def test_parameters_as_in_scikit_learn() -> None:
    recipe = load_recipe("demo")
    model = Recommender(recipe, training__epochs=3, model__name="mf")
    given = {"recipe": recipe, "device": "auto", "callback": None, "training__epochs": 3, "model__name": "mf"}
    assert model.get_params() == given
    assert model.set_params(training__epochs=4, device="cpu") is model
    assert model.get_params() == {**given, "training__epochs": 4, "device": "cpu"}
    copied = clone(model)
    assert copied is not model and copied.get_params() == model.get_params()
    copied.set_params(training__epochs=9)
    assert model.get_params()["training__epochs"] == 4


def test_a_clone_is_unfitted_and_trains_to_the_same(by_text: Recommender) -> None:
    copied = clone(by_text)
    with pytest.raises(NotFittedError):
        check_is_fitted(copied)
    check_is_fitted(by_text)
    copied.fit(shop(text=True))
    assert np.array_equal(copied.user_vectors, by_text.user_vectors)


def test_repr_shows_what_was_given() -> None:
    model = Recommender(model__name="mf", training__epochs=3)
    assert repr(model) == "Recommender(model__name='mf', training__epochs=3)"
    assert repr(Recommender()) == "Recommender()"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "training__epochs" in model._repr_html_()  # in a notebook


def test_no_work_before_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("work in the constructor")

    for name in ("load_recipe", "recipe_from", "with_values", "pick_device"):
        monkeypatch.setattr(f"damrs_dgl.recommender.{name}", refuse)
    Recommender("no such recipe", device="no such device", training__epochs=-1).set_params(model__name=3)


def test_no_such_device() -> None:
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="no CUDA device"):
            Recommender(device="cuda").fit(shop(text=True))


def test_the_log_and_the_callback_follow_the_epochs(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[tuple[int, int]] = []

    def callback(progress: Progress, schedule: Schedule) -> None:
        seen.append((progress.epoch, schedule.epochs))

    with caplog.at_level(logging.INFO, logger="damrs_dgl"):
        Recommender(callback=callback, training__evaluate_every=2, **FAST).fit(shop(text=True))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    lines = [record.getMessage() for record in caplog.records if record.name == "damrs_dgl"]
    assert len(lines) == 3 and lines[0].startswith("epoch 1: loss ") and lines[0].endswith("recall@20 - (epoch 0)")
    assert re.fullmatch(r"epoch 3: loss \d+\.\d{4}, best recall@20 [01]\.\d{4} \(epoch [23]\)", lines[2])


def test_a_callback_may_stop_the_training() -> None:
    class Enough(Exception):
        pass

    def callback(progress: Progress, schedule: Schedule) -> None:
        raise Enough

    model = Recommender(callback=callback, **FAST)
    with pytest.raises(Enough):
        model.fit(shop(text=True))
    with pytest.raises(RunError, match="call fit"):
        model.recommend("user 1")


def test_same_seed_same_recommendations(by_text: Recommender) -> None:
    again = Recommender(**FAST).fit(shop(text=True))
    assert np.array_equal(again.user_vectors, by_text.user_vectors)


@pytest.mark.parametrize("name", ["graph_filter", "ease", "blend"])
def test_a_system_without_vectors_is_saved_with_its_state(name: str, tmp_path: Path) -> None:
    data = synthetic_shop(users=60, items=40, clicks_per_user=6, styles=4, dims={"visual": 6}, seed=2).dataset
    members = {"model__members": {"a": "mf", "b": "itemknn"}} if name == "blend" else {}
    fitted = Recommender(model__name=name, training__epochs=1, device="cpu", **members).fit(data)
    fitted.save(tmp_path / "it")
    loaded = Recommender.load(tmp_path / "it", data, device="cpu")
    assert loaded.recipe_ == fitted.recipe_ and loaded.data_fingerprint_ == data.fingerprint()
    users = data.user_ids.to_pylist()
    for mine, theirs in zip(fitted.recommend(users, k=5), loaded.recommend(users, k=5), strict=True):
        assert np.array_equal(mine, theirs)
    with pytest.raises(RunError, match="has no user and item vectors, only scores; give the data set"):
        Recommender.load(tmp_path / "it")


def test_what_scikit_learn_expects_of_an_estimator() -> None:
    with pytest.raises(NotFittedError):
        Recommender().recommend(["u"])
    fitted = Recommender(model__name="mf", training__epochs=1).fit(shop(text=False))
    again = pickle.loads(pickle.dumps(fitted))
    users = fitted.dataset_.user_ids.to_pylist()[:3]
    assert np.array_equal(fitted.recommend(users, k=4)[0], again.recommend(users, k=4)[0])
    assert again.recipe_ == fitted.recipe_
    for k in ("3", 3.5, True):
        with pytest.raises(ValueError, match="k must be a whole number"):
            fitted.recommend(users, k=k)
    with pytest.raises(ValueError, match="which has no order"):
        fitted.recommend({users[0]})


def test_members_of_a_blend_tell_of_their_epochs_too() -> None:
    told: list[tuple[int, int]] = []
    Recommender(
        model__name="blend",
        model__members={"a": {"name": "mf", "dim": 4}, "b": "popularity"},
        training__epochs=3,
        callback=lambda progress, schedule: told.append((progress.epoch, schedule.epochs)),
    ).fit(shop(text=False))
    assert told == [(1, 3), (2, 3), (3, 3), (1, 1), (1, 1)]
