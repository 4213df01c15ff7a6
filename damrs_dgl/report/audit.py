"""The audit's picture: how suspicion is spread over clicks, content and cut links."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from damrs_dgl.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _GREY = "#0072B2", "#555555"
# Okabe and Ito's palette and as many kinds of line, so that colour is not needed to tell modalities apart
_LINES = (("#0072B2", "-"), ("#D55E00", "--"), ("#009E73", "-."), ("#CC79A7", ":"), ("#000000", "-"))


def audit_figure(tables: Mapping[str, pa.Table], path: Path, *, title: str, subtitle: str, dpi: int = 150) -> Path:
    """Draw a PNG of three panels: clicks by suspicion, the fit of each modality's content, links cut by each rule.

    `tables`: the audit's, by name.  `title`, `subtitle`: above. Raises StorageError where it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.2), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    clicks, content, links = figure.subplots(1, 3)
    _clicks(clicks, tables["interactions"])
    _content(content, tables["content"])
    _links(links, tables["links"])
    for axes in (clicks, content, links):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, color=_GREY)
        axes.title.set_fontsize(10)
    figure.suptitle(f"{title}\n{subtitle}", fontsize=11)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png")
    return path


def _clicks(axes: Axes, table: pa.Table) -> None:
    axes.hist(table["suspicion"].to_numpy(), bins=[step / 40 for step in range(41)], color=_BLUE)
    axes.set_title(f"{len(table):,} training clicks")
    axes.set_xlabel("suspicion", fontsize=9)
    axes.set_ylabel("clicks", fontsize=9)


def _content(axes: Axes, table: pa.Table) -> None:
    axes.set_title("Content against what the same users chose")
    axes.set_xlabel("agreement, standard deviations from the mean", fontsize=9)
    axes.set_ylabel("items", fontsize=9)
    names = pc.unique(table["modality"]).to_pylist()
    for number, name in enumerate(names):
        values = table.filter(pc.equal(table["modality"], name))["agrees_with_behavior"].drop_null().to_numpy()
        colour, line = _LINES[number % len(_LINES)]
        axes.hist(
            values,
            bins=[step / 5 for step in range(-20, 21)],
            histtype="step",
            color=colour,
            linestyle=line,
            label=name,
        )
    if names:
        axes.legend(frameon=False, fontsize=8)
    else:
        axes.text(0.5, 0.5, "no content", ha="center", transform=axes.transAxes, color=_GREY)


def _links(axes: Axes, table: pa.Table) -> None:
    axes.set_title(f"{len(table):,} links cut")
    axes.set_xlabel("links", fontsize=9)
    columns = [table[name].to_pylist() for name in ("modality", "rule")]
    names = [f"{relation}: {rule}" for relation, rule in zip(*columns, strict=True)]
    rules, counts = np.unique(np.array(names, dtype=str), return_counts=True)
    axes.barh(np.arange(len(rules)), counts, color=_BLUE)
    axes.set_yticks(np.arange(len(rules)), [rule.replace(": ", ":\n").replace(" (", "\n(") for rule in rules])
    if not len(rules):
        axes.text(0.5, 0.5, "none", ha="center", transform=axes.transAxes, color=_GREY)
