"""One side of system_steps.py in a process of its own, so that its peak memory is its own.

Told "epoch" on standard input it begins one (its preparation, and its first step); told a number, it takes so many
steps more. Each answer is a line of JSON with the seconds, by the wall and of the processor. When the input ends, it
tells its peak.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import peak_gib
from benchmarks.plain_systems import PLAIN
from benchmarks.workloads import DIMS, TINY_DIMS, load_workload
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.parts import ModalityFeatures
from damrs_dgl.graphs.build import build_graph
from damrs_dgl.models.base import Batch, ModelInputs, RankingModel
from damrs_dgl.models.registry import find_model
from damrs_dgl.models.specification.tables import make_config
from damrs_dgl.training.allocator import keep_freed_memory
from damrs_dgl.training.sampling import PairSampler

CPU = torch.device("cpu")
Seconds = dict[str, float]


def measured(run: Callable[[], Any]) -> Seconds:
    """Seconds by the wall, and of the processor in all threads: those a busy machine changes little."""
    wall, processor = time.perf_counter(), time.process_time()
    run()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - processor}


def with_random_content(data: MultimodalDataset, dims: dict[str, int]) -> MultimodalDataset:
    """The data set with Gaussian content, which takes as long as any other."""
    random = np.random.default_rng(0)
    features = {}
    for name, dim in dims.items():
        values = random.standard_normal((data.num_items, dim), dtype=np.float32)
        features[name] = ModalityFeatures(values, np.zeros(data.num_items, dtype=bool))
    return data.replace(features=features)


class Training:
    """A system, or its plain form, step by step."""

    def __init__(self, data: MultimodalDataset, keys: dict[str, Any], *, plain: bool, batch_size: int) -> None:
        graph = build_graph(data.replace(features={}), behavior=False).graph
        inputs = ModelInputs(data, graph, CPU, torch.Generator().manual_seed(0))
        model: RankingModel = find_model(keys["name"])(inputs, make_config(keys))  # type: ignore[call-arg]
        self.generator = torch.Generator().manual_seed(1)
        self.sampler = PairSampler(
            data.train,
            data.num_items,
            batch_size=batch_size,
            num_negatives=model.num_negatives,
            extra=model.sample_extra,
            device=CPU,
        )
        self.batches = self._endless()
        self.begin: Callable[[], Any]
        self.step: Callable[[Batch], Any]
        if plain:
            system = PLAIN[keys["name"]](model, inputs)
            self.begin, self.step = lambda: system.begin_epoch(self.generator), system.step
        else:
            optimizers = model.configure_optimizers(1e-3)
            self.begin = lambda: model.on_epoch_start(1, self.generator)
            self.step = lambda batch: model.optimize(batch, optimizers)

    def _endless(self) -> Iterator[Batch]:
        while True:
            yield from self.sampler.epoch(self.generator)

    def steps(self, count: int) -> list[Seconds]:
        """Each step's seconds; a batch that is cut short by the end of an epoch is left out."""
        seconds: list[Seconds] = []
        while len(seconds) < count:
            batch = next(self.batches)
            if len(batch.users) == min(self.sampler.batch_size, len(self.sampler.keys)):
                seconds.append(measured(lambda batch=batch: self.step(batch)))  # type: ignore[misc]
        return seconds

    def epoch(self) -> dict[str, Seconds]:
        """Seconds of an epoch's preparation, and of its first step."""
        begin = measured(self.begin)
        return {"begin": begin, "first": self.steps(1)[0]}


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=json.loads, required=True, help="the [model] table, as JSON")
    parser.add_argument("--data", required=True)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(given)
    if options.threads:
        torch.set_num_threads(options.threads)
    keep_freed_memory()  # as the trainer does
    workload = load_workload(options.data, content=False)
    data = with_random_content(workload.dataset, TINY_DIMS if options.data == "tiny" else DIMS)
    training = Training(data, options.keys, plain=options.plain, batch_size=options.batch_size)
    training.epoch()
    training.steps(2)
    print(json.dumps({"steps_per_epoch": len(training.sampler), "note": workload.note}), flush=True)
    for line in sys.stdin:
        answer = training.epoch() if line.strip() == "epoch" else training.steps(int(line))
        print(json.dumps(answer), flush=True)
    print(json.dumps({"peak_gib": peak_gib()}), flush=True)


if __name__ == "__main__":
    main()
