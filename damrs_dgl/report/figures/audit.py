"""The audit's picture: how suspicion is spread over clicks, content and cut links."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from damrs_dgl.report.audit_words import links_by_rule
from damrs_dgl.report.figures.drawing import (
    PALETTE,
    TEXT_GREY,
    new_figure,
    save_png,
    shortened,
    style_axes,
    write_titles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES_PER_BAR, _INCHES_PER_NAME = 0.5, 0.17  # of links, and in the legend
_MOST_LETTERS = 26  # of a relation's name beside a bar
_DASHES = ("-", "--", "-.", ":", "-")  # so that colour is not needed to tell modalities apart


def audit_figure(tables: Mapping[str, pa.Table], path: Path, *, title: str, subtitle: str) -> Path:
    """Draw a PNG of three panels: clicks by suspicion, the fit of each modality's content, links cut by each rule.

    `tables`: the audit's, by name.  `title`, `subtitle`: above. Raises StorageError where it cannot be written.
    """
    bars = len(links_by_rule(tables["links"]))
    names = len(pc.unique(tables["content"]["modality"]))
    figure = new_figure(12, max(4.2, 1.8 + _INCHES_PER_BAR * bars) + _INCHES_PER_NAME * names)
    clicks, content, links = figure.subplots(1, 3)
    _clicks(clicks, tables["interactions"])
    _content(content, tables["content"])
    _links(links, tables["links"])
    for axes in (clicks, content, links):
        axes.title.set_fontsize(10)
        style_axes(axes, grid=None)
    write_titles(figure, title, subtitle)
    return save_png(figure, path)


def _clicks(axes: Axes, table: pa.Table) -> None:
    axes.hist(table["suspicion"].to_numpy(), bins=[step / 40 for step in range(41)], color=PALETTE[0])
    axes.set_title(f"{len(table):,} training clicks")
    axes.set_xlabel("suspicion")
    axes.set_ylabel("clicks")


def _content(axes: Axes, table: pa.Table) -> None:
    axes.set_title("Content against what the same users chose")
    axes.set_xlabel("standard deviations from the mean (-4: and below)")
    axes.set_ylabel("items")
    names = pc.unique(table["modality"]).to_pylist()
    for number, name in enumerate(names):
        values = table.filter(pc.equal(table["modality"], name))["agrees_with_behavior"].drop_null().to_numpy()
        axes.hist(
            np.clip(values, -4, 4),  # the bars at both ends hold what lies beyond
            bins=[step / 5 for step in range(-20, 21)],
            histtype="step",
            color=PALETTE[number % len(PALETTE)],
            linestyle=_DASHES[number % len(_DASHES)],
            label=name,
        )
    if names:
        axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.18))
    else:
        axes.text(0.5, 0.5, "no content", ha="center", transform=axes.transAxes, color=TEXT_GREY)


def _links(axes: Axes, table: pa.Table) -> None:
    axes.set_title(f"{len(table):,} links cut")
    axes.set_xlabel("links")
    cut = sorted(links_by_rule(table))
    axes.barh(range(len(cut)), [count for _, _, count in cut], color=PALETTE[0])
    axes.set_yticks(range(len(cut)), [_bar_label(relation, rule) for relation, rule, _ in cut])
    if not cut:
        axes.text(0.5, 0.5, "none", ha="center", transform=axes.transAxes, color=TEXT_GREY)


def _bar_label(relation: str, rule: str) -> str:
    return f"{shortened(relation, _MOST_LETTERS)}:\n" + rule.replace(" (", "\n(")
