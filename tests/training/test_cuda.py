"""On a GPU: the CPU's numbers, and no waiting for the device inside a step. Skipped where there is none."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.training.builders import make_trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

CASES: list[dict[str, Any]] = [
    {"model__variant": variant, "model__backbone": backbone}
    for variant in ("paper", "authors")
    for backbone in ("lightgcn", "mf", "vbpr")
] + [{"losses__sampled_softmax_above": 10, "losses__softmax_sample": 5, "training__batch_size": 16}]


@pytest.mark.parametrize("changes", CASES, ids=str)
def test_one_step_equals_the_cpu(changes: dict[str, Any]) -> None:
    states = []
    for device in ("cpu", "cuda"):
        trainer = make_trainer(device=device, **changes)
        trainer.objective.start_epoch(0)
        batch = next(trainer.sampler.epoch(trainer.generator))
        assert batch.users.device.type == device
        terms = trainer.objective(batch)
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
    trainer = make_trainer(device="cuda", losses__refresh=refresh, **changes)
    trainer.objective.start_epoch(0)
    first, second = list(trainer.sampler.epoch(trainer.generator))[:2]

    def step(batch: object) -> None:
        loss = torch.stack(list(trainer.objective(batch).values())).sum()  # type: ignore[arg-type]
        trainer.optimizer.zero_grad()
        loss.backward()
        trainer.optimizer.step()

    step(first)  # what is set up once may wait
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(second)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_resume_on_a_gpu_with_kept_sets(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    make_trainer(folder, device="cuda", training__epochs=2, losses__refresh=4).fit()
    again = make_trainer(folder, device="cuda", training__epochs=3, losses__refresh=4)
    again.resume()
    assert again.objective.graded_sets is not None and again.objective.graded_sets.similar.device.type == "cuda"
    assert again.fit().epoch == 3
