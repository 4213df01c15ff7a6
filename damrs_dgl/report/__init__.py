"""Figures of what was found; matplotlib is imported when one is drawn."""

from __future__ import annotations

from damrs_dgl.report.audit import audit_figure
from damrs_dgl.report.figures import degradation_figure

__all__ = ["audit_figure", "degradation_figure"]
