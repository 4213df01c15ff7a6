"""The data set: sizes, how clicks are spread, and what the content is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from damrs_dgl.graphs.agreement_words import measure_texts
from damrs_dgl.report.blocks import Block, Figure, Figures, Findings, Paragraph, Section, Table
from damrs_dgl.report.charts import bar_chart
from damrs_dgl.report.inputs import ReportInputs


def data_section(inputs: ReportInputs) -> Section:
    """What the data set holds, what cleaning met, and whether content can help."""
    summary = inputs.summary
    sizes = Table(
        "What there is",
        ["users", "items", "interactions", "empty cells", "training", "validation", "test"],
        [
            [
                summary["users"],
                summary["items"],
                summary["observations"],
                f"{summary['sparsity']:.2%}",
                *(summary["splits"][split] for split in ("train", "validation", "test")),
            ]
        ],
    )
    figures = [
        degree_chart("Training clicks of a user", inputs.user_activity(), "clicks", "users"),
        degree_chart("Training clicks of an item", inputs.item_popularity(), "clicks", "items"),
    ]
    blocks: list[Block] = [sizes, Figures(figures)]
    content = summary.get("content") or {}
    if content:
        blocks += [Findings(_sentences(summary.get("verdicts", ()))), _content_table(content), _explanation(content)]
    else:
        blocks.append(Paragraph("The data set has no content: no pictures, texts or sounds."))
    findings = summary.get("findings") or []
    if findings:
        rows = [[row["where"], row["kind"], row["count"], row["action"]] for row in findings]
        blocks.append(Table("What reading it met", ["where", "what", "how many", "what was done"], rows, folded=True))
    return Section("data", "The data set", blocks)


def degree_chart(title: str, degrees: np.ndarray, what: str, of: str) -> Figure:
    """How many have 0, 1, 2, 3-4, 5-8, ...: bars that double in width, as such counts have long tails."""
    highest = int(degrees.max(initial=0))
    ends = [0, 1]
    while ends[-1] < highest:
        ends.append(2 * ends[-1])
    labels = [str(end) if end <= 2 else f"{ends[at - 1] + 1}-{end}" for at, end in enumerate(ends)]
    if len(ends) > 3:
        labels[-1] = f"{ends[-2] + 1}+"
    counts = np.bincount(np.searchsorted(ends, degrees), minlength=len(ends)).tolist()
    if not counts[0]:
        labels, counts = labels[1:], counts[1:]
    middle = float(np.median(degrees)) if len(degrees) else 0.0
    caption = f"Median {middle:g}, mean {degrees.mean() if len(degrees) else 0:.1f}, most {highest:,}."
    return bar_chart(title, labels, [float(count) for count in counts], x_label=what, y_label=of, caption=caption)


def _sentences(verdicts: Sequence[str]) -> list[str]:
    return [f"{verdict[:1].upper()}{verdict[1:]}." for verdict in verdicts]


def _content_table(content: Mapping[str, Mapping[str, Any]]) -> Table:
    others = list(content) if len(content) > 1 else []
    columns = ["modality", "items without", "duplicated", "mean cosine", "share a user", "by chance", "times"]
    rows = [
        [
            name,
            found["missing"],
            found["duplicated"],
            found["mean_similarity"],
            *measure_texts(found),
            None if found["lift"] is None else f"{found['lift']:.2f}",
            *(_percent(found["overlap"].get(other)) for other in others),
        ]
        for name, found in content.items()
    ]
    heads = [*columns, *(f"also near in {other}" for other in others)]
    return Table("Content and behaviour", heads, rows, names=frozenset({"modality"}))


def _explanation(content: Mapping[str, Mapping[str, Any]]) -> Paragraph:
    first = next(iter(content.values()))
    which = f"a random sample of {first['sampled_items']:,} items" if first["is_sample"] else "every item"
    return Paragraph(
        f"For {which} the {first['k']} nearest by content are taken. “Share a user”: how often a training user has "
        "both, or, where nearly any two items share one, the mean cosine of their users; “by chance”: the same after "
        "the items have changed places at random. “Also near in”: how many of the "
        f"nearest in one modality are among the nearest in the other (by chance {first['overlap_by_chance']:.2%})."
    )


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}"
