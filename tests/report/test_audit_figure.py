"""The audit's picture is drawn also where there is little to show."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.image import imread

from damrs_dgl.report.figures.audit import audit_figure

CLICKS = pa.table({"suspicion": [0.0, 0.5, 1.0]})
CONTENT = pa.table({"modality": ["visual", "visual", "textual"], "agrees_with_behavior": [0.5, None, -2.0]})
LINKS = pa.table({"modality": ["visual", "behavior"], "rule": ["below (Eq. 1)", "too few (Eq. 2)"]})


@pytest.mark.parametrize(
    "tables",
    [
        {"interactions": CLICKS, "content": CONTENT, "links": LINKS},
        {"interactions": CLICKS, "content": CONTENT.slice(0, 0), "links": LINKS.slice(0, 0)},
    ],
    ids=["all", "clicks alone"],
)
def test_it_is_drawn(tables: dict[str, pa.Table], tmp_path: Path) -> None:
    path = audit_figure(tables, tmp_path / "audit.png", title="a shop", subtitle="by consensus")
    picture = imread(path)
    assert picture.shape[1] > 1500 and np.unique(picture[..., :3].reshape(-1, 3), axis=0).shape[0] > 20
    assert not list(tmp_path.glob("*.tmp"))


def test_each_relation_and_rule_has_a_bar_of_its_links(tmp_path: Path, drawn: list[Any]) -> None:
    links = pa.concat_tables([LINKS, LINKS.slice(0, 1)])
    tables = {"interactions": CLICKS, "content": CONTENT, "links": links}
    audit_figure(tables, tmp_path / "audit.png", title="a shop", subtitle="by consensus")
    bars = drawn[0].axes[2]
    assert [bar.get_width() for bar in bars.patches] == [1, 2]
    labels = [label.get_text() for label in bars.get_yticklabels()]
    assert labels == ["behavior:\ntoo few\n(Eq. 2)", "visual:\nbelow\n(Eq. 1)"]


def test_long_names_lie_across_nothing(tmp_path: Path, drawn: list[Any]) -> None:
    names = [f"modality_number_{n}_whose_name_has_39_letter" for n in range(5)]
    content = pa.table({"modality": names * 4, "agrees_with_behavior": [0.1 * n for n in range(20)]})
    rules = [f"below the mean of {whose} modality (Eq. 1)" for whose in ("its own", "another")]
    links = pa.table({"modality": names * 2, "rule": [rule for rule in rules for _ in names]})
    tables = {"interactions": CLICKS, "content": content, "links": links}
    audit_figure(tables, tmp_path / "audit.png", title="a shop", subtitle="by consensus")
    _, middle, right = drawn[0].axes
    legend = middle.get_legend()
    assert legend is not None
    below = legend.get_window_extent()
    assert below.y1 < middle.xaxis.label.get_window_extent().y0 and below.y0 > 0
    boxes = sorted((label.get_window_extent() for label in right.get_yticklabels()), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))
    assert min(box.x0 for box in boxes) > middle.get_window_extent().x1
