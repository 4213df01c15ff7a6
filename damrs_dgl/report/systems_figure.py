"""Systems side by side: a point each with its standard error over seeds, and the paper's figure beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from damrs_dgl.errors import DataError
from damrs_dgl.files import whole_file
from damrs_dgl.report.figures import METRIC_LABELS, PALETTE, TEXT_GREY, standard_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINE = "#DDDDDD"
_PANEL_WIDTH, _ROW_HEIGHT = 4.2, 0.3  # inches


def systems_figure(
    rows: Sequence[Mapping[str, Any]],
    path: str | Path,
    *,
    metric_labels: Mapping[str, str] = METRIC_LABELS,
    title: str = "Test quality of systems",
    subtitle: str | None = None,
    dpi: int = 150,
) -> Path:
    """Draw a PNG: a panel for each metric, a line for each system, the first on top.

    Parameters
    ----------
    rows: dicts with "system", "seed" and the metrics; several seeds of a system become their mean with a bar of its
        standard error to both sides. "paper_<metric>" is drawn beside it where a row has it.
    path: the file to write, whole or not at all.  metric_labels: the metrics to draw, and how they are called.
    title, subtitle: above the panels.

    Returns ``path``. Raises ``DataError`` for no rows.
    """
    if not rows:
        raise DataError("there is nothing to draw: no rows", where="figure of systems")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    systems = list(dict.fromkeys(str(row["system"]) for row in rows))
    size = (_PANEL_WIDTH * len(metric_labels) + 1.2, _ROW_HEIGHT * len(systems) + 1.9)
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, wspace=0.04)
    figure = Figure(figsize=size, dpi=dpi, layout=layout)
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(metric_labels), sharey=True, squeeze=False)[0]
    for axes, (metric, label) in zip(panels, metric_labels.items(), strict=True):
        _draw_panel(axes, rows, systems, metric)
        axes.set_xlabel(f"Test {label}", fontsize=9)
    panels[0].set_yticks(range(len(systems)), systems)
    panels[0].set_ylim(len(systems) - 0.5, -0.5)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    figure.suptitle(f"{title}\n" if subtitle else title, fontsize=12, fontweight="bold")
    if subtitle:  # on the title's second line, which is left empty for it
        figure.text(0.5, 1.0, f"\n\n{subtitle}", ha="center", va="top", fontsize=9, color=TEXT_GREY)
    path = Path(path)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png")
    return path


def _draw_panel(axes: Axes, rows: Sequence[Mapping[str, Any]], systems: Sequence[str], metric: str) -> None:
    several = len({row.get("seed") for row in rows}) > 1
    for place, system in enumerate(systems):
        own = [row for row in rows if row["system"] == system]
        values = [float(row[metric]) for row in own]
        found = "found here, mean and standard error over seeds" if several else "found here"
        axes.errorbar(
            [fmean(values)],
            [place],
            xerr=[standard_error(values)] if several else None,
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
    axes.grid(color=_LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(labelsize=8, color=TEXT_GREY, left=False)
    axes.margins(x=0.08)
