"""Figures of what was found; matplotlib is imported when one is drawn."""

from __future__ import annotations

from damrs_dgl.report.audit_figure import audit_figure
from damrs_dgl.report.degradation_figure import degradation_figure

__all__ = ["audit_figure", "degradation_figure"]
