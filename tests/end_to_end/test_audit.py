"""`audit` as a user calls it: its files in the user's own ids, its top lists, and what it refuses."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from damrs_dgl.data.synthetic import synthetic_shop
from damrs_dgl.storage.run import RunDirectory
from tests.cli_runner import CommandLine
from tests.end_to_end.conftest import Shop

COLUMNS = ["user", "item", "suspicion", "posterior", "f", "g", "speaks_for", "speaks_against", "percentile"]
VOICES = ["suspicion_by_model", "suspicion_by_ease"]  # of the default scorer
LINKS = ["item", "neighbor", "modality", "rule", "similarity", "vetoed_by", "value", "threshold"]


def test_the_files_hold_every_click_and_item_in_the_users_ids(fitted: CommandLine) -> None:
    result = fitted.ok("audit", "--top", "3")
    run = fitted.folder / "run"
    clicks = pq.read_table(run / "audit" / "interactions.parquet")
    assert clicks.column_names == [*COLUMNS, *VOICES]
    assert np.allclose(clicks["suspicion"], np.mean([clicks[name] for name in VOICES], axis=0))
    shop = synthetic_shop(users=150, items=80, styles=6).dataset
    ids = [shop.user_ids.to_pylist(), shop.item_ids.to_pylist()]
    pairs = {(ids[0][u], ids[1][i]) for u, i in zip(shop.train.users.tolist(), shop.train.items.tolist(), strict=True)}
    assert set(zip(clicks["user"].to_pylist(), clicks["item"].to_pylist(), strict=True)) == pairs
    suspicion = clicks["suspicion"].to_pylist()
    assert suspicion == sorted(suspicion, reverse=True) and 0 <= suspicion[-1] <= suspicion[0] <= 1
    for name in ("posterior", "f", "g", "percentile"):
        values = clicks[name].to_pylist()
        assert min(values) >= 0 and max(values) <= 1
    relations = {"visual", "textual", "behavior", None}
    assert set(clicks["speaks_for"].to_pylist()) | set(clicks["speaks_against"].to_pylist()) <= relations
    content = pq.read_table(run / "audit" / "content.parquet")
    assert len(content) == 2 * 80 and set(content["item"].to_pylist()) == set(ids[1])
    assert set(content["odd_modality"].to_pylist()) <= {"visual", "textual", None}
    links = pq.read_table(run / "audit" / "links.parquet")
    assert links.column_names == LINKS and set(links["neighbor"].to_pylist()) <= set(ids[1])
    assert (run / "audit.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    first = clicks.slice(0, 1).to_pylist()[0]
    shown = next(line for line in result.out.splitlines() if line.startswith(f"{first['user']}  {first['item']}"))
    assert "of what is new to the user" in shown and "synthetic" in result.out


def test_the_same_audit_again_is_the_same(fitted: CommandLine) -> None:
    fitted.ok("audit")
    path = fitted.folder / "run" / "audit" / "interactions.parquet"
    first = pq.read_table(path)
    fitted.ok("audit", "--scorer", "margin")
    assert not pq.read_table(path).equals(first)
    fitted.ok("audit")
    assert pq.read_table(path).equals(first)


def test_folds_are_trained_once(fitted: CommandLine) -> None:
    fitted.ok("audit", "--folds", "2", "--scorer", "margin")
    folder = fitted.folder / "run" / "audit"
    found = pq.read_table(folder / "interactions.parquet")
    weights = sorted(folder.glob("folds/*/model.safetensors"))
    times = [path.stat().st_mtime_ns for path in weights]
    assert len(weights) == 2
    (folder / "interactions.parquet").unlink()
    fitted.ok("audit", "--folds", "2", "--scorer", "margin")
    assert pq.read_table(folder / "interactions.parquet").equals(found)
    assert [path.stat().st_mtime_ns for path in weights] == times
    assert RunDirectory(fitted.folder / "run").commands("audit") == [["audit", "--scorer", "margin", "--folds", "2"]]
    fitted.ok("audit", "--scorer", "margin")
    assert not pq.read_table(folder / "interactions.parquet").equals(found)


def test_the_report_leaves_out_the_audit_of_another_training(fitted: CommandLine) -> None:
    page = fitted.folder / "run" / "report.html"
    fitted.ok("audit", "report")
    text = page.read_text(encoding="utf-8")
    assert "The most suspicious clicks" in text and "judged by consensus" in text
    assert "by EASE without the click" in text
    result = fitted.ok("-o", "training.seed=5", "fit", "report")
    assert "the audit is of another training" in result.err and "run `audit` again" in result.err
    assert "The most suspicious clicks" not in page.read_text(encoding="utf-8")
    damaged = fitted.folder / "run" / "audit" / "content.parquet"
    fitted.ok("-o", "training.seed=5", "audit")
    damaged.write_bytes(damaged.read_bytes() + b"!")
    assert "the audit is damaged" in fitted.ok("-o", "training.seed=5", "report").err


def test_a_system_without_f_and_g(shop: Shop) -> None:
    model = ("-o", "model.name=lightgcn")
    result = shop.cli.ok(*model, "fit", "audit")
    assert "lightgcn has no f, g and posterior: those columns are empty" in result.err
    clicks = pq.read_table(shop.cli.folder / "run" / "audit" / "interactions.parquet")
    assert clicks["f"].null_count == len(clicks) and clicks["speaks_for"].null_count == len(clicks)
    assert clicks["user"].to_pylist()[0] in range(40)  # the file's own numbers
    shop.cli.refused(*model, "audit", "--scorer", "posterior", saying=("--scorer", "terms f and g", "take "))


def test_data_without_content(shop: Shop) -> None:
    recipe = shop.cli.folder / "shop.toml"
    text = recipe.read_text()
    recipe.write_text(text.replace('visual = "visual.npy"\ntextual = "textual.npy"\n', ""))
    result = shop.cli.ok("fit", "audit")
    assert "the data set has no content, so that none is judged" in result.err
    assert len(pq.read_table(shop.cli.folder / "run" / "audit" / "content.parquet")) == 0
    shop.cli.refused("audit", "--scorer", "content", saying=("needs content",))


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        (("--scorer", "postrior"), ("postrior", "did you mean posterior")),
        (("--folds", "1"), ("--folds", "from 2 to 20")),
        (("--folds", "21"), ("--folds", "from 2 to 20")),
        (("--folds", "-1"), ("--folds",)),
    ],
)
def test_mistakes_are_one_line(fitted: CommandLine, options: tuple[str, ...], saying: tuple[str, ...]) -> None:
    fitted.refused("audit", *options, saying=saying)
    assert not (fitted.folder / "run" / "audit").exists()


def test_nothing_fitted_is_refused(tiny: CommandLine) -> None:
    tiny.refused("audit", saying=("there is no trained model", "run `fit` first"))


def test_the_scorers_are_listed_without_a_run(tiny: CommandLine) -> None:
    result = tiny.ok("audit", "--scorer", "list")
    assert all(name in result.out for name in ("posterior", "itemknn", "consensus"))
    assert not (tiny.folder / "run").exists()


def test_ids_like_formulas_stay_text(tmp_path: Path, cli: CommandLine) -> None:
    """Ids from other people's files come back as they are."""
    rows = [(f"=u{user}", f"0{item}") for user in range(12) for item in range(user % 3, 10)]
    with (tmp_path / "interactions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("user", "item"), *rows])
    (tmp_path / "own.toml").write_text(
        '[data]\nformat = "tables"\npath = "."\n[model]\nname = "lightgcn"\ndim = 4\n[training]\nepochs = 1\n'
    )
    cli.ok("--recipe", "own.toml", "--run", "run", "fit", "audit", "--top", "1")
    clicks = pq.read_table(tmp_path / "run" / "audit" / "interactions.parquet")
    assert clicks["user"].to_pylist()[0].startswith("=u") and clicks["item"].to_pylist()[0].startswith("0")


def test_known_noise_judges_the_suspicions(fitted: CommandLine) -> None:
    shop = synthetic_shop(users=150, items=80, styles=6)
    users, items = shop.dataset.user_ids.to_pylist(), shop.dataset.item_ids.to_pylist()
    train = shop.dataset.train
    clicks = list(zip(train.users.tolist(), train.items.tolist(), shop.noisy_clicks.tolist(), strict=True))
    truth = fitted.folder / "truth.csv"
    rows = [f"{users[user]},{items[item]},{int(noisy)}" for user, item, noisy in clicks]
    truth.write_text("\n".join(["user,item,is_noise", *rows, "nobody,nothing,1"]))
    result = fitted.ok("audit", "--top", "0", "--truth", str(truth))
    found = pq.read_table(fitted.folder / "run" / "audit" / "interactions.parquet")
    noisy = {(users[user], items[item]) for user, item, noisy in clicks if noisy}
    labels = [pair in noisy for pair in zip(found["user"].to_pylist(), found["item"].to_pylist(), strict=True)]
    line = result.out[result.out.index("known noise") :].splitlines()[2]
    assert float(line.split()[1]) == pytest.approx(roc_auc_score(labels, found["suspicion"].to_numpy()), abs=6e-5)
    truth.write_text("\n".join(["user,item,is_noise", *rows[1:9], rows[0].rpartition(",")[0] + ",maybe"]))
    fitted.refused("audit", "--truth", str(truth), saying=("neither 0 nor 1 in 1 rows, the first 'maybe'",))
    truth.write_text("\n".join(["user,item,is_noise", *rows[:5], rows[5].rpartition(",")[0] + ",2"]))
    fitted.refused("audit", "--truth", str(truth), saying=("neither 0 nor 1 in 1 rows, the first 2",))
    truth.write_text("\n".join(["user,item,is_noise", *rows[:5], rows[5].rpartition(",")[0] + ","]))
    fitted.refused("audit", "--truth", str(truth), saying=("neither 0 nor 1 in 1 rows",))
    truth.write_text("user,item,is_noise\nnobody,nothing,1\n")
    fitted.refused("audit", "--truth", str(truth), saying=("truth.csv", "there is nothing to tell apart"))


def test_a_scorer_that_cannot_serve_is_refused_before_models_are_trained(tiny: CommandLine) -> None:
    model = ("-o", "model.name=lightgcn")
    tiny.ok(*model, "fit")
    tiny.refused(*model, "audit", "--scorer", "belief", "--folds", "2", saying=("'belief' needs a system with",))
    assert not (tiny.folder / "run" / "audit" / "folds").exists()


def test_a_scorer_that_is_none_is_refused_before_a_fit_is_missed(tiny: CommandLine) -> None:
    tiny.refused("audit", "--scorer", "nope", saying=("there is no scorer 'nope'",))


def test_a_fold_of_more_epochs_stands_for_no_training_of_fewer(tiny: CommandLine) -> None:
    model = ("-o", "model.name=mf", "-o", "training.evaluate_every=4")  # the last epoch is the best
    found = []
    for run, epochs in (("a", 4), ("a", 1), ("b", 1)):
        tiny.ok("--run", run, *model, "-o", f"training.epochs={epochs}", "fit", "--restart", "audit", "--folds", "2")
        found.append(pq.read_table(tiny.folder / run / "audit" / "interactions.parquet"))
    assert found[1].equals(found[2]) and not found[0].equals(found[1])
