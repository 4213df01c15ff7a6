"""Systems side by side: the comparison and the ablation; means over seeds with their standard error."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from damrs_dgl.evaluation.labels import headline, metric_label
from damrs_dgl.evaluation.spread import SIGNIFICANT, standard_error, with_error
from damrs_dgl.report.blocks import Block, Figures, Paragraph, Section, Table
from damrs_dgl.report.charts import Bar, ranked_bars
from damrs_dgl.report.inputs import ReportInputs, Row, is_number


def comparison_section(inputs: ReportInputs) -> Section | None:
    return _section(inputs, "compare", "Systems side by side", strong=inputs.system, sort=True)


def ablation_section(inputs: ReportInputs) -> Section | None:
    return _section(inputs, "ablate", "What each part adds", strong=inputs.whole, sort=False)


def system_of(row: Row) -> str:
    """The name that a row's numbers belong to, whatever its column is called."""
    for key in ("system", "model"):
        if row.get(key) is not None:
            return str(row[key])
    return "?"


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error, 0 for a single value."""
    return fmean(values), standard_error(values) or 0.0


def _section(inputs: ReportInputs, name: str, title: str, *, strong: str, sort: bool) -> Section | None:
    rows = inputs.tables.get(name)
    failed = [row for row in rows or () if row.get("error")]
    rows = [row for row in rows or () if not row.get("error")]
    metrics = headline(rows[0]) if rows else []
    if not metrics:
        return None
    of: dict[str, list[Row]] = {}
    for row in rows:
        of.setdefault(system_of(row), []).append(row)
    figures = []
    for metric in metrics:
        values = {system: [row[metric] for row in own if is_number(row.get(metric))] for system, own in of.items()}
        bars = [
            Bar(system, *mean_and_error(found), strong=system == strong) for system, found in values.items() if found
        ]
        bars = sorted(bars, key=lambda bar: -bar.value) if sort else bars
        figures.append(ranked_bars(f"Test {metric_label(metric)}", bars, value_label=metric_label(metric)))
    seeds = max(len(own) for own in of.values())
    spread = (
        f"Means over up to {seeds} seeds; whiskers: one standard error." if seeds > 1 else "One seed: no spread known."
    )
    blocks: list[Block] = [Figures(figures), Paragraph(spread), _numbers(of)]
    blocks += [Paragraph(f"{system_of(row)} is not there: {row['error']}", tone="warning") for row in failed]
    if pairs := inputs.pairs.get(name):
        blocks += _pairs(pairs)
    return Section(name, title, blocks)


def _pairs(rows: Sequence[Row]) -> list[Block]:
    """Which systems the test tells apart, and every pair."""
    told = sum(is_number(row["p_value_holm"]) and row["p_value_holm"] < SIGNIFICANT for row in rows)
    shown = [
        [
            row["metric"], row["system"], row["against"], f"{row['difference']:+.4f}",
            f"{row['low']:+.4f} to {row['high']:+.4f}", f"{row['p_value_holm']:.2g}",
        ]
        for row in rows
    ]  # fmt: skip
    columns = ["metric", "system", "against", "difference", "95 % interval", "p, corrected"]
    text = (
        f"{told} of {len(rows)} differences between two systems, each over the same users, are told from chance: "
        f"a paired Wilcoxon test, Holm's correction over all of them, {SIGNIFICANT:g}. "
        "Of the others a longer bar says nothing."
    )
    return [Paragraph(text), Table("Pairs of systems, over the same users", columns, shown, folded=True)]


def _numbers(of: dict[str, list[Row]]) -> Table:
    first = next(iter(of.values()))[0]
    metrics = [key for key in first if "@" in key and not key.startswith(("drop_", "validation_", "paper_"))]
    published = [key for key in first if key.startswith("paper_")]
    rows = []
    for system, own in of.items():
        cells: list[str | None] = []
        for metric in metrics:
            values = [row[metric] for row in own if is_number(row.get(metric))]
            error = standard_error(values) or None  # of equal numbers none is shown
            cells.append(with_error(fmean(values), error) if values else None)
        rows.append([system, len(own), *cells, *(own[0].get(key) for key in published)])
    papers = [f"paper: {metric_label(key.removeprefix('paper_'))}" for key in published]
    return Table("All metrics", ["system", "seeds", *map(metric_label, metrics), *papers], rows, folded=True)
