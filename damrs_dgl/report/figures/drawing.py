"""What the PNG figures have in common: colours, the sheet, titles, a legend, a file that is whole or not there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from damrs_dgl.storage.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart with any colour vision; the yellow, too pale for a line on white, is left out.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DPI = 150
TEXT_GREY, _GRID_GREY = "#555555", "#DDDDDD"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, drawn without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1, wspace=0.04, hspace=0.06)
    figure = Figure(figsize=(width, height), dpi=_DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def style_axes(axes: Axes, *, hidden: Sequence[str] = ("top", "right"), grid: Any = "y") -> None:
    """Small grey ticks, a pale grid behind the data along an axis (None: no grid), and some edges left out."""
    if grid:
        axes.grid(axis=grid, color=_GRID_GREY, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[list(hidden)].set_visible(False)
    axes.tick_params(labelsize=8, color=TEXT_GREY)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)


def write_titles(figure: Figure, title: str, subtitle: str | None) -> None:
    """The title in bold, and below it what a reader must know."""
    figure.suptitle(f"{title}\n" if subtitle else title, fontsize=12, fontweight="bold")
    if subtitle:  # on the title's second line, which is left empty for it
        figure.text(0.5, 1.0, f"\n\n{subtitle}", ha="center", va="top", fontsize=9, color=TEXT_GREY)


def write_legend(figure: Figure, axes: Axes) -> None:
    """What the axes' labels name, below the figure, six a line at most and lines of like length."""
    handles, labels = axes.get_legend_handles_labels()
    lines = max(1, -(-len(labels) // 6))
    figure.legend(
        handles, labels, loc="outside lower center", ncols=-(-len(labels) // lines) or 1, frameon=False, fontsize=9
    )


def shortened(name: str, most: int) -> str:
    """A name that fits beside a mark: of one with more than `most` letters the middle is lost."""
    return name if len(name) <= most else f"{name[: most - 9]}…{name[-8:]}"


def save_png(figure: Figure, path: str | Path) -> Path:
    """Write the figure, whole or not at all. Raises StorageError where it cannot be written."""
    path = Path(path)
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png")
    return path
