"""The audit: which clicks, contents and links look wrong, with the reason in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from damrs_dgl.report.audit_words import Record, click_reason, content_reason, links_by_rule
from damrs_dgl.report.blocks import Block, Cell, Figure, Figures, Paragraph, Section, Table
from damrs_dgl.report.charts import bar_chart
from damrs_dgl.report.inputs import ReportInputs
from damrs_dgl.report.pictures import PictureFolder

_SHOWN = 20


def audit_section(inputs: ReportInputs) -> Section | None:
    """The most suspect clicks, pictures and texts, with reasons; None without an audit."""
    tables = {
        name: table for name, table in inputs.audit.items() if table.num_rows and "suspicion" in table.column_names
    }
    if not tables:
        return None
    pictures = PictureFolder(inputs.pictures) if inputs.pictures is not None else None
    blocks: list[Block] = [
        Paragraph(
            "Suspicion is between 0 and 1: the higher, the more likely the entry is noise. It is an order to look at, "
            "not a verdict: even the first of the list may be right."
            + (f" Clicks are judged {inputs.audit_judge}." if inputs.audit_judge else "")
        )
    ]
    names = (("interactions", "Clicks"), ("content", "Contents"))
    figures = [figure for name, title in names if name in tables and (figure := _spread(title, tables[name]))]
    if figures:
        blocks.append(Figures(figures))
    if "interactions" in tables:
        rows = top(tables["interactions"])
        blocks.append(_top_table("The most suspicious clicks", ["user", "item"], rows, click_reason, pictures))
    if "content" in tables:
        rows = top(tables["content"])
        title = "The most suspicious contents"
        blocks.append(_top_table(title, ["item", "modality"], rows, content_reason, pictures))
    links = inputs.audit.get("links")
    if links is not None and links.num_rows:
        blocks.append(_cut_links(links))
    if pictures is not None and pictures.missing:
        blocks.append(Paragraph(f"{pictures.missing} of these items have no picture in the folder that was given."))
    return Section("audit", "Which clicks and contents look wrong", blocks)


def top(table: pa.Table) -> list[Record]:
    """The rows of highest suspicion, highest first; equal ones in the table's order."""
    order = pc.sort_indices(table, sort_keys=[("suspicion", "descending")])
    found: list[Record] = table.take(order[:_SHOWN]).to_pylist()
    return found


def _spread(title: str, table: pa.Table) -> Figure | None:
    """How suspicion is spread; None where it is a rank, which is evenly spread by its nature."""
    values = np.asarray(table["suspicion"].drop_null().to_numpy(), dtype=np.float64)
    counts = np.histogram(values, bins=10, range=(0.0, 1.0))[0].tolist()
    if max(counts) - min(counts) <= 2:
        return None
    labels = [f"{tenth / 10:g}" for tenth in range(10)]
    caption = f"{len(values):,} in all; each bar begins at its number."
    return bar_chart(
        f"{title} by suspicion",
        labels,
        [float(count) for count in counts],
        x_label="suspicion",
        y_label="how many",
        caption=caption,
    )


def _top_table(
    title: str,
    names: Sequence[str],
    rows: Sequence[Record],
    reason: Callable[[Record], str],
    pictures: PictureFolder | None,
) -> Table:
    """The ids, with a thumbnail where pictures are given, the numbers that there are, and why."""
    numbers = [name for name in ("posterior", "f", "g") if any(isinstance(row.get(name), float) for row in rows)]
    shown: list[list[Cell]] = []
    for row in rows:
        picture = [pictures.of(row["item"])] if pictures is not None else []
        ids = [str(row.get(name)) for name in names]
        values = [_three(row.get(name)) for name in ("suspicion", *numbers)]
        shown.append([*picture, *ids, *values, reason(row)])
    heads = [*(["picture"] if pictures is not None else []), *names, "suspicion", *numbers, "why"]
    return Table(title, heads, shown, cards=True, names=frozenset(names))


def _cut_links(table: pa.Table) -> Table:
    """How many links each rule cut."""
    rows: list[list[Cell]] = [list(counted) for counted in links_by_rule(table)]
    return Table("Links that were cut", ["relation", "rule", "links"], rows, names=frozenset({"relation"}))


def _three(value: Any) -> str | None:
    return f"{value:.3f}" if isinstance(value, float) and math.isfinite(value) else None
