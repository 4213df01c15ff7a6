"""An epoch of training DA-MRS around LightGCN, all losses on: the toolkit against the plain form of the same equations.

    python -m benchmarks.training_epoch                      # Amazon Baby's interactions, synthetic content
    python -m benchmarks.training_epoch --data tiktok
    python -m benchmarks.training_epoch --data baby -o model.variant=authors

Three rows: the recipe as it is (AU and AI averaged over sampled anchors), the same with anchors = "all" (what the
kernels give alone), and plain torch over whole matrices (plain_training.py), of which --slow-steps are timed and scaled
to the epoch. Validation is in none of them. The order of the three alternates through the repeats.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import alternating, arguments, chosen, compared, report, write_json
from benchmarks.plain_training import PlainDAMRS, PlainSampler, PlainTraining, Triples
from benchmarks.shipped_training import ShippedTraining
from benchmarks.workloads import SIZES, batch_size_of, load_workload
from damrs_dgl.factory import build_recipe_graph
from damrs_dgl.recipe import with_values

SLOW = "plain torch, whole matrices"


class PlainSteps:
    """A call trains `steps` steps more, negatives drawn within the time; returns the seconds of a whole epoch."""

    def __init__(self, training: PlainTraining, sampler: PlainSampler, steps: int) -> None:
        self.training, self.sampler, self.steps = training, sampler, min(steps, len(sampler))
        self.batches = self._endless()

    def __call__(self) -> float:
        started, trained = time.perf_counter(), 0
        for _ in range(self.steps):
            batch = next(self.batches)
            self.training.step(batch)
            trained += len(batch[0])
        # By clicks, not by steps: the epoch's last batch is smaller than those that were timed.
        return (time.perf_counter() - started) * self.sampler.clicks / trained

    def _endless(self) -> Iterator[Triples]:
        while True:
            yield from self.sampler.epoch()


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", choices=SIZES, default="baby")
    parser.add_argument("--slow-steps", type=int, default=5, help="steps of the plain side a repeat [%(default)s]")
    parser.add_argument("-o", dest="overrides", action="append", default=[], help="a recipe override; repeatable")
    options = chosen(parser)
    workload = load_workload(options.data, options.overrides)
    recipe = workload.recipe
    graph = build_recipe_graph(recipe, workload.dataset).graph
    batch_size = batch_size_of(recipe, workload.dataset)
    sampler = PlainSampler(workload.dataset.train, workload.dataset.num_items, batch_size=batch_size)
    anchors = recipe.model.anchors
    every = with_values(recipe, {"model.anchors": "all"})
    slow = PlainSteps(PlainTraining(PlainDAMRS(graph, recipe), recipe), sampler, options.slow_steps)
    sides = {
        f"shipped, anchors = {anchors}": ShippedTraining(recipe, workload, graph),
        "shipped, anchors = all": ShippedTraining(every, workload, graph),
        SLOW: slow,
    }
    results = compared(alternating(sides, options.repeats), slow=SLOW)
    title = (
        f"One epoch on {options.data} ({workload.note}): {len(sampler)} steps of {batch_size}, "
        f"variant {recipe.model.variant}; the last row from {slow.steps} steps a repeat"
    )
    report(title, results)
    facts = {"data": workload.dataset.describe(), "note": workload.note, "variant": recipe.model.variant}
    path = options.json or Path("runs") / f"training_epoch-{options.data}-{recipe.model.variant}.json"
    write_json(path, {"title": title, **facts, "slow_steps": slow.steps, "results": results})


if __name__ == "__main__":
    main()
