"""Relation names and their order."""

from __future__ import annotations

import torch

from damrs_dgl.dgl_backend import dgl
from damrs_dgl.graphs.schema import content_relations, item_relations

NONE = (torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))


def graph_with(*relations: str) -> dgl.DGLGraph:
    edges = {("item", relation, "item"): NONE for relation in relations}
    edges |= {("user", "interacts", "item"): NONE, ("item", "interacted_by", "user"): NONE}
    return dgl.heterograph(edges, {"user": 2, "item": 3})


def test_item_relations_list_content_first_and_behavior_last() -> None:
    graph = graph_with("visual", "behavior", "acoustic")
    assert content_relations(graph) == ["acoustic", "visual"]
    assert item_relations(graph) == ["acoustic", "visual", "behavior"]
    assert item_relations(graph_with("visual")) == ["visual"]
    assert item_relations(graph_with()) == []
