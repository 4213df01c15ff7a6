"""Clouds of points and the density of their directions: how item vectors lie in space."""

from __future__ import annotations

import math

import numpy as np
from markupsafe import Markup

from damrs_dgl.report.blocks import Figure
from damrs_dgl.report.svg import HEIGHT, WIDTH, Scale, axes, drawing, element, number, polyline, ticks

_SIDE = 300
_ANGLES = 181  # at which the density is drawn
_BANDWIDTH = 0.15  # of the kernel, in radians


def cloud(title: str, points: np.ndarray, popular: np.ndarray, caption: str) -> Figure:
    """Points [n, 2]; the popular ones (bool [n]) are squares, the others dots."""
    centred = points - points.mean(axis=0)
    reach = float(np.quantile(np.abs(centred), 0.999)) or 1.0
    scale = Scale(-reach, reach, 8.0, _SIDE - 8.0)
    places = np.clip((centred / reach + 1) / 2, 0, 1) * (scale.end - scale.start) + scale.start
    groups = [
        element("path", class_="dots", d=_dots(places[~popular])),
        element("path", class_="squares", d=_squares(places[popular])),
    ]
    frame = element("rect", class_="frame", x=0.5, y=0.5, width=_SIDE - 1, height=_SIDE - 1, rx=4)
    label = f"{title}: {len(points):,} items in two dimensions by t-SNE, popular ones as squares"
    legend = ((0, "other items"), (1, "most clicked fifth"))
    svg = drawing(label, frame, *groups, width=_SIDE, height=_SIDE)
    return Figure(title, svg, legend, caption, points_only=True)


def _dots(places: np.ndarray) -> str:
    """Zero-length strokes: a round line cap draws each as a dot."""
    return "".join(f"M{x:.1f},{y:.1f}h0" for x, y in places)


def _squares(places: np.ndarray) -> str:
    return "".join(f"M{x - 2.4:.1f},{y - 2.4:.1f}h4.8v4.8h-4.8z" for x, y in places)


def angle_density(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angles from -pi to pi and the density of the points' directions there, by a Gaussian kernel round the circle."""
    centred = points - points.mean(axis=0)
    directions = np.arctan2(centred[:, 1], centred[:, 0])
    angles = np.linspace(-math.pi, math.pi, _ANGLES)
    distances = np.abs(angles[:, None] - directions[None, :])
    distances = np.minimum(distances, 2 * math.pi - distances)
    kernel = np.exp(-0.5 * (distances / _BANDWIDTH) ** 2) / (_BANDWIDTH * math.sqrt(2 * math.pi))
    return angles, kernel.mean(axis=1)


def angle_chart(title: str, points: np.ndarray, highest: float) -> Figure:
    """The density of the points' polar angles; `highest` is the top of the axis, the same for all that are compared."""
    angles, density = angle_density(points)
    height = HEIGHT - 60
    x = Scale(-math.pi, math.pi, 44.0, WIDTH - 10.0)
    y = Scale(0.0, highest * 1.08, height - 42.0, 24.0)
    outline = [(x(a), y(d)) for a, d in zip(angles.tolist(), density.tolist(), strict=True)]
    area = [(x(-math.pi), y(0.0)), *outline, (x(math.pi), y(0.0))]
    even = 1 / (2 * math.pi)
    parts: list[Markup] = [
        axes(
            x,
            y,
            x_label="angle",
            y_label="density",
            x_ticks=[(-math.pi, "-π"), (0.0, "0"), (math.pi, "π")],
            y_ticks=[(value, number(value)) for value in ticks(0.0, y.high, 3)],
        ),
        element("path", class_="band", d=polyline(area, closed=True)),
        element("path", class_="line", d=polyline(outline)),
        element("line", class_="best", x1=x.start, x2=x.end, y1=y(even), y2=y(even)),
    ]
    unevenness = float(np.std(density) / even)
    caption = f"Dashed: even in all directions. Spread around it: {unevenness:.0%}."
    return Figure(title, drawing(title, element("g", *parts, class_="s0"), height=height), (), caption)
