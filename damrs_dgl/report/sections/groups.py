"""Metrics by groups: users by their activity, items by their popularity, each beside the simple systems."""

from __future__ import annotations

from collections.abc import Sequence

from damrs_dgl.evaluation.labels import headline, metric_label, span_text
from damrs_dgl.report.blocks import Figure, Figures, Paragraph, Section, Table
from damrs_dgl.report.charts import Bar, ranked_bars
from damrs_dgl.report.inputs import ReportInputs, Row, is_number
from damrs_dgl.report.sections.systems import system_of

COLUMNS = ("by", "group", "low", "high", "counted", "system", "metric", "value", "standard_error", "users")


def groups_section(inputs: ReportInputs) -> Section | None:
    """From `groups.csv`: a row a group, system and metric, with the standard error over the group's users."""
    rows = [row for row in inputs.tables.get("groups", ()) if {"by", "group", "metric", "value"} <= row.keys()]
    shown = headline(dict.fromkeys(str(row["metric"]) for row in rows))
    figures = [
        figure
        for by in dict.fromkeys(row["by"] for row in rows)
        for metric in shown
        if (figure := _chart(str(by), metric, rows, inputs.system)) is not None
    ]
    if not figures:
        return None
    cells = [[row.get(name) for name in COLUMNS] for row in rows]
    numbers = Table("All groups and metrics", COLUMNS, cells, folded=True, names=frozenset({"group", "system"}))
    text = "Whiskers: one standard error over the group's users. Recall of an item group counts its items alone."
    return Section(
        "groups", "New and active users, rare and popular items", [Figures(figures), Paragraph(text), numbers]
    )


def _chart(by: str, metric: str, rows: Sequence[Row], system: str) -> Figure | None:
    bars = [
        Bar(system_of(row), row["value"], row.get("standard_error") or 0.0, system_of(row) == system, _group(row))
        for row in rows
        if row["by"] == by and row["metric"] == metric and is_number(row["value"])
    ]
    order = list(dict.fromkeys(bar.group for bar in bars))
    bars.sort(key=lambda bar: order.index(bar.group))  # the table goes system by system
    return ranked_bars(f"By {by}: {metric_label(metric)}", bars, value_label=metric_label(metric)) if bars else None


def _group(row: Row) -> str:
    """A group with its span, as "new (0 to 5)", where the span is not its name."""
    name, low = str(row["group"]), row.get("low")
    span = span_text(low, row.get("high")) if low is not None else name
    return name if name == span else f"{name} ({span})"
