"""The studies that a report shows, each declared once: its name, its section, its words where it was not made yet."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from damrs_dgl.report.blocks import Section
from damrs_dgl.report.inputs import ReportInputs, Row, read_table
from damrs_dgl.report.sections.groups import groups_section
from damrs_dgl.report.sections.stress import stress_section
from damrs_dgl.report.sections.systems import ablation_section, comparison_section
from damrs_dgl.report.sections.tuning import tuning_section
from damrs_dgl.storage.run import RunDirectory


@dataclass(frozen=True)
class ReportedStudy:
    """A study as the report has it.

    name: of its stage, by which its files go (`RunDirectory.study`).  section: made of its rows, None without any.
    texts: its columns that stay text, though a name may look like a number.  shows: what the overview says that a run
    without it lacks; "" for what not every run needs.  has_pairs: it tests pairs of systems.
    of_the_model: it judges the run's own model, and is out of date where that was trained further.
    """

    name: str
    section: Callable[[ReportInputs], Section | None]
    texts: frozenset[str]
    shows: str = ""
    has_pairs: bool = False
    of_the_model: bool = False


_SYSTEMS = frozenset({"system", "against", "metric", "error"})  # of rows and of pairs
_STRESS = frozenset({"system", "model", "noise", "error"})  # model: in tables of before
_GROUPS = frozenset({"by", "group", "counted", "system", "metric"})

STUDIES = (  # in the page's order
    ReportedStudy("groups", groups_section, _GROUPS, "new and active users, rare and popular items", of_the_model=True),
    ReportedStudy("compare", comparison_section, _SYSTEMS, "systems side by side", has_pairs=True),
    ReportedStudy("ablate", ablation_section, _SYSTEMS, "what each part adds", has_pairs=True),
    ReportedStudy("stress", stress_section, _STRESS, "what noise does"),
    ReportedStudy("tune", tuning_section, frozenset({"search", "state", "error"})),
)


def study_tables(run: RunDirectory, shown: Collection[str]) -> dict[str, list[Row]]:
    """The rows of those studies that are shown and have a table in a run's folder. Raises RunError for no table."""
    return _tables(shown, lambda name: run.study(name).table)


def pair_tables(run: RunDirectory, shown: Collection[str]) -> dict[str, list[Row]]:
    """As `study_tables`, the pairs of systems."""
    return _tables(
        [study.name for study in STUDIES if study.has_pairs and study.name in shown], lambda name: run.study(name).pairs
    )


def _tables(shown: Collection[str], file: Callable[[str], Path]) -> dict[str, list[Row]]:
    found = {study.name: read_table(file(study.name), study.texts) for study in STUDIES if study.name in shown}
    return {name: rows for name, rows in found.items() if rows}
