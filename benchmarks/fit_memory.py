"""Peak memory of `fit`: the toolkit's stage against plain training and plain evaluation over whole matrices.

    python -m benchmarks.fit_memory                  # TikTok
    python -m benchmarks.fit_memory --data baby

Data and graph are made and written first, outside what is measured. Then each side runs in a process of its own that
reads them: the toolkit's runs the stage for one epoch with its validation, files written and all; the plain one takes
--slow-steps steps, which is enough, for each step holds the same matrices, and validates once. The peak is the most
resident memory of the process, with Python and the libraries (a third row shows what those alone take).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.measuring import arguments, chosen, peak_gib, print_table, write_json
from benchmarks.plain_evaluation import evaluate_plainly
from benchmarks.plain_training import PlainDAMRS, PlainSampler, PlainTraining
from benchmarks.workloads import SIZES, batch_size_of, load_workload, write_mmrec
from damrs_dgl.console import Console
from damrs_dgl.factory import load_dataset
from damrs_dgl.graphs.build import load_graph
from damrs_dgl.recipe import Recipe, recipe_from, with_values
from damrs_dgl.stages.build_graphs import build_graphs
from damrs_dgl.stages.fit_with_metrics import fit_with_metrics
from damrs_dgl.stages.workspace import Workspace

SIDES = {
    "shipped": "shipped: the fit stage, one epoch",
    "plain": "plain torch, whole matrices",
    "imports": "imports and data alone",
}


def measure(side: str, folder: Path, steps: int, threads: int | None) -> float:
    """Run one side in a process of its own; its peak in GiB."""
    command = [sys.executable, "-m", "benchmarks.fit_memory", "--side", side, "--folder", str(folder)]
    command += ["--slow-steps", str(steps), *(["--threads", str(threads)] if threads else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=Path(__file__).parents[1])
    return json.loads(done.stdout.splitlines()[-1])["peak_gib"]


def run_side(side: str, folder: Path, steps: int) -> None:
    """What a measured process does."""
    recipe = recipe_from(json.loads((folder / "recipe.json").read_text(encoding="utf-8")))
    if side == "shipped":
        fit_with_metrics(workspace(recipe, folder), restart=True)  # a repeat trains again
    else:
        _train_plainly(recipe, folder, steps if side == "plain" else 0)
    print(json.dumps({"peak_gib": peak_gib()}))


def workspace(recipe: Recipe[Any], folder: Path) -> Workspace:
    """The run in `folder` as the command line opens it."""
    return Workspace(recipe, run=folder / "run", device="cpu", console=Console())


def _train_plainly(recipe: Recipe[Any], folder: Path, steps: int) -> None:
    data = load_dataset(recipe)
    model = PlainDAMRS(load_graph(folder / "run" / "graphs" / "graph.bin"), recipe)
    if not steps:
        return
    training = PlainTraining(model, recipe)
    sampler = PlainSampler(data.train, data.num_items, batch_size=batch_size_of(recipe, data))
    for _, batch in zip(range(steps), sampler.epoch(), strict=False):
        training.step(batch)
    with torch.no_grad():
        vectors = model()
    relevant, seen = ((part.users, part.items) for part in (data.validation, data.train))
    evaluate_plainly(vectors.users, vectors.items, relevant=relevant, seen=seen, ks=recipe.evaluation.ks)


def main() -> None:
    parser = arguments(__doc__, repeats=1)
    parser.add_argument("--data", choices=SIZES, default="tiktok")
    parser.add_argument("--slow-steps", type=int, default=3, help="steps of the plain side [%(default)s]")
    parser.add_argument("-o", dest="overrides", action="append", default=[], help="a recipe override; repeatable")
    parser.add_argument("--side", choices=SIDES, help="measure this one here, in --folder (used by the script itself)")
    parser.add_argument("--folder", type=Path, help="where data, recipe and graph of --side are")
    options = chosen(parser)
    if options.side:
        run_side(options.side, options.folder, options.slow_steps)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        note = prepare(folder, options.data, options.overrides)
        peaks: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(options.repeats):
            for side, values in peaks.items():
                values.append(measure(side, folder, options.slow_steps, options.threads))
    medians = {side: median(values) for side, values in peaks.items()}
    title = f"Peak memory of fit on {options.data} ({note}); plain side: {options.slow_steps} steps and one validation"
    rows = [(SIDES[side], f"{peak:.2f} GiB", f"{medians['plain'] / peak:.1f}") for side, peak in medians.items()]
    print_table(title, ("", "peak", "plain / this"), rows)
    path = options.json or Path("runs") / f"fit_memory-{options.data}.json"
    write_json(path, {"title": title, "peak_gib": peaks, "ratio": medians["plain"] / medians["shipped"]})


def prepare(folder: Path, data: str, overrides: list[str]) -> str:
    """Write the data set, its recipe for one epoch, and a run with the graph; returns what is synthetic."""
    workload = load_workload(data, overrides)
    values = {**write_mmrec(workload.dataset, folder), "training.epochs": 1}
    recipe = with_values(workload.recipe, values)
    (folder / "recipe.json").write_text(recipe.model_dump_json(), encoding="utf-8")
    build_graphs(workspace(recipe, folder))
    return workload.note


if __name__ == "__main__":
    main()
