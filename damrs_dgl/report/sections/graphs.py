"""The graphs: edges of each relation, what each rule pruned, how many neighbours items keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from damrs_dgl.report.blocks import Block, Figures, Paragraph, Section, Table
from damrs_dgl.report.inputs import ReportInputs
from damrs_dgl.report.sections.data import degree_chart

_NAMES = frozenset({"relation"})  # a user's own, which may look like numbers


def graphs_section(inputs: ReportInputs) -> Section | None:
    """Edges, degrees and what each rule pruned; None where no graph was built."""
    summary = inputs.graph_summary
    if summary is None:
        return None
    blocks: list[Block] = [_edges(summary), *_pruned(summary)]
    figures = [
        degree_chart(f"Whose neighbour an item is: {relation}", degrees.numpy(), "items that keep it", "items")
        for relation, degrees in inputs.degrees.items()
    ]
    if figures:
        blocks.append(Figures(figures))
        blocks.append(
            Paragraph(
                "Every item keeps at most k neighbours, but one item may be the neighbour of many: what these many "
                "hear from it is the same. A long tail to the right shows such hubs."
            )
        )
    return Section("graphs", "The graphs", blocks)


def _edges(summary: Mapping[str, Any]) -> Table:
    items = max(summary["nodes"]["item"], 1)
    similarity = summary["mean_similarity"]
    rows = [
        [relation, count, f"{count / items:.1f}", similarity.get(relation)]
        for relation, count in summary["edges"].items()
        if relation != "interacted_by"
    ]
    return Table("Relations", ["relation", "edges", "edges per item", "mean cosine of all pairs"], rows, names=_NAMES)


def _pruned(summary: Mapping[str, Any]) -> list[Block]:
    """What each rule took away, in pairs and as a share of all pairs of items that have the content."""
    pruned, nodes = summary["pruned_pairs"], summary["nodes"]["item"]
    rows: list[list[Any]] = []
    for rule, key in (
        ("less alike than the modality's mean", "below_mean"),
        ("alike here, and less alike than the mean in another modality", "inconsistent"),
    ):
        for modality, count in pruned[key].items():
            present = nodes - summary["items_without_content"].get(modality, 0)
            rows.append([modality, rule, count, f"{count / max(present * present, 1):.1%}"])
    below = pruned.get("behavior_below_min_count", 0)
    if summary["parameters"].get("behavior"):
        least = summary["parameters"]["behavior_min_count"]
        rows.append(["behavior", f"chosen together by fewer than {least} users", below, None])
    if not rows:
        return [Paragraph(_searched(summary))]
    return [
        Table("What each rule pruned", ["relation", "pairs that are", "pairs", "of all pairs"], rows, names=_NAMES),
        Paragraph(
            f"Of what is left, an item keeps its {summary['parameters']['k']} most similar. “Alike here” and not in "
            "another modality is what DA-MRS takes for noise in the content (equation 1): "
            + ("such pairs were dropped." if summary["parameters"]["consistency"] else "here they were kept.")
        ),
    ]


def _searched(summary: Mapping[str, Any]) -> str:
    method = summary["parameters"]["candidates"]
    return f"Candidates were searched ({method}) and not all pairs compared: pruned pairs were not counted."
