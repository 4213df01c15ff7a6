"""The heterograph, its summary, and its file."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.parts import Interactions, ModalityFeatures
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.errors import DataError, RunError, StorageError
from damrs_dgl.graphs import build_graph, content_relations, item_relations, load_graph, save_graph
from damrs_dgl.graphs.behavior import behavior_neighbors
from damrs_dgl.graphs.semantic import semantic_neighbors

USERS, ITEMS = 25, 18


def make_dataset(modalities: tuple[str, ...] = ("visual", "acoustic"), density: float = 0.3) -> MultimodalDataset:
    random = np.random.default_rng(5)
    users, items = np.nonzero(random.random((USERS, ITEMS)) < density)
    nothing = Interactions.from_numpy(np.zeros(0), np.zeros(0))
    features = {}
    for modality in modalities:
        values = random.normal(0.2, 1, (ITEMS, 6)).astype(np.float32)
        values[4 if modality == "visual" else 9] = 0
        features[modality] = ModalityFeatures(values, ~values.any(1))
    return MultimodalDataset(
        "small",
        pa.array(range(USERS)),
        pa.array(range(ITEMS)),
        Interactions.from_numpy(users, items),
        nothing,
        nothing,
        features,
    )


def edge_list(graph: dgl.DGLGraph, relation: str) -> list[tuple[int, int]]:
    """(target, source) pairs in the order of the edges."""
    sources, targets = graph.edges(etype=relation, order="eid")
    return list(zip(targets.tolist(), sources.tolist(), strict=True))


def test_relations_directions_and_types() -> None:
    dataset = make_dataset()
    graph = build_graph(dataset, k=4, behavior_k=3).graph
    assert graph.idtype == torch.int32
    assert (graph.num_nodes("user"), graph.num_nodes("item")) == (USERS, ITEMS)
    assert item_relations(graph) == ["acoustic", "visual", "behavior"]
    content = semantic_neighbors(dataset.features, k=4)
    for modality in content_relations(graph):
        items, neighbors = content.pairs[modality]
        assert edge_list(graph, modality) == list(zip(items.tolist(), neighbors.tolist(), strict=True))
        assert torch.equal(graph.in_degrees(etype=modality).long(), torch.bincount(items, minlength=ITEMS))
        assert not graph.edges[modality].data
    together = behavior_neighbors(dataset.train, USERS, ITEMS, k=3)
    pairs = zip(together.items.tolist(), together.neighbors.tolist(), strict=True)
    assert edge_list(graph, "behavior") == list(pairs)
    weights = graph.edges["behavior"].data["weight"]
    assert weights.dtype == torch.float32
    assert torch.equal(weights, together.weights)
    assert len(set(together.neighbors[together.items == 0].tolist()) - {0}) == 3
    clicks = sorted(zip(dataset.train.items.tolist(), dataset.train.users.tolist(), strict=True))
    assert edge_list(graph, "interacts") == clicks
    assert edge_list(graph, "interacted_by") == sorted((user, item) for item, user in clicks)


def test_a_message_flows_from_neighbor_to_item() -> None:
    graph = build_graph(make_dataset(), k=3).graph
    graph.nodes["item"].data["h"] = torch.eye(ITEMS)
    graph.update_all(dgl.function.copy_u("h", "m"), dgl.function.sum("m", "a"), etype="visual")
    adjacency = graph.nodes["item"].data["a"]
    assert {tuple(pair) for pair in adjacency.nonzero().tolist()} == set(edge_list(graph, "visual"))
    assert adjacency[4].nonzero().flatten().tolist() == [4]


def test_summary() -> None:
    dataset = make_dataset()
    calls: list[tuple[int, int, str]] = []
    built = build_graph(dataset, k=4, progress=lambda *call: calls.append(call))
    summary = built.summary
    assert summary["nodes"] == {"user": USERS, "item": ITEMS}
    assert list(summary["edges"]) == ["interacts", "interacted_by", "visual", "acoustic", "behavior"]
    assert all(summary["edges"][relation] == len(edge_list(built.graph, relation)) for relation in built.graph.etypes)
    rows = {name: content.values.astype(np.float64) for name, content in dataset.features.items()}
    unit = {name: part / np.maximum(np.linalg.norm(part, axis=1), 1e-30)[:, None] for name, part in rows.items()}
    cosine = {name: part @ part.T for name, part in unit.items()}
    known = {name: part.any(1)[:, None] & part.any(1) for name, part in rows.items()}
    mean = {name: part[known[name]].mean() for name, part in cosine.items()}
    below = {name: known[name] & (part < mean[name]) for name, part in cosine.items()}
    assert summary["mean_similarity"] == pytest.approx(mean)
    assert summary["pruned_pairs"]["below_mean"] == {name: int(part.sum()) for name, part in below.items()}
    assert summary["pruned_pairs"]["inconsistent"] == {
        "visual": int((known["visual"] & ~below["visual"] & below["acoustic"]).sum()),
        "acoustic": int((known["acoustic"] & ~below["acoustic"] & below["visual"]).sum()),
    }
    clicks = np.zeros((USERS, ITEMS), dtype=int)
    clicks[dataset.train.users, dataset.train.items] = 1
    counts = clicks.T @ clicks
    np.fill_diagonal(counts, 0)
    assert summary["pruned_pairs"]["behavior_below_min_count"] == int((counts == 1).sum())
    assert summary["items_without_content"] == {"visual": 1, "acoustic": 1, "any": 2}
    assert summary["parameters"]["k"] == 4
    assert json.loads(json.dumps(summary)) == summary
    assert {label for _, _, label in calls} == {"content graphs", "behaviour graph"}
    assert all(0 < done <= total for done, total, _ in calls)


def test_variants() -> None:
    dataset = make_dataset()
    assert "weight" not in build_graph(dataset, behavior_weighted=False).graph.edges["behavior"].data
    without = build_graph(dataset, behavior=False)
    assert item_relations(without.graph) == ["acoustic", "visual"]
    assert without.summary["pruned_pairs"]["behavior_below_min_count"] == 0
    assert item_relations(build_graph(make_dataset(())).graph) == ["behavior"]
    empty = build_graph(make_dataset(density=0.0)).graph
    assert (empty.num_nodes("user"), empty.num_edges("interacts"), empty.num_edges("behavior")) == (USERS, 0, ITEMS)
    plain = build_graph(dataset, k=ITEMS, consistency=False).summary
    assert plain["pruned_pairs"]["below_mean"] == plain["pruned_pairs"]["inconsistent"] == {"visual": 0, "acoustic": 0}
    with pytest.raises(DataError, match='"behavior" cannot name a modality'):
        build_graph(make_dataset(("behavior",)))


def test_save_and_load(tmp_path: Path) -> None:
    graph = build_graph(make_dataset()).graph
    path = tmp_path / "graph.bin"
    save_graph(graph, path)
    save_graph(graph, path)  # over itself
    assert [file.name for file in tmp_path.iterdir()] == ["graph.bin"]
    for loaded in (load_graph(path), dgl.load_graphs(str(path))[0][0]):  # DGL itself reads it too
        assert loaded.idtype == torch.int32
        assert loaded.canonical_etypes == graph.canonical_etypes
        assert all(edge_list(loaded, relation) == edge_list(graph, relation) for relation in graph.etypes)
        assert torch.equal(loaded.edges["behavior"].data["weight"], graph.edges["behavior"].data["weight"])
        assert (loaded.num_nodes("user"), loaded.num_nodes("item")) == (USERS, ITEMS)


def test_damaged_files_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "graph.bin"
    save_graph(build_graph(make_dataset()).graph, path)
    whole = path.read_bytes()
    damaged = [whole[:size] for size in (0, 1, 8, 47, 48, 100, len(whole) // 2, len(whole) - 49, len(whole) - 1)]
    changed = bytearray(whole)
    changed[len(whole) // 3] ^= 1
    damaged += [bytes(changed), whole + b"\0", b"garbage" * 1000, whole[-48:], whole[:-48]]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(RunError, match="damaged or not a graph") as caught:
            load_graph(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)
    with pytest.raises(RunError, match=r"there is no graph.*build-graphs"):
        load_graph(tmp_path / "other.bin")
    with pytest.raises(RunError, match="cannot be read"):
        load_graph(tmp_path)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writes beyond `size` bytes of a file fail, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "graph.bin"
    graph = build_graph(make_dataset()).graph
    save_graph(graph, path)
    before = path.read_bytes()
    for size in (0, 500, len(before) // 2, len(before) - 60, len(before) - 1):
        with largest_file(size), pytest.raises(StorageError) as caught:
            save_graph(graph, path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert path.read_bytes() == before
        assert [file.name for file in tmp_path.iterdir()] == ["graph.bin"]


def test_what_was_written_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = build_graph(make_dataset()).graph
    other = build_graph(make_dataset(), k=3).graph
    light = build_graph(make_dataset()).graph
    light.edges["behavior"].data["weight"] *= 2
    write = dgl.save_graphs
    for written in (other, light):
        monkeypatch.setattr(dgl, "save_graphs", lambda path, graphs, written=written: write(path, [written]))
        with pytest.raises(StorageError, match="could not be written in full"):
            save_graph(graph, tmp_path / "graph.bin")
        assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        save_graph(build_graph(make_dataset()).graph, tmp_path / "file" / "graph.bin")
