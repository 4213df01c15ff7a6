"""The metrics, with the simple systems beside that any model has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from damrs_dgl.evaluation.labels import floor_beside, headline, metric_label
from damrs_dgl.report.blocks import Block, Figures, Paragraph, Section, Table
from damrs_dgl.report.charts import Bar, ranked_bars
from damrs_dgl.report.inputs import ReportInputs


def metrics_section(inputs: ReportInputs) -> Section | None:
    """Validation and test metrics with the floor beside; None before an evaluation."""
    metrics = inputs.metrics
    if metrics is None:
        return None
    beside = floor_beside(inputs.system, metrics)
    floor = {name: found["test"] for name, found in beside.items()}
    blocks: list[Block] = [
        Figures([_beside(inputs, metrics["test"], floor, name) for name in headline(metrics["test"])]),
        _table("Test", inputs.system, metrics["test"], floor),
    ]
    blocks.append(_table("Validation, which chose the epoch", inputs.system, metrics["validation"], {}, folded=True))
    if metrics["beyond_accuracy"]:
        blocks.append(_beyond(inputs.system, metrics["beyond_accuracy"], beside))
    blocks.append(
        Paragraph(
            f"All items are ranked for every user (protocol “{metrics['protocol']}”); seed {metrics['seed']}, best "
            f"epoch {metrics['best_epoch']} of {metrics['epochs']}, {metrics['seconds']:,.1f}\u00a0s on "
            f"{metrics['device']}."
        )
    )
    return Section("metrics", "What it is worth", blocks)


def _beside(
    inputs: ReportInputs, test: Mapping[str, float], floor: Mapping[str, Mapping[str, float]], metric: str
) -> Any:
    bars = [Bar(f"{inputs.system} (this run)", test[metric], strong=True)]
    bars += [Bar(name, values[metric]) for name, values in floor.items()]
    bars.sort(key=lambda bar: -bar.value)
    return ranked_bars(f"Test {metric_label(metric)}", bars, value_label=metric_label(metric))


def _table(
    title: str,
    system: str,
    values: Mapping[str, float],
    floor: Mapping[str, Mapping[str, float]],
    *,
    folded: bool = False,
) -> Table:
    """A row a metric and system, a column a K."""
    names = list(dict.fromkeys(name.partition("@")[0] for name in values if "@" in name))
    ks = list(dict.fromkeys(name.partition("@")[2] for name in values if "@" in name))
    rows: list[list[Any]] = []
    strong = set()
    for name in names:
        strong.add(len(rows))
        rows.append([metric_label(name), system, *(values.get(f"{name}@{k}") for k in ks)])
        rows += [[metric_label(name), other, *(found.get(f"{name}@{k}") for k in ks)] for other, found in floor.items()]
    return Table(
        title, ["metric", "system", *(f"@{k}" for k in ks)], rows, folded, frozenset(strong) if floor else frozenset()
    )


def _beyond(system: str, own: Mapping[str, float], beside: Mapping[str, Mapping[str, Any]]) -> Table:
    """Metrics beyond accuracy of the test lists, a column a system."""
    rows = [
        [name.replace("_", " "), value, *(found["beyond_accuracy"].get(name) for found in beside.values())]
        for name, value in own.items()
    ]
    return Table("Beyond accuracy: the test lists", ["metric", system, *beside], rows, folded=True)
