"""The behaviour graph (Eq. 2) against intersecting Python sets of users over all pairs of items.

    python -m benchmarks.behavior_graph                  # TikTok, every pair
    python -m benchmarks.behavior_graph --data clothing --sample 500

With --sample the plain side looks at the pairs of that many random items only and its time is scaled by the items.
Both sides begin with the training pairs and end with the edges; over all pairs the edges are compared.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.measuring import alternating, arguments, chosen, compared, report, timed, write_json
from benchmarks.plain_graphs import behavior_edges, common_users, users_by_item
from benchmarks.workloads import SIZES, load_workload
from damrs_dgl.data.parts import Interactions
from damrs_dgl.graphs.behavior import BehaviorNeighbors, behavior_neighbors

K, MIN_COUNT = 10, 2
SLOW = "sets, every pair"


class PlainGraph:
    """A call builds the graph from sets and returns the seconds that all items take; `edges` is what it found."""

    def __init__(self, train: Interactions, num_items: int, sample: int | None) -> None:
        self.train, self.num_items = train, num_items
        # An item is met with those after it only, so rows differ in cost and are drawn at random.
        drawn = np.random.default_rng(0).permutation(num_items)[:sample]
        self.rows = sorted(drawn.tolist())
        self.edges: list[tuple[int, int, int]] = []

    def __call__(self) -> float:
        started = time.perf_counter()
        users = users_by_item(self.train, self.num_items)
        prepared = time.perf_counter()
        counts = common_users(users, self.rows)
        self.edges = behavior_edges(counts, self.num_items, k=K, min_count=MIN_COUNT)
        return prepared - started + (time.perf_counter() - prepared) * self.num_items / len(self.rows)


def same_edges(fast: BehaviorNeighbors, slow: list[tuple[int, int, int]]) -> bool:
    """Whether two graphs have the same edges and weights."""
    found = torch.stack([fast.items, fast.neighbors, fast.weights.long()], dim=1)
    return torch.equal(found, torch.tensor(slow))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", choices=SIZES, default="tiktok")
    parser.add_argument("--sample", type=int, help="items whose pairs the plain side looks at [all]")
    options = chosen(parser)
    data = load_workload(options.data, content=False).dataset
    found: list[BehaviorNeighbors] = []

    def fast() -> None:
        found[:] = [behavior_neighbors(data.train, data.num_users, data.num_items, k=K, min_count=MIN_COUNT)]

    slow = PlainGraph(data.train, data.num_items, options.sample)
    results = compared(alternating({"behavior_neighbors": timed(fast), SLOW: slow}, options.repeats), slow=SLOW)
    whole = len(slow.rows) == data.num_items
    if whole and not same_edges(found[0], slow.edges):
        raise SystemExit("the two graphs differ")
    how = "every pair, the same edges" if whole else f"scaled from the pairs of {len(slow.rows)} random items"
    title = (
        f"Behaviour graph of {options.data}: {data.num_items:,} items, {len(data.train):,} clicks; plain side: {how}"
    )
    report(title, results)
    path = options.json or Path("runs") / f"behavior_graph-{options.data}.json"
    write_json(path, {"title": title, "data": data.describe(), "rows": len(slow.rows), "results": results})


if __name__ == "__main__":
    main()
