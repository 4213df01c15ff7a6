"""The first screen: the run in figures and in sentences, and what the page does not have."""

from __future__ import annotations

import math
from statistics import fmean

from damrs_dgl.evaluation.labels import floor_beside, headline, metric_label
from damrs_dgl.graphs.agreement_words import tells
from damrs_dgl.report.blocks import Block, Findings, Paragraph, Section, Tiles
from damrs_dgl.report.inputs import ReportInputs, is_number
from damrs_dgl.report.sections.studies import STUDIES
from damrs_dgl.report.sections.systems import system_of


def overview_section(inputs: ReportInputs) -> Section:
    """The run in a few numbers and sentences."""
    summary, metrics = inputs.summary, inputs.metrics
    tiles = []
    if metrics is not None:
        tiles = [
            (f"test {metric_label(name)}", f"{metrics['test'][name]:.4f}", "") for name in headline(metrics["test"])
        ]
    tiles += [
        ("users", f"{summary['users']:,}", f"{summary['observations'] / max(summary['users'], 1):.1f} clicks each"),
        ("items", f"{summary['items']:,}", f"{summary['observations'] / max(summary['items'], 1):.1f} clicks each"),
        ("interactions", f"{summary['observations']:,}", f"{summary['sparsity']:.2%} of all cells are empty"),
    ]
    blocks: list[Block] = []
    if inputs.synthetic:
        text = "Its users, items and clicks are made up (the synthetic shop): the numbers say nothing of a real shop."
        blocks.append(Paragraph(text, tone="warning"))
    blocks += [Tiles(tiles), Findings(_sentences(inputs))]
    missing = _missing(inputs)
    if missing:
        blocks.append(Paragraph(f"Not in this report, as it was not made yet: {'; '.join(missing)}."))
    return Section("overview", "In short", blocks)


def _sentences(inputs: ReportInputs) -> list[str]:
    found = [_against_floor(inputs)] if inputs.metrics is not None else []
    content = inputs.summary.get("content") or {}
    telling = {name: facts["lift"] for name, facts in content.items() if tells(facts) in ("a little", "much")}
    if telling:
        best = max(telling, key=lambda name: telling[name] or math.inf)
        times = f"{telling[best]:.1f} times as much as" if telling[best] else "more than"
        found.append(f"Of the content, {best} tells most: items alike in it share users {times} by chance.")
    elif any(tells(facts) == "hardly" for facts in content.values()):
        found.append("The content hardly tells what people choose together.")
    stressed = _under_stress(inputs)
    if stressed:
        found.append(stressed)
    return found


def _against_floor(inputs: ReportInputs) -> str:
    """Whether the system is worth its machinery, by validation; the test score is told with it."""
    assert inputs.metrics is not None
    system, test = inputs.system, inputs.metrics["test"]
    metric = next(iter(headline(test)), None)
    if metric is None:
        return f"{system} was evaluated."
    own = f"{system} reaches a test {metric_label(metric)} of {test[metric]:.4f}"
    beside = floor_beside(system, inputs.metrics)
    best = max(beside, key=lambda name: beside[name]["validation"][metric])
    judged, simple = beside[best]["validation"][metric], beside[best]["test"][metric]
    score = inputs.metrics["validation"][metric]
    if score <= judged:
        scores = f"{score:.4f} against {judged:.4f}"
        return f"{own}. By validation ({scores}) it does not beat {best}, which needs no training (test {simple:.4f})."
    if not simple:
        return f"{own}; {best}, the better of the simple systems, finds nothing."
    more = test[metric] / simple - 1
    where = f"{abs(more):.0%} {'above' if more >= 0 else 'below'} {best} ({simple:.4f})"
    return f"{own}, {where}, the better of the simple systems."


def _under_stress(inputs: ReportInputs) -> str | None:
    """Which noise of those that were tried costs this system most, as the table of the study has it."""
    rows = [row for row in inputs.tables.get("stress", ()) if system_of(row) == inputs.system]
    reached: dict[tuple[str, float], list[float]] = {}
    for row in rows:
        if is_number(row.get("recall@20")) and is_number(row.get("ratio")):
            reached.setdefault((row["noise"], row["ratio"]), []).append(row["recall@20"])
    means = {key: fmean(values) for key, values in reached.items()}
    clean = {noise: mean for (noise, ratio), mean in means.items() if not ratio and mean}
    lost = {key: 1 - mean / clean[key[0]] for key, mean in means.items() if key[1] and key[0] in clean}
    if not lost:
        return None
    noise, ratio = worst = max(lost, key=lambda key: lost[key])
    if lost[worst] <= 0:
        return f"None of the noise that was tried costs {inputs.system} any of its Recall@20."
    share = f"{lost[worst]:.1%} of its Recall@20"
    return f"Of the noise that was tried, {ratio:.0%} of {noise} costs {inputs.system} most: {share}."


def _missing(inputs: ReportInputs) -> list[str]:
    studies = [study for study in STUDIES if study.shows and study.name not in inputs.tables]
    missing = [f"{study.name} ({study.shows})" for study in studies]
    if inputs.metrics is None:
        missing.insert(0, "fit and evaluate (metrics, curves, vectors)")
    if not inputs.audit:
        missing.append("audit (which clicks and contents look wrong)")
    return missing
