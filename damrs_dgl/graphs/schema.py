"""Names of the node types, relations and edge data, once, and the order in which relations are listed.

The graph is one ``dgl.heterograph``::

    (user, interacts, item)   (item, interacted_by, user)   (item, <modality>, item) each   (item, behavior, item)

Edges point the way messages flow: where item i keeps neighbour j the edge runs j -> i, so an item's in-degree is the
row sum of its adjacency matrix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from damrs_dgl.dgl_backend import dgl

USER = "user"
ITEM = "item"
INTERACTS = "interacts"
INTERACTED_BY = "interacted_by"
BEHAVIOR = "behavior"
WEIGHT = "weight"


def content_relations(graph: dgl.DGLGraph) -> list[str]:
    """The content modalities that have an item-item relation, in the graph's order (DGL's own: by name)."""
    return [
        relation
        for source, relation, target in graph.canonical_etypes
        if source == ITEM and target == ITEM and relation != BEHAVIOR
    ]


def item_relations(graph: dgl.DGLGraph) -> list[str]:
    """All item-item relations: the content modalities, then ``behavior`` where the graph has it."""
    has_behavior = (ITEM, BEHAVIOR, ITEM) in graph.canonical_etypes
    return content_relations(graph) + ([BEHAVIOR] if has_behavior else [])
