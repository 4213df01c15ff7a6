"""A device that is none is refused, and does not quietly become the CPU."""

from __future__ import annotations

import pytest

from damrs_dgl.factory import pick_device


@pytest.mark.parametrize("name", ["gpu", "cuda:0", ""])
def test_a_device_that_is_none(name: str) -> None:
    with pytest.raises(ValueError, match="choose auto, cpu or cuda"):
        pick_device(name)
