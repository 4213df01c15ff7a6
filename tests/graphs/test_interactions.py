"""User-item edges: both directions, in order, of the training split."""

from __future__ import annotations

import torch

from damrs_dgl.data.parts import Interactions
from damrs_dgl.graphs.interactions import interaction_edges


def test_both_directions_ordered_by_target_then_source() -> None:
    train = Interactions(torch.tensor([2, 0, 1, 0]), torch.tensor([1, 3, 1, 0]))
    edges = interaction_edges(train)
    assert {key: [part.tolist() for part in pair] for key, pair in edges.items()} == {
        ("user", "interacts", "item"): [[0, 1, 2, 0], [0, 1, 1, 3]],
        ("item", "interacted_by", "user"): [[0, 3, 1, 1], [0, 0, 1, 2]],
    }
