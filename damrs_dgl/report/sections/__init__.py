"""The parts of a report, in their order: each takes the inputs and gives a section, or None without material."""

from __future__ import annotations

from collections.abc import Callable

from damrs_dgl.report.blocks import Section
from damrs_dgl.report.inputs import ReportInputs
from damrs_dgl.report.sections.audit import audit_section
from damrs_dgl.report.sections.data import data_section
from damrs_dgl.report.sections.graphs import graphs_section
from damrs_dgl.report.sections.metrics import metrics_section
from damrs_dgl.report.sections.overview import overview_section
from damrs_dgl.report.sections.repeat import repeat_section
from damrs_dgl.report.sections.studies import STUDIES
from damrs_dgl.report.sections.training import training_section
from damrs_dgl.report.sections.vectors import vectors_section

SECTIONS: tuple[Callable[[ReportInputs], Section | None], ...] = (
    overview_section,
    metrics_section,
    data_section,
    graphs_section,
    training_section,
    *(study.section for study in STUDIES),
    vectors_section,
    audit_section,
    repeat_section,
)
