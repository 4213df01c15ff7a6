"""What a report is made of: tables of studies, item vectors, pictures, and the words for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from damrs_dgl import stages
from damrs_dgl.data import MultimodalDataset
from damrs_dgl.errors import DataError, RunError
from damrs_dgl.report.audit_words import click_reason, content_reason
from damrs_dgl.report.blocks import Figures, Picture, Table
from damrs_dgl.report.inputs import ReportInputs, audit_tables, read_table
from damrs_dgl.report.item_vectors import vector_views
from damrs_dgl.report.pictures import PictureFolder
from damrs_dgl.report.sections.audit import top
from damrs_dgl.report.sections.data import degree_chart
from damrs_dgl.report.sections.groups import groups_section
from damrs_dgl.report.sections.overview import overview_section
from damrs_dgl.report.sections.studies import STUDIES, pair_tables, study_tables
from damrs_dgl.report.sections.systems import ablation_section, comparison_section
from damrs_dgl.report.sections.training import loss_terms, training_section
from damrs_dgl.report.sections.tuning import tuning_section
from damrs_dgl.storage.run import RunDirectory
from tests.graphs.test_agreement import shop, slow_neighbors, users_by_item


def inputs(**more: Any) -> ReportInputs:
    dataset = MultimodalDataset.from_arrays(["a", "b", "c"], [0, 1, 2], split=[0, 1, 2])
    summary = dataset.describe()
    given: dict[str, Any] = {"name": "shop", "synthetic": False, "system": "damrs", "recipe_text": "", "written": ""}
    return ReportInputs(**{**given, "dataset": dataset, "summary": summary, **more})


def texts(section: Any) -> str:
    found = [getattr(block, "text", "") for block in section.blocks]
    found += [sentence for block in section.blocks for sentence in getattr(block, "sentences", ())]
    return "\n".join(found)


def metrics(own: float, other: float) -> dict[str, Any]:
    """A model whose validation is `own` beside an ItemKNN of `other`; on test it is the other way round."""
    floor = {"itemknn": {"validation": {"recall@20": other}, "test": {"recall@20": own}}}
    return {"validation": {"recall@20": own}, "test": {"recall@20": other}, "floor": floor}


def test_validation_says_whether_the_simple_systems_are_beaten() -> None:
    assert "does not beat itemknn" in texts(overview_section(inputs(metrics=metrics(0.1, 0.2))))
    assert "the better of the simple systems" in texts(overview_section(inputs(metrics=metrics(0.2, 0.1))))
    own = texts(overview_section(inputs(metrics=metrics(0.1, 0.2), system="itemknn")))
    assert "does not beat itemknn, defaults" in own  # the same system with other keys


def test_what_is_missing_is_named() -> None:
    said = texts(overview_section(inputs()))
    assert all(
        word in said for word in ("fit and evaluate", "compare (", "ablate (", "stress (", "groups (", "audit (")
    )
    assert "compare (" not in texts(overview_section(inputs(tables={"compare": [{"system": "a"}]})))


def test_each_study_is_a_stage_and_has_no_section_without_a_table() -> None:
    assert [study.name for study in STUDIES if not hasattr(stages, study.name)] == []
    assert [study.name for study in STUDIES if study.section(inputs()) is not None] == []


def stressed(visual: tuple[float, float], feedback: tuple[float, float]) -> str:
    """The overview of a study under two kinds of noise, in which clean data give recalls of 0.2 and 0.4."""
    reached = {("visual", 0.0): (0.2, 0.4), ("visual", 0.1): visual, ("feedback", 0.0): (0.2, 0.4)}
    reached["feedback", 0.2] = feedback
    rows = [
        {"system": "damrs", "noise": noise, "ratio": ratio, "seed": seed, "recall@20": recall}
        for (noise, ratio), values in reached.items()
        for seed, recall in enumerate(values)
    ]
    return texts(overview_section(inputs(tables={"stress": rows}, system="damrs")))


def test_what_costs_most_is_told_as_the_table_of_means_has_it() -> None:
    assert "20% of feedback costs damrs most: 25.0% of" in stressed(visual=(0.1, 0.4), feedback=(0.15, 0.3))
    assert "10% of visual costs damrs most: 33.3% of" in stressed(visual=(0.2, 0.2), feedback=(0.1, 0.4))
    assert "None of the noise that was tried costs damrs" in stressed(visual=(0.2, 0.5), feedback=(0.2, 0.4))


def test_seeds_become_a_mean_with_its_standard_error() -> None:
    rows = [{"system": "damrs", "seed": seed, "recall@20": value} for seed, value in enumerate((0.1, 0.2, 0.6))]
    rows += [{"system": "broken", "seed": 0.0, "error": "no room"}]
    section = comparison_section(inputs(tables={"compare": rows}))
    assert section is not None
    (numbers,) = [block for block in section.blocks if isinstance(block, Table)]
    assert numbers.rows == [["damrs", 3, "0.3000 ± 0.1528"]]  # 0.2646 / sqrt(3)
    assert "broken is not there: no room" in texts(section)
    assert ablation_section(inputs()) is None


def test_pairs_are_told_with_the_study_they_are_of() -> None:
    rows = [{"system": name, "seed": 0, "recall@20": value} for name, value in (("iig", 0.1), ("da-mrs", 0.2))]
    pair = {"metric": "recall@20", "system": "iig", "against": "da-mrs", "difference": -0.1, "low": -0.2, "high": -0.01}
    pairs = {"ablate": [{**pair, "p_value": 0.01, "p_value_holm": 0.02}]}
    tables = {"ablate": rows, "compare": rows}
    assert "1 of 1 differences" in texts(ablation_section(inputs(tables=tables, pairs=pairs)))
    assert "differences" not in texts(comparison_section(inputs(tables=tables, pairs=pairs)))


def test_papers_figures_stand_beside() -> None:
    rows = [{"system": "damrs", "seed": 0.0, "recall@20": 0.1, "validation_recall@20": 0.2, "paper_recall@20": 0.0963}]
    section = comparison_section(inputs(tables={"compare": rows}))
    assert section is not None
    (numbers,) = [block for block in section.blocks if isinstance(block, Table)]
    assert list(numbers.columns) == ["system", "seeds", "Recall@20", "paper: Recall@20"]


def test_counts_are_whole_and_names_stay_text(tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_text(
        "by,group,low,high,system,value\nusers,1,1,1,mf,0.5\nusers,2 and more,2,,mf,1.0\n"
    )
    first, second = study_tables(RunDirectory(tmp_path), ["groups"])["groups"]
    assert first == {"by": "users", "group": "1", "low": 1, "high": 1, "system": "mf", "value": 0.5}
    assert isinstance(first["low"], int) and isinstance(second["value"], float)


def test_a_group_has_its_span_once() -> None:
    spans = [
        ("1", 1, 1),
        ("2 to 4", 2, 4),
        ("5 and more", 5, None),
        ("new", 0, 5),
        ("active", 50, None),
        ("x", None, None),
    ]
    rows = [
        {"by": "users", "group": name, "low": low, "high": high, "system": "mf", "metric": "recall@20", "value": 0.5}
        for name, low, high in spans
    ]
    section = groups_section(inputs(tables={"groups": rows}))
    assert section is not None
    (figures,) = [block for block in section.blocks if isinstance(block, Figures)]
    numbers = figures.figures[0].numbers
    assert numbers is not None
    names = [row[0] for row in numbers.rows]
    assert names == ["1", "2 to 4", "5 and more", "new (0 to 5)", "active (50 and more)", "x"]
    assert numbers.numeric()[:2] == [False, False]


def test_trials_show_what_differs_between_them() -> None:
    same = {"search": "grid, seed 0, the grid of mf", "state": "finished", "model.dim": 64, "validation_ndcg@20": 0.1}
    rows = [
        {
            "trial": 0,
            **same,
            "training.learning_rate": None,
            "validation_recall@20": 0.2,
            "epochs": 6,
            "seconds": 1.041,
        },
        {
            "trial": 1,
            **same,
            "training.learning_rate": 0.000123918,
            "validation_recall@20": 0.3,
            "epochs": 6,
            "seconds": 2,
        },
        {"trial": 2, **same, "training.learning_rate": 0.01, "error": "no room"},
    ]
    section = tuning_section(inputs(tables={"tune": rows}))
    assert section is not None
    (table,) = [block for block in section.blocks if isinstance(block, Table)]
    columns = ["trial", "state", "training.learning_rate", "validation Recall@20", "epochs", "seconds"]
    assert table.columns == columns
    assert [[text for text, _ in row] for row in table.cells()] == [
        ["1", "finished", "0.0001239", "0.3000", "6", "2.0"],
        ["0", "finished", "-", "0.2000", "6", "1.0"],
        ["2", "finished", "0.01", "-", "-", "-"],
    ]


def test_one_epoch_is_no_closed_form() -> None:
    history = [{"epoch": 1, "loss": 0.7, "validation_recall@20": 0.25, "shrinkage": 3.0, "seconds": 1.0}]
    trained = training_section(inputs(histories={"damrs": history}))
    computed = training_section(inputs(histories={"damrs": history}, closed_form=frozenset({"damrs"})))
    assert trained is not None and computed is not None
    assert "in epoch 1 of 1" in texts(trained) and any(isinstance(block, Figures) for block in trained.blocks)
    said = "Computed in closed form, no curve to draw (validation recall@20 0.2500, 1.0 s)."
    assert texts(computed) == f"{said} Chosen on validation: shrinkage 3."


def test_tables_are_read_as_numbers_and_gaps(tmp_path: Path) -> None:
    (tmp_path / "stress.csv").write_text("model,ratio,recall@20,error\ndamrs,0.1,,\nmf,0,0.25,no room\n")
    run = RunDirectory(tmp_path)
    assert study_tables(run, [study.name for study in STUDIES]) == {
        "stress": [
            {"model": "damrs", "ratio": 0.1, "recall@20": None, "error": None},
            {"model": "mf", "ratio": 0.0, "recall@20": 0.25, "error": "no room"},
        ]
    }
    (tmp_path / "ablate_pairs.csv").write_text("metric,system,against,users\nndcg@20,1,2,3\n")
    pair = {"metric": "ndcg@20", "system": "1", "against": "2", "users": 3}
    assert pair_tables(run, ["ablate", "compare"]) == {"ablate": [pair]} and pair_tables(run, ["compare"]) == {}
    assert read_table(tmp_path / "none.csv", ()) == []
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunError, match=r"bad.csv: cannot be read as a table"):
        read_table(tmp_path / "bad.csv", ())
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "links.parquet").write_bytes(b"no parquet")
    with pytest.raises(RunError, match=r"links.parquet: is damaged"):
        audit_tables(tmp_path)


def test_item_vectors_are_judged_as_a_slow_count_does() -> None:
    dataset = shop()
    features = dataset.features["pictures"]
    (view,) = vector_views([("one", "", torch.from_numpy(features.values))], dataset, seed=0)
    users = users_by_item(dataset)
    edges = [(i, j) for i, near in slow_neighbors(features, 10).items() for j in near if users[i] and users[j]]
    assert view.co_consumed == pytest.approx(sum(bool(users[i] & users[j]) for i, j in edges) / len(edges))
    trained = [item for item in range(dataset.num_items) if users[item]]
    units = features.values[trained]
    units = units / np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-12)
    above = np.triu_indices(len(units), 1)
    present = (units[above[0]] - units[above[1]]) ** 2
    assert view.uniformity == pytest.approx(np.log(np.exp(-2 * present.sum(1)).mean()), abs=1e-5)
    assert view.points.shape == (len(trained), 2) and 0 < view.popular.sum() < len(trained)
    again = vector_views([("one", "", torch.from_numpy(features.values))], dataset, seed=0)[0]
    assert np.array_equal(view.points, again.points)


def test_too_few_items_have_no_cloud() -> None:
    small = inputs().dataset
    assert vector_views([("one", "", torch.eye(3))], small, seed=0) == []


def test_degrees_fall_into_bars_that_double() -> None:
    figure = degree_chart("t", np.array([0, 1, 1, 2, 3, 4, 5, 9, 17]), "clicks", "users")
    assert figure.numbers is not None
    assert [(label, count) for label, count in figure.numbers.rows] == [
        ("0", 1), ("1", 2), ("2", 1), ("3-4", 2), ("5-8", 1), ("9-16", 1), ("17+", 1),
    ]  # fmt: skip
    assert "Median 3, mean 4.7, most 17" in figure.caption
    assert degree_chart("t", np.array([], dtype=np.int64), "clicks", "users").numbers is not None


def test_reasons_are_sentences() -> None:
    row = {"percentile": 0.12, "speaks_against": "visual", "speaks_for": None}
    said = "The model ranks it above 12% of what is new to the user; visual speaks most against it; no relation speaks "
    assert click_reason(row) == f"{said}for it."
    assert click_reason({"percentile": None}) == "-"
    assert click_reason({"percentile": 0.97}).startswith(
        "The model, which has learned it, still ranks it above 97% of "
    )
    row = {"modality": "visual", "odd_modality": "visual", "agrees_with_behavior": -1.5, "agrees_with_content": None}
    assert content_reason(row) == "Unlike what the same users chose (-1.5 sd); the odd one of its modalities."


def test_the_most_suspicious_come_first_and_the_unknown_last() -> None:
    table = pa.table({"item": ["a", "b", "c"], "suspicion": [0.2, None, 0.9]})
    assert [row["item"] for row in top(table)] == ["c", "a", "b"]


def test_pictures_are_found_by_item_id(tmp_path: Path) -> None:
    Image.new("RGBA", (300, 100), (255, 0, 0, 128)).save(tmp_path / "a.b.png")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    pictures = PictureFolder(tmp_path)
    found = pictures.of("a.b")
    assert isinstance(found, Picture) and found.address.startswith("data:image/jpeg;base64,")
    assert pictures.of("broken") is None and pictures.of("../a.b") is None and pictures.of(7) is None
    assert pictures.missing == 3
    with pytest.raises(DataError, match="no such folder"):
        PictureFolder(tmp_path / "none")


def test_terms_of_a_loss_are_told_from_scores_and_times() -> None:
    row = {
        "epoch": 1,
        "loss": 3.0,
        "feedback": 2.0,
        "relations": 1.0,
        "validation_recall@20": 0.1,
        "train_seconds": 1.0,
    }
    assert loss_terms([row]) == ["feedback", "relations"]
    assert loss_terms([{"epoch": 1, "loss": 3.0}]) == ["loss"]
