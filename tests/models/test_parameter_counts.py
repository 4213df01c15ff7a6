"""How many parameters a system has, written out: every table and map is registered, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models.builders import build, tiny_dataset

USERS, ITEMS, D = 16, 14, 8
VISUAL, TEXTUAL = 5, 6  # widths of the content
HIDDEN = ITEMS // 4  # the critic's first layer; the second has half of it


def linear(width_in: int, width_out: int) -> int:
    """W and b."""
    return width_in * width_out + width_out


TABLES = (USERS + ITEMS) * D
PROJECTIONS = linear(VISUAL, D) + linear(TEXTUAL, D)
ATTENTION = 2 * D * D + 4 * D * D  # Q and K of four heads together, and W
CRITIC = linear(ITEMS, HIDDEN) + linear(HIDDEN, HIDDEN // 2) + linear(HIDDEN // 2, 1)
NORMALISATIONS = 2 * (HIDDEN + HIDDEN // 2)  # a scale and a shift after each hidden layer
HELPER = (USERS + ITEMS) * 3


@pytest.mark.parametrize(
    ("name", "keys", "expected"),
    [
        ("ngcf", {"num_layers": 3}, TABLES + 3 * 2 * linear(D, D)),
        ("sgl", {"num_layers": 3}, TABLES),
        ("simgcl", {"num_layers": 3}, TABLES),
        ("mmssl", {"num_heads": 4}, TABLES + PROJECTIONS + ATTENTION + CRITIC + NORMALISATIONS),
        ("deca", {"backbone": "mf", "helper_dim": 3}, TABLES + 3 * HELPER),  # q, phi1, phi2
        ("deca", {"backbone": "mf", "helper_dim": 3, "agreement": "pretrained"}, TABLES + 2 * HELPER),
        ("bm3", {}, TABLES + linear(D, D) + PROJECTIONS + ITEMS * (VISUAL + TEXTUAL)),  # content is trained
    ],
)
def test_a_system_has_the_parameters_of_its_formulas(name: str, keys: dict[str, Any], expected: int) -> None:
    data = tiny_dataset(("visual", "textual"), users=USERS, items=ITEMS)
    model = build(name, data, dim=D, **keys)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected
