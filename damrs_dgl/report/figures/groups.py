"""The groups plot: how well each system serves users by their activity, and finds items by their popularity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from damrs_dgl.errors import DataError
from damrs_dgl.evaluation.labels import metric_label, span_text
from damrs_dgl.report.figures.drawing import PALETTE, new_figure, save_png, style_axes, write_legend, write_titles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HATCHES = ("", "///", "...", "xx", "\\\\\\", "++")  # told apart in grey, too
_PANEL_HEIGHT, _INCHES_PER_GROUP = 3.4, 1.25


def groups_figure(rows: Sequence[Mapping[str, Any]], path: str | Path, *, metric: str, subtitle: str = "") -> Path:
    """Draw a PNG: a panel of users and one of items, a cluster of bars for each group, a bar for each system.

    Parameters
    ----------
    rows: as `groups.csv` holds them: by, group, low, high, counted, system, metric, value, standard_error, users.
    path: the file to write, whole or not at all.
    metric: which metric to draw, e.g. "recall@20". The line on a bar is one standard error over users to each side.
    subtitle: below the title, what a reader must know.

    Returns ``path``. Raises ``DataError`` where no row has the metric, and ``StorageError`` where the file cannot be
    written.
    """
    drawn = [row for row in rows if row["metric"] == metric]
    if not drawn:
        raise DataError(f"there is nothing to draw: no row of {metric}", where="groups figure")
    panels = list(dict.fromkeys(row["by"] for row in drawn))
    systems = list(dict.fromkeys(row["system"] for row in drawn))
    sizes = [len({row["group"] for row in drawn if row["by"] == by}) for by in panels]
    figure = new_figure(max(6.0, 1.6 + _INCHES_PER_GROUP * sum(sizes)), _PANEL_HEIGHT + 1.2)
    all_axes = figure.subplots(1, len(panels), squeeze=False, gridspec_kw={"width_ratios": sizes})[0]
    for by, axes in zip(panels, all_axes, strict=True):
        _draw_panel(axes, [row for row in drawn if row["by"] == by], systems, metric)
    note = "; ".join(part for part in (subtitle, "line: one standard error over users") if part)
    write_titles(figure, f"{metric_label(metric)} on test, by group", note)
    write_legend(figure, all_axes[0])
    return save_png(figure, path)


def _draw_panel(axes: Axes, rows: Sequence[Mapping[str, Any]], systems: Sequence[str], metric: str) -> None:
    groups = list(dict.fromkeys(row["group"] for row in rows))
    width = 0.8 / len(systems)
    for position, system in enumerate(systems):
        own = {row["group"]: row for row in rows if row["system"] == system}
        values = [own[group]["value"] or 0.0 for group in groups]
        errors = [own[group]["standard_error"] or 0.0 for group in groups]
        places = [place + (position - (len(systems) - 1) / 2) * width for place in range(len(groups))]
        axes.bar(
            places,
            values,
            0.92 * width,
            yerr=errors if any(errors) else None,
            label=system,
            color=PALETTE[position % len(PALETTE)],
            hatch=_HATCHES[position % len(_HATCHES)],
            edgecolor="white",
            linewidth=0,
            error_kw={"elinewidth": 1.0, "ecolor": "#222222"},
        )
    by, counted = rows[0]["by"], rows[0]["counted"]
    first = {row["group"]: row for row in reversed(rows)}
    axes.set_xticks(range(len(groups)), [_group_label(first[group]) for group in groups], fontsize=8)
    axes.set_title("Users by activity" if by == "users" else "Items to be found, by popularity", fontsize=10)
    axes.set_xlabel(f"interactions of {'a user' if by == 'users' else 'an item'}, {counted}")
    axes.set_ylabel(metric_label(metric))
    axes.set_ylim(bottom=0)
    style_axes(axes)


def _group_label(row: Mapping[str, Any]) -> str:
    """The group's name, its bounds where the name does not say them, and how many users."""
    name, bounds = row["group"], span_text(row["low"], row["high"])
    named = name if name == bounds else f"{name}\n{bounds}"
    return f"{named}\n{row['users']:,} users"
