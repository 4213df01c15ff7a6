"""Test quality over seeds: plain backbones and DA-MRS around each, on one recipe's data. Prints a table, writes JSON.

    python -m benchmarks.quality tiktok-paper --seeds 3 --jobs 2
    python -m benchmarks.quality baby --systems mf,lightgcn

A system is a plain backbone (`mf`) or DA-MRS around one (`damrs:mf`). Every run stops early on validation Recall@20;
the test split is read once, at its best epoch. Finished runs stand in the JSON file and are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from damrs_dgl.recipe import Recipe, load_recipe

SYSTEMS = ("mf", "lightgcn", "vbpr", "damrs:mf", "damrs:lightgcn", "damrs:vbpr")
Job = tuple[str, str, int, list[str]]  # recipe, system, seed, further overrides
REPORTED = ("recall@20", "precision@20", "ndcg@20")


def overrides_of(system: str, seed: int, extra: list[str]) -> list[str]:
    """The recipe overrides that make a system."""
    name, _, backbone = system.partition(":")
    chosen = [f"model.name={name}", *([f"model.backbone={backbone}"] if backbone else []), f"training.seed={seed}"]
    return [*chosen, *extra]


def run(recipe_name: str, system: str, seed: int, extra: list[str], threads: int) -> dict[str, Any]:
    """Train one system with one seed; returns validation and test metrics of its best epoch."""
    import torch

    from damrs_dgl.factory import (
        SplitEvaluator,
        build_recipe_graph,
        load_dataset,
        pick_device,
        prepare_training,
        scorer_of,
    )

    torch.set_num_threads(threads)
    recipe = load_recipe(recipe_name, overrides_of(system, seed, extra))
    dataset = load_dataset(recipe)
    graph = build_recipe_graph(recipe, dataset).graph
    trainer = prepare_training(recipe, dataset, graph, device=pick_device("auto"))
    progress = trainer.fit()
    return {
        "system": system,
        "seed": seed,
        "validation": progress.best,
        "test": SplitEvaluator(recipe, dataset, "test")(scorer_of(trainer.model)),
        "best_epoch": progress.best_epoch,
        "epochs": progress.epoch,
        "seconds": round(sum(row["seconds"] for row in progress.history), 1),
        "recipe_hash": digest(recipe),
    }


def digest(recipe: Recipe[Any]) -> str:
    """What a run depends on: it is not run again while this stays."""
    return recipe.section_hash("data", "graphs", "model", "training", "evaluation")


def show(results: list[dict[str, Any]], systems: list[str]) -> None:
    """A Markdown table: mean and standard deviation over seeds."""
    print(f"| system | seeds | validation Recall@20 | {' | '.join(f'test {name}' for name in REPORTED)} | epochs |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for system in systems:
        runs = [result for result in results if result["system"] == system]
        if not runs:
            continue
        cells = [spread([result["validation"]["recall@20"] for result in runs])]
        cells += [spread([result["test"][name] for result in runs]) for name in REPORTED]
        epochs = ", ".join(str(result["best_epoch"]) for result in runs)
        print(f"| {system} | {len(runs)} | {' | '.join(cells)} | {epochs} |")


def spread(values: list[float]) -> str:
    return f"{mean(values):.4f} ± {stdev(values):.4f}" if len(values) > 1 else f"{values[0]:.4f}"


def run_all(jobs: list[Job], path: Path, processes: int, threads: int | None) -> list[dict[str, Any]]:
    """The results of all jobs, in their order; what stands in the JSON file already is not run again.

    `threads` per run; None shares the cores among the processes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {result["recipe_hash"]: result for result in (json.loads(path.read_text()) if path.exists() else [])}
    hashes = [digest(load_recipe(recipe, overrides_of(system, seed, extra))) for recipe, system, seed, extra in jobs]
    threads = threads or max(1, (os.cpu_count() or 1) // processes)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        missing = [job for job, key in zip(jobs, hashes, strict=True) if key not in known]
        for done in as_completed([pool.submit(run, *job, threads) for job in missing]):
            latest = done.result()
            known[latest["recipe_hash"]] = latest
            path.write_text(json.dumps(list(known.values()), indent=1))
            print(f"{latest['system']} seed {latest['seed']}: {latest['test']['recall@20']:.4f}", file=sys.stderr)
    return [known[key] for key in hashes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="a shipped recipe or a file")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="by commas")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    parser.add_argument("--threads", type=int, help="threads of a run [cores / jobs]")
    parser.add_argument("-o", dest="overrides", action="append", default=[], help="a recipe override; repeatable")
    parser.add_argument("--json", type=Path, help="where results are kept [runs/quality-<recipe>.json]")
    options = parser.parse_args()
    systems = options.systems.split(",")
    jobs = [(options.recipe, system, seed, options.overrides) for seed in range(options.seeds) for system in systems]
    path = options.json or Path("runs") / f"quality-{Path(options.recipe).stem}.json"
    show(run_all(jobs, path, options.jobs, options.threads), systems)


if __name__ == "__main__":
    main()
