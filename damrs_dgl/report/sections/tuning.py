"""The search for settings: its trials, best first, with what tells them apart."""

from __future__ import annotations

from damrs_dgl.evaluation.labels import metric_label, validation_column
from damrs_dgl.report.blocks import Cell, Paragraph, Section, Table
from damrs_dgl.report.inputs import ReportInputs, Row, is_number

_MOST_TRIALS = 20


def tuning_section(inputs: ReportInputs) -> Section | None:
    """The trials of a search, best first: what differs between them and what they came to; None without a search."""
    rows = inputs.tables.get("tune")
    if not rows:
        return None
    score = validation_column(inputs.monitor)
    best = sorted(rows, key=lambda row: -row[score] if is_number(row.get(score)) else float("inf"))[:_MOST_TRIALS]
    keys = [key for key in rows[0] if _is_setting(key) and len({row.get(key) for row in best}) > 1]
    text = (
        f"The first {len(best)} of {len(rows)} trials; chosen on validation. Where a key has none, the recipe's own "
        "value holds. tune.csv has all scores."
    )
    columns = ["trial", "state", *keys, f"validation {metric_label(inputs.monitor)}", "epochs", "seconds"]
    table = Table("Trials", columns, [_trial(row, keys, score) for row in best], names=frozenset({"state", "search"}))
    return Section("tune", "The search for settings", [Paragraph(text), table])


def _is_setting(column: str) -> bool:
    """Whether a column is a key of the recipe, such as model.dim, or which search a trial is of."""
    return column == "search" or ("." in column and "@" not in column)


def _trial(row: Row, keys: list[str], score: str) -> list[Cell]:
    seconds = row.get("seconds")
    told = f"{seconds:,.1f}" if is_number(seconds) else None
    return [row.get("trial"), row.get("state"), *(_setting(row.get(key)) for key in keys), row.get(score),
            row.get("epochs"), told]  # fmt: skip


def _setting(value: Cell) -> Cell:
    """A key's value, with four digits that say something."""
    return f"{value:.4g}" if isinstance(value, float) else value
