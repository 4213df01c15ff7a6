"""The heterograph of a data set, its summary, and the file it is kept in."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.modality_names import check_modality_name
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.errors import RunError, StorageError
from damrs_dgl.graphs.behavior import BehaviorNeighbors, behavior_neighbors
from damrs_dgl.graphs.interactions import EdgeLists, interaction_edges
from damrs_dgl.graphs.schema import BEHAVIOR, ITEM, USER, WEIGHT
from damrs_dgl.graphs.semantic import SemanticNeighbors, search_method, semantic_neighbors
from damrs_dgl.progress import OnProgress, silent
from damrs_dgl.storage.checksums import file_digest
from damrs_dgl.storage.files import whole_file

# DGL checks little of what it reads, and a file cut short can load as another graph. So a seal follows its bytes
# (which it does not look at): this mark and the SHA-256 of all that precedes it.
_MARK = b"damrs-dgl graph\n"
_SEAL_SIZE = len(_MARK) + hashlib.sha256().digest_size
_INCOMPLETE = "the graph could not be written in full"
_FREE_SPACE = "check the disk's free space and the folder's permissions, then run the same command again"


@dataclass(frozen=True)
class BuiltGraph:
    """A graph and the numbers that describe it (plain Python values, fit for JSON).

    Where the content relations were searched and not all pairs compared, ``parameters.candidates`` in the summary says
    how, and ``pruned_pairs`` has no counts of them.
    """

    graph: dgl.DGLGraph
    summary: dict[str, Any]


def build_graph(
    dataset: MultimodalDataset,
    *,
    k: int = 10,
    consistency: bool = True,
    behavior: bool = True,
    behavior_k: int = 10,
    behavior_min_count: int = 2,
    behavior_weighted: bool = True,
    behavior_similarity: str = "count",
    candidates: str = "auto",
    approximate_above: int = 200_000,
    block_size: int = 2048,
    device: torch.device | str = "cpu",
    progress: OnProgress = silent,
) -> BuiltGraph:
    """All relations of a data set as one ``dgl.heterograph`` with int32 ids (graphs/schema.py names them).

    Parameters
    ----------
    k, consistency: the content relations, one per modality (Eq. 1; :func:`semantic_neighbors`).
    behavior, behavior_k, behavior_min_count: the behaviour relation (Eq. 2; :func:`behavior_neighbors`).
    behavior_weighted: keep the co-occurrence counts or cosines as edge data ``weight``, float32; False: binary.
    behavior_similarity: "count" or "cosine", by which neighbours are chosen and weighed.
    candidates, approximate_above: whether the content relations are exact or searched (:func:`semantic_neighbors`).
    block_size, device: how the content relations are computed; the result does not depend on them.
    progress: called with (done, total, label).

    Edges run from the neighbour to the item that keeps it and are ordered by target and then source. The graph is on
    the CPU. Raises DataError for a modality's name that cannot be a relation, RecipeError for a value below 1 and as
    :func:`semantic_neighbors` does.
    """
    for modality in dataset.features:
        check_modality_name(modality)
    content = semantic_neighbors(
        dataset.features,
        k=k,
        consistency=consistency,
        candidates=candidates,
        approximate_above=approximate_above,
        block_size=block_size,
        device=device,
        progress=progress,
    )
    together = None
    if behavior:
        chosen: dict[str, Any] = {"k": behavior_k, "min_count": behavior_min_count, "similarity": behavior_similarity}
        sizes = (dataset.num_users, dataset.num_items)
        together = behavior_neighbors(dataset.train, *sizes, **chosen, progress=progress)
    edges = _edge_lists(dataset, content, together)
    graph = dgl.heterograph(edges, {USER: dataset.num_users, ITEM: dataset.num_items}, idtype=torch.int32)
    if together is not None and behavior_weighted:
        graph.edges[BEHAVIOR].data[WEIGHT] = together.weights
    method = search_method(candidates, dataset.num_items, approximate_above)
    parameters: dict[str, Any] = {"k": k, "consistency": consistency, "candidates": method, "behavior": behavior}
    if behavior:
        parameters |= {"behavior_k": behavior_k, "behavior_min_count": behavior_min_count}
        parameters |= {"behavior_weighted": behavior_weighted, "behavior_similarity": behavior_similarity}
    return BuiltGraph(graph, _summary(graph, edges, content, together, parameters))


def _edge_lists(
    dataset: MultimodalDataset, content: SemanticNeighbors, together: BehaviorNeighbors | None
) -> EdgeLists:
    """(sources, targets) of every relation."""
    edges = interaction_edges(dataset.train)
    for modality, (items, neighbors) in content.pairs.items():
        edges[ITEM, modality, ITEM] = (neighbors, items)
    if together is not None:
        edges[ITEM, BEHAVIOR, ITEM] = (together.neighbors, together.items)
    return edges


def _summary(
    graph: dgl.DGLGraph,
    edges: EdgeLists,
    content: SemanticNeighbors,
    together: BehaviorNeighbors | None,
    parameters: dict[str, Any],
) -> dict[str, Any]:
    return {
        "nodes": {USER: graph.num_nodes(USER), ITEM: graph.num_nodes(ITEM)},
        "edges": {relation: graph.num_edges((source, relation, target)) for source, relation, target in edges},
        "mean_similarity": content.mean_similarity,
        "pruned_pairs": {
            "below_mean": content.below_mean,
            "inconsistent": content.inconsistent,
            "behavior_below_min_count": 0 if together is None else together.below_min_count,
        },
        "items_without_content": content.items_without_content,
        "parameters": parameters,
    }


def save_graph(graph: dgl.DGLGraph, path: str | Path) -> None:
    """Write a graph to `path`, whole or not at all; the file is DGL's own format, followed by a checksum.

    Raises StorageError where the file cannot be written; what stood there before is then untouched.
    """
    path = Path(path)
    with whole_file(path) as temporary:
        try:
            dgl.save_graphs(str(temporary), [graph])
            seal = _MARK + file_digest(temporary, temporary.stat().st_size)
            with temporary.open("ab") as file:
                file.write(seal)
                file.flush()
                os.fsync(file.fileno())
            # DGL does not notice when its last buffer finds no room, so what was written is read back
            complete = _same_graph(graph, dgl.load_graphs(str(temporary))[0][0])
        except dgl.DGLError as error:
            raise StorageError(_INCOMPLETE, where=path, fix=_FREE_SPACE) from error
        if not complete:
            raise StorageError(_INCOMPLETE, where=path, fix=_FREE_SPACE)


def load_graph(path: str | Path, *, verified: bool = False) -> dgl.DGLGraph:
    """Read a graph written by :func:`save_graph`; `verified`: whoever calls has compared its checksum already.

    Raises RunError where there is none, or where its checksum does not fit (cut short, changed, another kind of file).
    """
    path = Path(path)
    rebuild = "run `damrs-dgl build-graphs` again"
    try:
        body_size = path.stat().st_size - _SEAL_SIZE
        with path.open("rb") as file:
            file.seek(max(body_size, 0))
            seal = file.read()
        intact = body_size > 0 and (verified or seal == _MARK + file_digest(path, body_size))
    except FileNotFoundError as error:
        raise RunError("there is no graph", where=path, fix="run `damrs-dgl build-graphs` first") from error
    except OSError as error:
        raise RunError(f"the graph cannot be read ({error.strerror})", where=path, fix=rebuild) from error
    if not intact:
        raise RunError("this file is damaged or not a graph of damrs-dgl", where=path, fix=rebuild)
    try:
        graphs, _ = dgl.load_graphs(str(path))
    except dgl.DGLError as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"the installed DGL cannot read this graph ({reason})", where=path, fix=rebuild) from error
    return graphs[0]


def _same_graph(graph: dgl.DGLGraph, other: dgl.DGLGraph) -> bool:
    """Whether two graphs have the same nodes, edges in the same order, and edge weights."""
    if graph.canonical_etypes != other.canonical_etypes or any(
        graph.num_nodes(kind) != other.num_nodes(kind) for kind in (USER, ITEM)
    ):
        return False
    for relation in graph.canonical_etypes:
        mine, theirs = graph.edges(etype=relation, order="eid"), other.edges(etype=relation, order="eid")
        if not all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True)):
            return False
        weights, others = graph.edges[relation].data.get(WEIGHT), other.edges[relation].data.get(WEIGHT)
        if (weights is None) != (others is None):
            return False
        if weights is not None and not torch.equal(weights, others):
            return False
    return True
