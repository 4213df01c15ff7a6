"""What the approximations of the alignment losses cost in quality, and what they save: DA-MRS around LightGCN, TikTok.

    python -m benchmarks.approximations --seeds 5
    python -m benchmarks.approximations --seeds 5 --jobs 2 --patience 10

Exact: AU and AI over all users and items of the batch, graded item sets anew at each step. Beside it: fewer anchors,
and sets that are kept for an epoch or several. Every run stops early on validation Recall@20 and the test split is read
at its best epoch. Seconds per epoch are measured apart, all rows in alternation, and are medians. Finished runs stand
in the folder and are not run again.
"""

from __future__ import annotations

import argparse
import json
from math import sqrt
from pathlib import Path
from statistics import mean, median, stdev
from time import perf_counter

from benchmarks.quality import run_all
from benchmarks.rows import spread
from damrs_dgl.studies.results import CellResult
from damrs_dgl.studies.study import Cell, changes_of

# Row -> (anchors, refresh); the first is the exact one.
ROWS: dict[str, tuple[str | int, str | int]] = {
    "exact": ("all", "step"),
    "sets once an epoch": ("all", "epoch"),
    "512 anchors": (512, "step"),
    "512 anchors and sets once an epoch": (512, "epoch"),
    "512 anchors and sets every 5 epochs": (512, 5),
    "128 anchors": (128, "step"),
    "32 anchors": (32, "step"),
}


def changes(row: str, patience: int) -> dict[str, object]:
    anchors, refresh = ROWS[row]
    return {"model.anchors": anchors, "model.refresh": refresh, "training.patience": patience}


def epoch_seconds(recipe_name: str, rows: list[str], repeats: int) -> dict[str, float]:
    """Median seconds of a training epoch (validation apart) of each row; the rows take turns."""
    import torch

    from damrs_dgl.factory import build_recipe_graph, load_dataset, prepare_training
    from damrs_dgl.recipe import load_recipe, with_values

    recipe = load_recipe(recipe_name)
    dataset = load_dataset(recipe)
    graph = build_recipe_graph(recipe, dataset).graph
    taken: dict[str, list[float]] = {row: [] for row in rows}
    for _ in range(repeats):
        for row in rows:
            one_epoch = {**changes(row, 1), "training.epochs": 1, "training.evaluate_every": 1}
            trainer = prepare_training(with_values(recipe, one_epoch), dataset, graph, device=torch.device("cpu"))
            started = perf_counter()
            taken[row].append(trainer.fit().history[-1].get("train_seconds", perf_counter() - started))
    return {row: median(times) for row, times in taken.items()}


def show(results: dict[str, list[CellResult]], seconds: dict[str, float]) -> None:
    """A Markdown table, and the fastest row whose mean is no more than a standard error below the exact one's."""
    print(
        "| row | seeds | test Recall@20 | test NDCG@20 | best epochs | seconds per epoch | within one standard error |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    exact = [run.test["recall@20"] for run in results["exact"]]
    bound = mean(exact) - (stdev(exact) / sqrt(len(exact)) if len(exact) > 1 else 0.0)
    within = []
    for row, runs in results.items():
        recalls = [run.test["recall@20"] for run in runs]
        if mean(recalls) >= bound:
            within.append(row)
        ndcgs = spread([run.test["ndcg@20"] for run in runs])
        epochs = ", ".join(str(run.best_epoch) for run in runs)
        verdict = "yes" if row in within else "no"
        print(f"| {row} | {len(runs)} | {spread(recalls)} | {ndcgs} | {epochs} | {seconds[row]:.2f} | {verdict} |")
    print(f"\nThe fastest within one standard error of exact ({bound:.4f}): {min(within, key=seconds.__getitem__)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="tiktok-paper")
    parser.add_argument("--rows", default=",".join(ROWS), help="by commas; exact is always there")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, a core each")
    parser.add_argument("--patience", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3, help="epochs timed of each row; 0: none")
    parser.add_argument("--folder", type=Path, default=Path("runs/approximations"), help="where results are kept")
    options = parser.parse_args()
    rows = [row for row in ROWS if row == "exact" or row in options.rows.split(",")]
    cells = {
        row: [
            Cell("damrs:lightgcn", changes_of(changes(row, options.patience)), seed=seed)
            for seed in range(options.seeds)
        ]
        for row in rows
    }
    found = run_all(options.recipe, [], [cell for row in rows for cell in cells[row]], options.folder, options.jobs)
    results = {row: [found[cell] for cell in cells[row] if cell in found] for row in rows}
    seconds = epoch_seconds(options.recipe, rows, options.repeats) if options.repeats else dict.fromkeys(rows, 0.0)
    show(results, seconds)
    print(json.dumps({"seconds_per_epoch": seconds}))


if __name__ == "__main__":
    main()
