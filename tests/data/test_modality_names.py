"""What a modality may be called."""

from __future__ import annotations

import pytest

from damrs_dgl.data.modality_names import RESERVED, check_modality_name
from damrs_dgl.errors import DataError
from damrs_dgl.graphs import schema


@pytest.mark.parametrize("name", ["visual", "CLIP_ViT-B32", "0"])
def test_good_modality_names(name: str) -> None:
    assert check_modality_name(name) == name


@pytest.mark.parametrize("name", RESERVED)
def test_reserved_modality_names(name: str) -> None:
    with pytest.raises(DataError, match=f'"{name}" cannot name a modality, it is reserved'):
        check_modality_name(name)


def test_the_graphs_own_names_are_reserved() -> None:
    own = {schema.USER, schema.ITEM, schema.INTERACTS, schema.INTERACTED_BY, schema.BEHAVIOR}
    assert own <= set(RESERVED)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "vis.ual", "../x", "visual\n", "é"])
def test_other_characters_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="use letters, digits"):
        check_modality_name(name)
