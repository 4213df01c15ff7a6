"""Systems side by side: a point each with its standard error over seeds, and the paper's figure beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from damrs_dgl.errors import DataError
from damrs_dgl.evaluation.labels import HEADLINE, metric_label
from damrs_dgl.evaluation.spread import standard_error
from damrs_dgl.report.figures.drawing import (
    PALETTE,
    new_figure,
    save_png,
    style_axes,
    write_legend,
    write_titles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PANEL_WIDTH, _ROW_HEIGHT = 4.2, 0.3  # inches


def systems_figure(
    rows: Sequence[Mapping[str, Any]],
    path: str | Path,
    *,
    title: str = "Test quality of systems",
    subtitle: str | None = None,
) -> Path:
    """Draw a PNG: a panel for each metric, a line for each system, the first on top.

    Parameters
    ----------
    rows: dicts with "system", "seed" and the metrics; several seeds of a system become their mean with a bar of its
        standard error to both sides. "paper_<metric>" is drawn beside it where a row has it.
    path: the file to write, whole or not at all.
    title, subtitle: above the panels.

    Returns ``path``. Raises ``DataError`` for no rows.
    """
    if not rows:
        raise DataError("there is nothing to draw: no rows", where="figure of systems")
    systems = list(dict.fromkeys(str(row["system"]) for row in rows))
    figure = new_figure(_PANEL_WIDTH * len(HEADLINE) + 1.2, _ROW_HEIGHT * len(systems) + 1.9)
    panels = figure.subplots(1, len(HEADLINE), sharey=True, squeeze=False)[0]
    for axes, metric in zip(panels, HEADLINE, strict=True):
        _draw_panel(axes, rows, systems, metric)
        axes.set_xlabel(f"Test {metric_label(metric)}")
        style_axes(axes, hidden=("top", "right", "left"), grid="both")
    panels[0].set_yticks(range(len(systems)), systems)
    panels[0].set_ylim(len(systems) - 0.5, -0.5)
    write_legend(figure, panels[0])
    write_titles(figure, title, subtitle)
    return save_png(figure, path)


def _draw_panel(axes: Axes, rows: Sequence[Mapping[str, Any]], systems: Sequence[str], metric: str) -> None:
    several = len({row.get("seed") for row in rows}) > 1
    for place, system in enumerate(systems):
        own = [row for row in rows if row["system"] == system]
        values = [float(row[metric]) for row in own]
        found = "found here, mean and standard error over seeds" if several else "found here"
        axes.errorbar(
            [fmean(values)],
            [place],
            xerr=[standard_error(values) or 0.0] if several else None,
            fmt="o",
            color=PALETTE[0],
            markersize=6,
            capsize=3,
            label=None if place else found,
        )
    column = f"paper_{metric}"
    published = {systems.index(row["system"]): float(row[column]) for row in rows if row.get(column) not in (None, "")}
    if published:
        axes.plot(
            list(published.values()),
            list(published),
            linestyle="none",
            marker="D",
            markersize=6,
            markerfacecolor="none",
            color=PALETTE[1],
            label="the paper",
        )
    axes.tick_params(left=False)
    axes.margins(x=0.08)
