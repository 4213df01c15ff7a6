"""Charts of a report: lines with bands, bars, ranked bars with whiskers. Each comes with its numbers as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from damrs_dgl.report.blocks import Figure, Table
from damrs_dgl.report.figures.drawing import shortened
from damrs_dgl.report.svg import (
    HEIGHT,
    SERIES,
    WIDTH,
    Scale,
    axes,
    drawing,
    element,
    mark,
    number,
    padded,
    polyline,
    ticks,
)

_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 24, 42
_MOST_MARKS = 14  # on a line; more would hide it
_MOST_LETTERS = 48  # of a name above a bar


@dataclass(frozen=True)
class Series:
    """A line: its name, points, and where given the half width of the band around each."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    spread: Sequence[float] | None = None


def line_chart(
    title: str,
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    best: float | None = None,
    x_ticks: Sequence[tuple[float, str]] | None = None,
) -> Figure:
    """Lines over x. `best`: an x to mark with an upright line, e.g. the best epoch."""
    spreads = [one.spread or [0.0] * len(one.ys) for one in series]
    values = [
        y + s * d
        for one, spread in zip(series, spreads, strict=True)
        for y, s in _pairs(one.ys, spread)
        for d in (-1, 1)
    ]
    xs = [x for one in series for x in one.xs]
    low, high = padded(values)
    x = Scale(min(xs, default=0.0), max(xs, default=1.0), _LEFT, WIDTH - _RIGHT)
    y = Scale(low, high, HEIGHT - _BOTTOM, _TOP)
    shown_x = x_ticks or [(value, number(value)) for value in ticks(x.low, x.high) if value == round(value)]
    shown_y = [(value, number(value)) for value in ticks(low, high)]
    parts = [axes(x, y, x_label=x_label, y_label=y_label, x_ticks=shown_x, y_ticks=shown_y)]
    if best is not None:
        parts.append(_best_line(x, y, best))
    parts += [
        _line(position, one, spread, x, y) for position, (one, spread) in enumerate(zip(series, spreads, strict=True))
    ]
    legend = [(position, one.name) for position, one in enumerate(series)] if len(series) > 1 else []
    label = f"{title}: lines of {', '.join(one.name for one in series)} over {x_label}"
    return Figure(title, drawing(label, *parts), legend, numbers=_line_numbers(series, x_label))


def _pairs(ys: Sequence[float], spread: Sequence[float]) -> list[tuple[float, float]]:
    return list(zip(ys, spread, strict=True))


def _line(position: int, one: Series, spread: Sequence[float], x: Scale, y: Scale) -> Markup:
    points = [(x(at), y(value)) for at, value in zip(one.xs, one.ys, strict=True)]
    parts = []
    if any(spread):
        triples = list(zip(one.xs, one.ys, spread, strict=True))
        upper = [(x(at), y(value + half)) for at, value, half in triples]
        lower = [(x(at), y(value - half)) for at, value, half in reversed(triples)]
        parts.append(element("path", class_="band", d=polyline(upper + lower, closed=True)))
    if points:
        parts.append(element("path", class_="line", d=polyline(points)))
    every = max(1, math.ceil(len(points) / _MOST_MARKS))
    for index in range(0, len(points), every):
        tip = f"{one.name}: {number(one.xs[index])}, {number(one.ys[index])}"
        parts.append(mark(position, *points[index], tip))
    return element("g", *parts, class_=f"s{position % SERIES}")


def _best_line(x: Scale, y: Scale, at: float) -> Markup:
    where = x(at)
    near_end = where > (x.start + x.end) / 2
    return element(
        "g",
        element("line", class_="best", x1=where, x2=where, y1=y.start, y2=y.end),
        element(
            "text",
            f"best: {number(at)}",
            class_="name",
            x=where + (-5 if near_end else 5),
            y=y.start - 6,
            text_anchor="end" if near_end else "start",
        ),
    )


def _line_numbers(series: Sequence[Series], x_label: str) -> Table:
    xs = sorted({x for one in series for x in one.xs})
    found = [dict(zip(one.xs, one.ys, strict=True)) for one in series]
    rows = [[number(x), *(values.get(x) for values in found)] for x in xs]
    return Table("The numbers", [x_label, *(one.name for one in series)], rows, folded=True)


def bar_chart(
    title: str, labels: Sequence[str], values: Sequence[float], *, x_label: str, y_label: str, caption: str = ""
) -> Figure:
    """Upright bars, one a label."""
    low, high = padded(values, zero=True)
    x = Scale(0.0, float(len(labels)), _LEFT, WIDTH - _RIGHT)
    y = Scale(low, high, HEIGHT - _BOTTOM, _TOP)
    room = (x.end - x.start) / max(len(labels), 1)
    every = max(1, math.ceil((6.6 * max(map(len, labels), default=0) + 5) / room))
    shown = [(index + 0.5, label) for index, label in enumerate(labels) if index % every == 0]
    y_ticks = [(value, number(value)) for value in ticks(low, high)]
    bars = [
        element(
            "rect",
            element("title", f"{label}: {number(value)}"),
            class_="bar",
            x=x(index + 0.12),
            width=x(0.76) - x(0.0),
            y=y(max(value, 0.0)),
            height=abs(y(0.0) - y(value)),
        )
        for index, (label, value) in enumerate(zip(labels, values, strict=True))
    ]
    frame = axes(x, y, x_label=x_label, y_label=y_label, x_ticks=shown, y_ticks=y_ticks)
    whole = all(float(value).is_integer() for value in values)
    shown_values = [int(value) if whole else value for value in values]
    numbers = Table("The numbers", [x_label, y_label], list(zip(labels, shown_values, strict=True)), folded=True)
    svg = drawing(f"{title}: bars of {y_label} by {x_label}", frame, element("g", *bars, class_="s0"))
    return Figure(title, svg, (), caption, numbers)


@dataclass(frozen=True)
class Bar:
    """A ranked bar: its name, value, the half width of its whisker (0: none), whether it stands out, its group."""

    name: str
    value: float
    spread: float = 0.0
    strong: bool = False
    group: str = ""


def ranked_bars(title: str, bars: Sequence[Bar], *, value_label: str = "value") -> Figure:
    """Lying bars with their names above and their values at the end; what stands out is filled and in bold.

    Where bars have groups, the name of one stands above its first bar.
    """
    high = max([bar.value + bar.spread for bar in bars], default=1.0) or 1.0
    x = Scale(0.0, high, 2.0, WIDTH - 62.0)
    parts: list[Markup] = []
    base, group = 6.0, ""
    for bar in bars:
        if bar.group and bar.group != group:
            group = bar.group
            base += 6.0 if parts else 0.0
            parts.append(element("text", shortened(group, _MOST_LETTERS), class_="label heading", x=2, y=base + 11))
            base += 19.0
        parts += _ranked_bar(bar, base, x)
        base += 34.0
    said = ", ".join(f"{bar.group} {bar.name} {bar.value:.4f}".strip() for bar in bars)
    svg = drawing(f"{title}: {said}", element("g", *parts, class_="s0"), height=base + 4.0)
    rows = [[*([bar.group] if group else []), bar.name, bar.value, bar.spread or None] for bar in bars]
    columns = [*(["group"] if group else []), "", value_label, "±"]
    return Figure(title, svg, numbers=Table("The numbers", columns, rows, folded=True, names=frozenset({"group", ""})))


def _ranked_bar(bar: Bar, base: float, x: Scale) -> list[Markup]:
    """A bar whose top is at `base`: name, bar, whisker, value."""
    kind = "strong" if bar.strong else "plain"
    length = max(x(max(bar.value, 0.0)) - x.start, 0.5)
    tip = f"{bar.name}: {bar.value:.4f}" + (f" ± {bar.spread:.4f}" if bar.spread else "")
    title = element("title", tip)
    parts = [
        element("text", shortened(bar.name, _MOST_LETTERS), class_=f"label {kind}", x=2, y=base + 11),
        element("rect", title, class_=f"bar {kind}", x=x.start, y=base + 15, width=length, height=11),
    ]
    end = x.start + length
    if bar.spread:
        left, end = x(max(bar.value - bar.spread, 0.0)), x(bar.value + bar.spread)
        whisker = f"M{left:.1f},{base + 20.5}H{end:.1f}M{left:.1f},{base + 17}v7M{end:.1f},{base + 17}v7"
        parts.append(element("path", class_="whisker", d=whisker))
    parts.append(element("text", f"{bar.value:.4f}", class_=f"label {kind}", x=end + 6, y=base + 25))
    return parts
