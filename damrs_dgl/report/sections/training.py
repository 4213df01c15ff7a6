"""The training: each loss term by itself, and the validation score that chose the epoch."""

from __future__ import annotations

from collections.abc import Sequence

from damrs_dgl.evaluation.labels import validation_column
from damrs_dgl.report.blocks import Block, Figure, Figures, Paragraph, Section
from damrs_dgl.report.charts import Series, line_chart
from damrs_dgl.report.inputs import ReportInputs, Row


def training_section(inputs: ReportInputs) -> Section | None:
    if not inputs.histories:
        return None
    blocks: list[Block] = []
    for name, history in inputs.histories.items():
        title = f"Member {name}: " if len(inputs.histories) > 1 and name != inputs.system else ""
        if name in inputs.closed_form:
            blocks.append(_computed(title, history, inputs.monitor))
        else:
            blocks += _trained(title, history, inputs.monitor)
    return Section("training", "The training", blocks)


def _computed(title: str, history: Sequence[Row], monitor: str) -> Paragraph:
    """A system that is computed and not trained."""
    row, score = history[-1], validation_column(monitor)
    values = f"validation {monitor} {row[score]:.4f}, " if row.get(score) is not None else ""
    chosen = ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in row.items() if _is_choice(key, value))
    tail = f" Chosen on validation: {chosen}." if chosen else ""
    text = f"{title}computed in closed form, no curve to draw ({values}{_seconds(history):.1f} s).{tail}"
    return Paragraph(f"{text[:1].upper()}{text[1:]}")


def _trained(title: str, history: Sequence[Row], monitor: str) -> list[Block]:
    """A system that is trained by steps: its curves, and where it was best."""
    score = validation_column(monitor)
    judged = [row for row in history if row.get(score) is not None]
    epochs = [row["epoch"] for row in history]
    figures: list[Figure] = []
    words = []
    if judged:
        best = max(judged, key=lambda row: row[score])
        figures.append(
            line_chart(
                f"{title}validation {monitor}",
                [Series(monitor, [row["epoch"] for row in judged], [row[score] for row in judged])],
                x_label="epoch",
                y_label=monitor,
                best=best["epoch"],
            )
        )
        words.append(f"best validation {monitor} {best[score]:.4f} in epoch {best['epoch']:g} of {len(history)}")
    figures += [
        line_chart(
            f"{title}{term} term",
            [Series(term, epochs, [row[term] for row in history])],
            x_label="epoch",
            y_label="loss",
        )
        for term in loss_terms(history)
    ]
    words.append(f"{_seconds(history):,.1f} s of training")
    text = f"{title}{', '.join(words)}. Each term of the loss has a scale of its own; their sum is minimised."
    return [Paragraph(f"{text[:1].upper()}{text[1:]}"), Figures(figures)]


def _seconds(history: Sequence[Row]) -> float:
    return sum(row.get("seconds") or 0.0 for row in history)


def loss_terms(history: Sequence[Row]) -> list[str]:
    """Columns that are terms of the loss, where there are several; else the loss alone."""
    names = [
        name
        for name, value in history[0].items()
        if _is_choice(name, value) and all(row.get(name) is not None for row in history)
    ]
    return names or ["loss"]


def _is_choice(name: str, value: object) -> bool:
    other = name in ("epoch", "loss") or name.startswith("validation_") or name.endswith("seconds")
    return not other and isinstance(value, float)
