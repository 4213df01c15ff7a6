"""The graphs of a run as an artefact: read where they are there and fit, else made and stored."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from damrs_dgl.console import Console
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.errors import RunError
from damrs_dgl.factory import build_recipe_graph
from damrs_dgl.graphs.build import BuiltGraph, load_graph, save_graph
from damrs_dgl.recipe import Recipe
from damrs_dgl.storage.files import read_json, whole_file, write_json
from damrs_dgl.storage.run import RunDirectory, change_text


def stored_graph(run: RunDirectory, parts: Mapping[str, Any], console: Console) -> BuiltGraph | None:
    """The run's graph and its summary, None where they are not there or no longer fit `parts`; says why."""
    changed = run.changes("graphs", parts)
    if changed:
        console.notice(f"build-graphs: {change_text(changed)}, building anew")
    if not run.is_sound("graphs", parts, console.warning):
        return None
    try:
        return BuiltGraph(load_graph(run.graph, verified=True), read_json(run.graph_summary, fix=""))
    except RunError as error:
        console.warning(f"{error.where}: {error.what}; making the graphs anew")
        return None


def make_graph(
    run: RunDirectory,
    parts: Mapping[str, Any],
    console: Console,
    *,
    recipe: Recipe[Any],
    dataset: MultimodalDataset,
    device: torch.device,
) -> BuiltGraph:
    """Build the graph, store it with its summary and the lists of ids (`ids/*.parquet`), and show what it holds."""
    started = time.perf_counter()
    with console.progress("build-graphs", None) as bar:
        built = build_recipe_graph(recipe, dataset, device=device, progress=bar.step)
    seconds = round(time.perf_counter() - started, 3)
    summary = {**built.summary, "seconds": seconds, "synthetic": recipe.data.is_synthetic}
    with run.making("graphs", parts, run.graph, run.graph_summary, run.user_ids, run.item_ids):
        for path, node, ids in ((run.user_ids, "user", dataset.user_ids), (run.item_ids, "item", dataset.item_ids)):
            with whole_file(path) as temporary:
                pq.write_table(pa.table({node: ids, "node": pa.array(range(len(ids)), pa.int64())}), temporary)
        save_graph(built.graph, run.graph)
        write_json(run.graph_summary, summary)
    _show(run, summary, console, name=recipe.name)
    return BuiltGraph(built.graph, summary)


def _show(run: RunDirectory, summary: dict[str, Any], console: Console, *, name: str) -> None:
    nodes, edges = summary["nodes"], summary["edges"]
    similarity = summary["mean_similarity"]
    synthetic = ", synthetic data" if summary["synthetic"] else ""
    console.table(
        f"{name}: graphs of {nodes['user']:,} users and {nodes['item']:,} items{synthetic}",
        ["relation", "edges", "avg. similarity"],
        [[relation, f"{count:,}", similarity.get(relation, "")] for relation, count in edges.items()],
    )
    console.notice(f"build-graphs: {run.graph} ({summary['seconds']:.1f} s)")
