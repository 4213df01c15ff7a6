"""An epoch on a GPU beside the paper's (RTX 3090), what its time goes to, and the least that it could take.

    python -m benchmarks.gpu                                    # the sizes of Baby and Clothing
    python -m benchmarks.gpu --data clothing -o training.matmul_precision=high
    python -m benchmarks.gpu --device cpu --data tiny           # to see that it works

The epoch is the recipe's own: all losses, LightGCN, without validation. The floor has two parts, which a perfect
program could overlap. Bytes: of every propagation the two tables and the edges once, and of every parameter, gradient
and moment what Adam reads and writes, over the bandwidth of a copy. Operations: those of a step's dense products, over
the rate of a large one. Both rates are measured here, in float32, in the precision that the recipe asks for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measuring import arguments, chosen, print_table, write_json
from benchmarks.shipped_training import ShippedTraining
from benchmarks.workloads import SIZES, load_workload
from damrs_dgl.factory import build_recipe_graph
from damrs_dgl.models.layers.propagation import Relation, SparseRelation
from damrs_dgl.training.trainer import Trainer, matmul_precision

PAPER_SECONDS = {"baby": 1.71, "clothing": 7.11}  # an epoch of DA-MRS around LightGCN, one RTX 3090
ADAM_PASSES = 7  # parameter and both moments read and written, gradient read
FLOAT_BYTES, INDEX_BYTES = 4, 4


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rate(device: torch.device, work: float, run: Any, repeats: int = 10) -> float:
    """Units of work a second, by the fastest of some runs."""
    seconds = []
    for _ in range(repeats):
        synchronize(device)
        started = time.perf_counter()
        run()
        synchronize(device)
        seconds.append(time.perf_counter() - started)
    return work / min(seconds)


def rates(device: torch.device, precision: str) -> dict[str, float]:
    """Bytes a second of a copy, operations a second of a matrix product."""
    values, side = (2**27, 8192) if device.type == "cuda" else (2**24, 1024)
    source, target = torch.zeros(values, device=device), torch.empty(values, device=device)
    left = torch.randn(side, side, device=device)
    with matmul_precision(precision):
        return {
            "bytes": rate(device, 2 * FLOAT_BYTES * values, lambda: target.copy_(source)),
            "operations": rate(device, 2 * side**3, lambda: left @ left),
        }


def dense_products(left: Tensor, right: Tensor, *_: Any, **__: Any) -> int:
    """Operations of left @ right; a sparse matrix is a propagation and counts by its bytes."""
    return 2 * left.shape[0] * left.shape[1] * right.shape[1] if left.layout is torch.strided else 0


dense_products._get_raw = True  # type: ignore[attr-defined]  # torch's mark: called with tensors, not with shapes


@contextmanager
def traffic_of(model: nn.Module) -> Iterator[list[int]]:
    """Bytes that each propagation within has to move; LightGCN's backward calls its relations itself."""
    moved: list[int] = []

    def count(relation: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        edges = relation.graph.num_edges() if isinstance(relation, Relation) else relation.matrix.values().numel()
        size = FLOAT_BYTES * (inputs[0].numel() + output.numel()) + INDEX_BYTES * edges
        moved.append(size * (2 if output.requires_grad else 1))

    relations = [module for module in model.modules() if isinstance(module, Relation | SparseRelation)]
    hooks = [relation.register_forward_hook(count) for relation in relations]
    try:
        yield moved
    finally:
        for hook in hooks:
            hook.remove()


def counting() -> FlopCounterMode:
    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mm: dense_products})


def floor(trainer: Trainer, device: torch.device, precision: str) -> dict[str, float]:
    """Seconds that an epoch's bytes and operations take at the device's measured rates."""
    batches = list(trainer.sampler.epoch(trainer.generator))
    with traffic_of(trainer.model) as traffic, counting() as counter:
        trainer.model.optimize(batches[0], trainer.optimizers)
    tables = sum(table.numel() for table in trainer.model.parameters())
    moved = sum(traffic) + ADAM_PASSES * FLOAT_BYTES * tables
    per_second = rates(device, precision)
    return {
        "bytes_a_step": moved,
        "operations_a_step": counter.get_total_flops(),
        "bytes_a_second": per_second["bytes"],
        "operations_a_second": per_second["operations"],
        "seconds_of_bytes": len(batches) * moved / per_second["bytes"],
        "seconds_of_operations": len(batches) * counter.get_total_flops() / per_second["operations"],
    }


def profiled(trainer: Trainer, device: torch.device, precision: str, path: Path) -> None:
    """Write the operations of five steps, the longest first."""
    batches = list(trainer.sampler.epoch(trainer.generator))
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with matmul_precision(precision), profile(activities=kinds) as record:
        for batch in (batches * 5)[:5]:
            trainer.model.optimize(batch, trainer.optimizers)
        synchronize(device)
    key = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(record.key_averages().table(sort_by=key, row_limit=30), encoding="utf-8")


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--data", default="baby,clothing", help=f"by commas, of {', '.join(SIZES)} [%(default)s]")
    parser.add_argument("--device", default="cuda", help="[%(default)s]")
    parser.add_argument("-o", dest="overrides", action="append", default=[], help="a recipe override; repeatable")
    options = chosen(parser)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no CUDA device here")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
    path = options.json or Path("runs/gpu.json")
    results, rows = {}, []
    for data in options.data.split(","):
        workload = load_workload(data, options.overrides)
        recipe = workload.recipe
        training = ShippedTraining(recipe, workload, build_recipe_graph(recipe, workload.dataset).graph, device)
        seconds = [training() for _ in range(options.repeats + 1)][1:]  # the first sets things up
        least = floor(training.trainer, device, recipe.training.matmul_precision)
        profiled(
            training.trainer,
            device,
            recipe.training.matmul_precision,
            path.with_name(f"{path.stem}-profile-{data}.txt"),
        )
        results[data] = {"note": workload.note, "epoch_seconds": seconds, "paper": PAPER_SECONDS.get(data), **least}
        rows.append(
            (
                f"{data} ({workload.note})",
                f"{median(seconds):.4g} s",
                PAPER_SECONDS.get(data, ""),
                f"{least['seconds_of_bytes']:.3g} s",
                f"{least['seconds_of_operations']:.3g} s",
            )
        )
    columns = ("", "epoch", "paper, RTX 3090", "floor: bytes", "floor: operations")
    print_table(f"An epoch on {name}, median of {options.repeats}", columns, rows)
    write_json(path, {"device": name, "overrides": options.overrides, "results": results})


if __name__ == "__main__":
    main()
