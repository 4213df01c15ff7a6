"""The stress plot: what growing noise does to each system, in the manner of the paper's Figures 3 and 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from damrs_dgl.errors import DataError
from damrs_dgl.evaluation.labels import HEADLINE, metric_label
from damrs_dgl.report.figures.drawing import (
    PALETTE,
    new_figure,
    save_png,
    style_axes,
    write_legend,
    write_titles,
)
from damrs_dgl.report.noise import noise_labels, points_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_PANEL_WIDTH, _PANEL_HEIGHT = 4.2, 2.9  # inches
_TITLE_LETTERS = 38  # on a line above a panel


def stress_figure(
    rows: Sequence[Mapping[str, Any]],
    path: str | Path,
    *,
    subtitle: str | None = None,
) -> Path:
    """Draw a PNG: a row of panels for each kind of noise, a column for each metric, a line for each system.

    Parameters
    ----------
    rows: dicts with "system", "noise", "ratio" (0.05 is 5 %), "seed" and the metrics; several seeds of one point become
        their mean with a band of its standard error (s / sqrt(n), n - 1 in s). Systems and noises keep the order they
        first appear in.
    path: the file to write, whole or not at all.
    subtitle: above the panels, what a reader must know, e.g. "synthetic data".

    Returns ``path``. Raises ``DataError`` for no rows or a row without a needed key, and ``StorageError`` where the
    file cannot be written.
    """
    _check(rows)
    noises, systems = (_distinct(rows, key) for key in ("noise", "system"))
    figure = new_figure(_PANEL_WIDTH * len(HEADLINE), _PANEL_HEIGHT * len(noises) + 1.1)
    panels = figure.subplots(len(noises), len(HEADLINE), squeeze=False, sharex=True, sharey="col")
    ratios = sorted({100 * float(row["ratio"]) for row in rows})
    for noise, panel_row in zip(noises, panels, strict=True):
        name, axis = noise_labels(noise)
        for metric, axes in zip(HEADLINE, panel_row, strict=True):
            own = [row for row in rows if str(row["noise"]) == noise]
            _draw_panel(axes, own, systems, metric)
            axes.set_title(fill(name, _TITLE_LETTERS), fontsize=10)
            axes.set_ylabel(f"Test {metric_label(metric)}")
            axes.set_xlabel(axis)
            axes.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios])
            axes.tick_params(labelbottom=True, labelleft=True)
            axes.margins(x=0.05, y=0.08)
            style_axes(axes)
    write_titles(figure, "Test quality as noise grows", _with_spread(subtitle, rows))
    write_legend(figure, panels[0, 0])
    return save_png(figure, path)


def _check(rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        raise DataError("there is nothing to draw: no rows", where="stress figure")
    for number, row in enumerate(rows):
        missing = [key for key in ("system", "noise", "ratio", *HEADLINE) if key not in row]
        if missing:
            raise DataError(f"row {number} has no {', '.join(missing)}", where="stress figure")


def _distinct(rows: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(str(row[key]) for row in rows))


def _draw_panel(axes: Axes, rows: Sequence[Mapping[str, Any]], systems: Sequence[str], metric: str) -> None:
    """One line a system. A system without rows of this noise has an empty line."""
    for position, system in enumerate(systems):
        points = points_of([row for row in rows if str(row["system"]) == system], metric)
        ratios, means = [point.ratio for point in points], [point.mean for point in points]
        colour = PALETTE[position % len(PALETTE)]
        axes.plot(
            ratios,
            means,
            color=colour,
            marker=_MARKERS[position % len(_MARKERS)],
            markersize=5,
            linewidth=1.6,
            label=system,
        )
        if any(point.error is not None for point in points):
            lower = [point.mean - (point.error or 0.0) for point in points]
            upper = [point.mean + (point.error or 0.0) for point in points]
            axes.fill_between(ratios, lower, upper, color=colour, alpha=0.22, linewidth=0)


def _with_spread(subtitle: str | None, rows: Sequence[Mapping[str, Any]]) -> str:
    """The subtitle, and what the bands mean where there are any."""
    seeds = len({row.get("seed") for row in rows})
    spread = "line: mean over seeds, band: its standard error" if seeds > 1 else ""
    return "; ".join(part for part in (subtitle, spread) if part)
