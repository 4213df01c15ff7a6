"""`build-graphs`: the one heterograph of a data set, and its summary."""

from __future__ import annotations

from typing import Any

from damrs_dgl.stages.workspace import Workspace


def build_graphs(workspace: Workspace) -> dict[str, Any]:
    """Build and store the graphs, unless they are there already; returns their summary (`graphs/summary.json`)."""
    summary = workspace.built_graph.summary
    if workspace.graph_is_new:
        _show(workspace, summary)
    else:
        workspace.console.notice(f"build-graphs: up to date ({workspace.run.graph})")
    return summary


def _show(workspace: Workspace, summary: dict[str, Any]) -> None:
    nodes, edges = summary["nodes"], summary["edges"]
    similarity = summary["mean_similarity"]
    synthetic = ", synthetic data" if workspace.is_synthetic else ""
    workspace.console.table(
        f"{workspace.recipe.name}: graphs of {nodes['user']:,} users and {nodes['item']:,} items{synthetic}",
        ["relation", "edges", "avg. similarity"],
        [[name, f"{count:,}", similarity.get(name, "")] for name, count in edges.items()],
    )
    workspace.console.notice(f"build-graphs: {workspace.run.graph} ({summary['seconds']:.1f} s)")
