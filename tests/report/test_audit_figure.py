"""The audit's picture is drawn also where there is little to show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.image import imread

from damrs_dgl.report.audit_figure import audit_figure

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
