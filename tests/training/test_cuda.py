"""On a GPU: the CPU's numbers, and no waiting for the device inside a step. Skipped where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from damrs_dgl.models.base import Batch
from tests.training.builders import make_trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

CASES: list[dict[str, Any]] = [
    {"model__variant": variant, "model__backbone": backbone}
    for variant in ("recommended", "paper", "authors")
    for backbone in ("lightgcn", "mf", "vbpr")
] + [{"model__sampled_softmax_above": 10, "model__softmax_sample": 5, "training__batch_size": 16}]


@pytest.mark.parametrize("changes", CASES, ids=str)
def test_one_step_equals_the_cpu(changes: dict[str, Any]) -> None:
    states = []
    for device in ("cpu", "cuda"):
        trainer = make_trainer(device=device, **changes)
        trainer.model.on_epoch_start(1, trainer.generator)
        batch = next(trainer.sampler.epoch(trainer.generator))
        assert batch.users.device.type == device
        terms = trainer.model.training_step(batch)
        torch.stack(list(terms.values())).sum().backward()
        gradients = {f"d {name}": p.grad for name, p in trainer.model.named_parameters()}
        states.append(
            {name: value.detach().cpu() for name, value in {**terms, **gradients}.items() if value is not None}
        )
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.allclose(value, states[1][name], rtol=1e-4, atol=1e-4 * float(value.abs().max())), name


@pytest.mark.parametrize("refresh", ["epoch", "step"])
@pytest.mark.parametrize("changes", CASES, ids=str)
def test_a_step_never_waits_for_the_device(changes: dict[str, Any], refresh: str) -> None:
    trainer = make_trainer(device="cuda", model__refresh=refresh, **changes)
    trainer.model.on_epoch_start(1, trainer.generator)
    first, second = list(trainer.sampler.epoch(trainer.generator, trainer._step_generator(1)))[:2]

    def step(batch: Batch) -> None:
        trainer.model.optimize(batch, trainer.optimizers)

    step(first)  # what is set up once may wait
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(second)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_resume_on_a_gpu_with_kept_sets(tmp_path: Path) -> None:
    make_trainer(tmp_path, device="cuda", training__epochs=2, model__refresh=4).fit()
    again = make_trainer(tmp_path, device="cuda", training__epochs=3, model__refresh=4)
    again.resume()
    model: Any = again.model
    assert model.graded_sets.similar.device.type == "cuda" and (model.graded_sets.similar >= 0).any()
    assert again.fit().epoch == 3
