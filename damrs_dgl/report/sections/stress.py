"""What growing noise does: a line a system, a chart for each noise and metric."""

from __future__ import annotations

from collections.abc import Sequence

from damrs_dgl.evaluation.labels import headline, metric_label
from damrs_dgl.report.blocks import Figure, Figures, Paragraph, Section
from damrs_dgl.report.charts import Series, line_chart
from damrs_dgl.report.inputs import ReportInputs, Row, is_number
from damrs_dgl.report.noise import noise_labels, points_of
from damrs_dgl.report.sections.systems import system_of


def stress_section(inputs: ReportInputs) -> Section | None:
    """What growing noise does to each system; None without such a study."""
    rows = [row for row in inputs.tables.get("stress", ()) if is_number(row.get("ratio")) and not row.get("error")]
    metrics = headline(rows[0]) if rows else []
    if not metrics:
        return None
    noises = list(dict.fromkeys(str(row["noise"]) for row in rows))
    systems = list(dict.fromkeys(system_of(row) for row in rows))
    figures = [_chart(rows, noise, metric, systems) for noise in noises for metric in metrics]
    seeds = len({row.get("seed") for row in rows})
    band = f"Lines: means over {seeds} seeds, bands: one standard error. " if seeds > 1 else ""
    text = f"{band}Each system is trained anew on the corrupted data and judged on the clean test split."
    return Section(
        "stress",
        "What noise does",
        [Paragraph(text), Figures([one for one in figures if one is not None], paired=True)],
    )


def _chart(rows: Sequence[Row], noise: str, metric: str, systems: Sequence[str]) -> Figure | None:
    series = []
    for system in systems:
        own = [row for row in rows if str(row["noise"]) == noise and system_of(row) == system]
        points = points_of([row for row in own if is_number(row.get(metric))], metric)
        means, errors = [point.mean for point in points], [point.error or 0.0 for point in points]
        series.append(Series(system, [point.ratio for point in points], means, errors))
    ratios = sorted({ratio for one in series for ratio in one.xs})
    if not ratios:
        return None
    name, axis = noise_labels(noise)
    marks = [(ratio, f"{ratio:g}") for ratio in ratios]
    return line_chart(
        f"{name}: {metric_label(metric)}", series, x_label=axis, y_label=metric_label(metric), x_ticks=marks
    )
