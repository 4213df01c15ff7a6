"""A closed form that is loaded from a checkpoint, which is read on the CPU, scores where the others do.

"meta" stands for an accelerator: what is put there is no longer on the CPU.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from damrs_dgl.models.registry import find_model
from damrs_dgl.models.specification.tables import make_config
from tests.models.builders import make_inputs, tiny_dataset


@pytest.mark.parametrize(
    "name, stored", [("popularity", {"item_degrees": torch.ones(14)}), ("ease", {"weights": torch.eye(14)})]
)
def test_what_is_loaded_goes_to_the_inputs_device(name: str, stored: dict[str, torch.Tensor]) -> None:
    inputs = replace(make_inputs(tiny_dataset()), device=torch.device("meta"))
    model = find_model(name)(inputs, make_config({"name": name}))  # type: ignore[call-arg]
    model.load_state_dict(stored)
    device = model.embeddings().items.device if name == "popularity" else model.scorer().device
    assert device.type == "meta"
