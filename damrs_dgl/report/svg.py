"""Inline SVG by hand: elements, scales and ticks. Colours are the page's (CSS classes), never written here.

A drawing is `WIDTH` wide and is shown at about that width everywhere, so that its letters stay legible on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 380, 240
SERIES = 7  # kinds of mark that can be told apart: colour and shape together

_SHAPES = (  # one for each kind of mark, in a square from -4 to 4
    "M-3.6,0a3.6,3.6 0 1,0 7.2,0a3.6,3.6 0 1,0 -7.2,0z",
    "M-3.3,-3.3h6.6v6.6h-6.6z",
    "M0,-4.2L4.1,3.2H-4.1z",
    "M0,-4.6L4.4,0L0,4.6L-4.4,0z",
    "M0,4.2L4.1,-3.2H-4.1z",
    "M-1.4,-4.2h2.8v2.8h2.8v2.8h-2.8v2.8h-2.8v-2.8h-2.8v-2.8h2.8z",
    "M-4,-2.6L-2.6,-4L0,-1.4L2.6,-4L4,-2.6L1.4,0L4,2.6L2.6,4L0,1.4L-2.6,4L-4,2.6L-1.4,0z",
)


def element(name: str, *children: str | Markup | None, **attributes: object) -> Markup:
    """An element; everything in it is escaped that is not markup already, what is None is left out.

    `class_` is the attribute class, other underscores are hyphens; floats get two decimals at most.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(str(escape(child)) for child in children if child is not None)
    return Markup(f"<{name}{written}>{inside}</{name}>")  # all parts are escaped above


def _text(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def drawing(label: str, *children: Markup | None, height: float = HEIGHT, width: float = WIDTH) -> Markup:
    """The outer element; `label` is what a screen reader says."""
    return element(
        "svg", *children, class_="chart", viewBox=f"0 0 {_text(width)} {_text(height)}", role="img", aria_label=label
    )


def mark(position: int, x: float, y: float, tip: str | None = None) -> Markup:
    """The mark of the series at a position: its shape, with a text that a pointer brings up."""
    title = element("title", tip) if tip else None
    return element(
        "path", title, class_="mark", d=_SHAPES[position % SERIES], transform=f"translate({_text(x)},{_text(y)})"
    )


def swatch(position: int, *, line: bool = True) -> Markup:
    """The mark of a series for a legend: decoration, its name stands beside it."""
    return element(
        "svg",
        element("path", class_="line", d="M1,8H25") if line else None,
        mark(position, 13.0, 8.0),
        class_=f"swatch s{position % SERIES}",
        viewBox="0 0 26 16",
        aria_hidden="true",
    )


@dataclass(frozen=True)
class Scale:
    """From values `low`..`high` to positions `start`..`end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return self.start + share * (self.end - self.start)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers in low..high."""
    if not high > low:
        return [low]
    rough = (high - low) / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """A number as an axis shows it: 12,000 or 0.05 or 3e-7."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def padded(values: Iterable[float], *, zero: bool = False) -> tuple[float, float]:
    """The range of some values with a little room; from 0 on where asked."""
    found = [value for value in values if math.isfinite(value)]
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    room = (high - low or abs(high) or 1.0) * 0.06
    return (low if zero and low == 0 else low - room), high + room


def axes(
    x: Scale,
    y: Scale,
    *,
    x_label: str,
    y_label: str,
    x_ticks: Sequence[tuple[float, str]],
    y_ticks: Sequence[tuple[float, str]],
) -> Markup:
    """Grid lines, tick labels and the names of both axes; the y axis is named above it, in reading direction."""
    left, right, bottom = x.start, x.end, y.start
    parts: list[Markup] = []
    for value, text in y_ticks:
        parts.append(element("line", class_="grid", x1=left, x2=right, y1=y(value), y2=y(value)))
        parts.append(element("text", text, class_="tick", x=left - 6, y=y(value) + 4, text_anchor="end"))
    for value, text in x_ticks:
        parts.append(element("text", text, class_="tick", x=x(value), y=bottom + 17, text_anchor="middle"))
    parts.append(element("line", class_="axis", x1=left, x2=right, y1=bottom, y2=bottom))
    parts.append(element("text", x_label, class_="name", x=right, y=bottom + 34, text_anchor="end"))
    parts.append(element("text", y_label, class_="name", x=2, y=12))
    return element("g", *parts)


def polyline(points: Iterable[tuple[float, float]], *, closed: bool = False) -> str:
    """The path through points in drawing units."""
    return "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points) + ("z" if closed else "")
