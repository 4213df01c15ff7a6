"""`build-graphs`: the one heterograph of a data set, and its summary."""

from __future__ import annotations

from typing import Any

from damrs_dgl.stages.workspace import Workspace


def build_graphs(workspace: Workspace) -> dict[str, Any]:
    """Build and store the graphs, unless they are there already; returns their summary (`graphs/summary.json`)."""
    summary = workspace.built_graph.summary
    if not workspace.graph_is_new:  # which has shown it
        workspace.console.notice(f"build-graphs: up to date ({workspace.run.graph})")
    return summary
