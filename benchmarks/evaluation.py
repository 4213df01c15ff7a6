"""Ranking all items for every user, with all metrics, against a dense score matrix and a loop over users.

    python -m benchmarks.evaluation                      # TikTok's test split
    python -m benchmarks.evaluation --data baby

Vectors are random (width 64): the time does not depend on how good they are. Training items are left out of the
ranking. Every side begins with vectors and pairs and ends with 16 means, which are compared. The plain one comes twice:
with a stable sort of each user's scores, so that equal scores rank by lower index as the toolkit's do, and with
torch.topk, which promises no order among them. The ratio is to the first.
"""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.measuring import Side, alternating, arguments, chosen, compared, report, timed, write_json
from benchmarks.plain_evaluation import Rank, by_sorting, by_top_k, evaluate_plainly
from benchmarks.workloads import SIZES, load_workload
from damrs_dgl.evaluation import evaluate_ranking

FAST = "evaluate_ranking"
SLOW = "dense scores, loop over users, sorted"
UNSTABLE = "dense scores, loop over users, top-k"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", choices=SIZES, default="tiktok")
    parser.add_argument("--dim", type=int, default=64, help="width of the vectors [%(default)s]")
    options = chosen(parser)
    workload = load_workload(options.data, content=False)
    data, ks = workload.dataset, workload.recipe.evaluation.ks
    generator = torch.Generator().manual_seed(0)
    users, items = (torch.randn(n, options.dim, generator=generator) for n in (data.num_users, data.num_items))
    wanted, seen = (data.test.users, data.test.items), (data.train.users, data.train.items)
    found: dict[str, dict[str, float]] = {}

    def fast() -> None:
        found[FAST] = evaluate_ranking(users, items, relevant=wanted, seen=seen, ks=ks).metrics

    def plain(name: str, rank: Rank) -> Side:
        def run() -> None:
            found[name] = evaluate_plainly(users, items, relevant=wanted, seen=seen, ks=ks, rank=rank)

        return timed(run)

    sides = {FAST: timed(fast), SLOW: plain(SLOW, by_sorting), UNSTABLE: plain(UNSTABLE, by_top_k)}
    results = compared(alternating(sides, options.repeats), slow=SLOW)
    # In float32 two items may change places between two ways of multiplying; a mean over users hardly moves.
    if any(abs(value - metrics[name]) > 1e-4 for metrics in found.values() for name, value in found[FAST].items()):
        raise SystemExit(f"they differ: {found}")
    title = f"Evaluation of {options.data}: {data.num_users:,} users, {data.num_items:,} items, K in {list(ks)}"
    report(title, results)
    path = options.json or Path("runs") / f"evaluation-{options.data}.json"
    write_json(path, {"title": title, "data": data.describe(), "dim": options.dim, "results": results})


if __name__ == "__main__":
    main()
