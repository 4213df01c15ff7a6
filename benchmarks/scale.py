"""Time and peak memory against the size of the catalogue: its graphs, and a training step of DA-MRS around LightGCN.

    python -m benchmarks.scale
    python -m benchmarks.scale --items 10000,30000 --semantic exact --json runs/scale.json --plot runs/scale.png

The catalogues are synthetic and sparse (big_catalogue.py): 5 users an item, 10 clicks a user. Every stage of every size
is a process of its own, whose peak is its highest resident memory, data and libraries included. A step is the median
of some after one to warm up; an epoch is not run but extrapolated: steps x time of a step. Where `--semantic` leaves
the content graphs out, random ones of the same size take their place in the step.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from benchmarks.big_catalogue import big_catalogue
from benchmarks.measuring import peak_gib, write_json
from damrs_dgl.data.dataset import MultimodalDataset
from damrs_dgl.data.parts import Interactions, ModalityFeatures
from damrs_dgl.dgl_backend import dgl
from damrs_dgl.factory import prepare_training
from damrs_dgl.graphs import build_graph, load_graph, save_graph
from damrs_dgl.graphs.schema import BEHAVIOR, INTERACTED_BY, INTERACTS, ITEM, USER, WEIGHT
from damrs_dgl.recipe import load_recipe

SIZES = "10000,30000,100000,300000,1000000"
MODALITIES = ("visual", "textual")
K = 10


def make(folder: Path, items: int, dim: int) -> None:
    """Write the catalogue as plain arrays."""
    data = big_catalogue(items, dim=dim)
    np.save(folder / "users.npy", data.train.users.numpy().astype(np.int32))
    np.save(folder / "items.npy", data.train.items.numpy().astype(np.int32))
    for name, features in data.features.items():
        np.save(folder / f"{name}.npy", features.values)


def read(folder: Path) -> MultimodalDataset:
    """What `make` wrote; features stay on disk, memory-mapped."""
    users, items = (np.load(folder / f"{side}.npy") for side in ("users", "items"))
    values = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in MODALITIES}
    num_items = len(values["visual"])
    nothing = Interactions.from_numpy(np.empty(0), np.empty(0))
    return MultimodalDataset(
        "big catalogue",
        pa.array(np.arange(int(users.max()) + 1)),
        pa.array(np.arange(num_items)),
        Interactions.from_numpy(users, items),
        nothing,
        nothing,
        {name: ModalityFeatures(rows, np.zeros(num_items, dtype=bool)) for name, rows in values.items()},
    )


def graphs(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The user-item and the behaviour relation, and the graph of both."""
    data = read(folder).replace(features={})
    started = time.perf_counter()
    built = build_graph(data, behavior_k=K)
    seconds = time.perf_counter() - started
    save_graph(built.graph, folder / "graph.bin")
    edges = built.summary["edges"]
    return {"seconds": seconds, "interactions": edges[INTERACTS], "behavior_edges": edges[BEHAVIOR]}


def semantic(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The content relations alone."""
    data = read(folder)
    one = Interactions(data.train.users[:1], data.train.items[:1])
    started = time.perf_counter()
    built = build_graph(data.replace(train=one), k=K, behavior=False, candidates=options.semantic)
    seconds = time.perf_counter() - started
    for name in MODALITIES:
        np.save(folder / f"{name}-edges.npy", torch.stack(built.graph.edges(etype=name)).numpy())
    return {"seconds": seconds, "edges": built.summary["edges"]}


def whole_graph(folder: Path) -> dgl.DGLGraph:
    """The stages' relations in one graph; content relations that were not built are random."""
    graph = load_graph(folder / "graph.bin")
    items = graph.num_nodes(ITEM)
    edges = {(USER, INTERACTS, ITEM): graph.edges(etype=INTERACTS)}
    edges[ITEM, INTERACTED_BY, USER] = graph.edges(etype=INTERACTED_BY)
    for seed, name in enumerate(MODALITIES):
        path = folder / f"{name}-edges.npy"
        if path.exists():
            sources, targets = torch.from_numpy(np.load(path))
        else:
            sources = torch.randint(items, (items * K,), generator=torch.Generator().manual_seed(seed)).int()
            targets = torch.arange(items, dtype=torch.int32).repeat_interleave(K)
        edges[ITEM, name, ITEM] = (sources, targets)
    edges[ITEM, BEHAVIOR, ITEM] = graph.edges(etype=BEHAVIOR)
    made = dgl.heterograph(edges, {kind: graph.num_nodes(kind) for kind in (USER, ITEM)}, idtype=torch.int32)
    made.edges[BEHAVIOR].data[WEIGHT] = graph.edges[BEHAVIOR].data[WEIGHT]
    return made


def training_step(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Set-up and some steps of the full model with all losses as printed, each step in its four parts."""
    recipe = load_recipe("demo", ["model.variant=paper", "training.batch_size=4096", *options.overrides])
    data, graph = read(folder), whole_graph(folder)
    started = time.perf_counter()
    trainer = prepare_training(recipe, data, graph, device=torch.device("cpu"))
    trainer.model.on_epoch_start(1, trainer.generator)
    optimizer = trainer.optimizers["model"]
    set_up = time.perf_counter() - started
    parts: dict[str, list[float]] = {"batch": [], "forward": [], "backward": [], "optimizer": []}
    batches = trainer.sampler.epoch(trainer.generator)
    clock = time.perf_counter()

    def lap(part: str) -> None:
        nonlocal clock
        now = time.perf_counter()
        parts[part].append(now - clock)
        clock = now

    for batch in islice(batches, options.steps + 1):
        lap("batch")
        optimizer.zero_grad()
        loss = torch.stack(list(trainer.model.training_step(batch).values())).sum()
        lap("forward")
        loss.backward()
        lap("backward")
        optimizer.step()
        lap("optimizer")
    timed = {part: times[1:] for part, times in parts.items()}  # the first step warms up
    steps = [sum(laps) for laps in zip(*timed.values(), strict=True)]
    return {
        "seconds": median(steps),
        "parts": {part: median(times) for part, times in timed.items()},
        "set_up_seconds": set_up,
        "steps": len(trainer.sampler),
        "extrapolated_epoch_hours": len(trainer.sampler) * median(steps) / 3600,
        "loss": loss.item(),
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "anchors": recipe.model.anchors,
        "softmax_sample": len(batch.extra["softmax_items"]) if "softmax_items" in batch.extra else None,
    }


STAGES: dict[str, Callable[[Path, argparse.Namespace], dict[str, Any]]] = {
    "graphs": graphs,
    "semantic": semantic,
    "step": training_step,
}


def in_own_process(stage: str, folder: Path, options: argparse.Namespace, items: int) -> dict[str, Any]:
    """Run one stage of one size in a fresh interpreter; its result, or what it died of."""
    command = [sys.executable, "-m", "benchmarks.scale", "--stage", stage, "--folder", str(folder)]
    command += ["--items", str(items), "--dim", str(options.dim), "--steps", str(options.steps)]
    command += ["--semantic", options.semantic, *(f"-o{change}" for change in options.overrides)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return {"failed": f"exit status {done.returncode}"}
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}


def measure(items: int, options: argparse.Namespace) -> dict[str, Any]:
    """All stages of one size."""
    row: dict[str, Any] = {"items": items}
    with tempfile.TemporaryDirectory(dir=options.scratch) as name:
        folder = Path(name)
        in_own_process("make", folder, options, items)
        for stage in STAGES:
            if stage != "semantic" or (options.semantic != "none" and items <= options.semantic_up_to):
                row[stage] = in_own_process(stage, folder, options, items)
                print(f"{items:,} items, {stage}: {json.dumps(row[stage])}", file=sys.stderr, flush=True)
    return row


def cells(row: dict[str, Any]) -> list[str]:
    found = [f"{row['items']:,}", f"{row['graphs'].get('interactions', 0):,}"]
    for stage in STAGES:
        part = row.get(stage, {"failed": "not built"})
        found.append(part.get("failed") or f"{part['seconds']:.2f} s, {part['peak_gib']:.2f} GiB")
    return [*found, f"{row['step'].get('extrapolated_epoch_hours', float('nan')):.2f} h"]


def show(rows: list[dict[str, Any]]) -> None:
    """A Markdown table: time and peak of each stage."""
    print("| items | interactions | user-item, behaviour | content graphs | training step | epoch, extrapolated |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        print(f"| {' | '.join(cells(row))} |")


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Two log-log panels: seconds and peak GiB of each stage against the number of items."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    labels = {"graphs": "user-item and behaviour graphs", "semantic": "content graphs", "step": "a training step"}
    for panel, key, title in zip(panels, ("seconds", "peak_gib"), ("seconds", "peak memory, GiB"), strict=True):
        for stage, label in labels.items():
            points = [(row["items"], row[stage][key]) for row in rows if key in row.get(stage, {})]
            if points:
                panel.loglog(*zip(*points, strict=True), marker="o", label=label)
        panel.set(xlabel="items (synthetic catalogue, 5 users an item, 10 clicks a user)", title=title)
        panel.xaxis.set_minor_formatter("")
        panel.grid(True, which="both", alpha=0.3)
    panels[1].axhline(20, color="gray", linestyle="--", label="20 GiB")
    panels[0].legend()
    panels[1].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", default=SIZES, help=f"by commas [{SIZES}]")
    parser.add_argument("--semantic", choices=("exact", "projected", "faiss", "none"), default="faiss", help="by what")
    parser.add_argument("--semantic-up-to", type=int, default=10**9, metavar="ITEMS")
    parser.add_argument("--steps", type=int, default=3, help="timed steps [3]")
    parser.add_argument("--dim", type=int, default=64, help="width of both modalities' features [64]")
    parser.add_argument("-o", dest="overrides", action="append", default=[], help="a recipe override; repeatable")
    parser.add_argument("--scratch", help="where catalogues are written, about 2 GB at a million items [the system's]")
    parser.add_argument("--json", type=Path, default=Path("runs/scale.json"))
    parser.add_argument("--plot", type=Path, default=Path("runs/scale.png"))
    parser.add_argument("--stage", choices=("make", *STAGES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage == "make":
        make(options.folder, int(options.items), options.dim)
    elif options.stage:
        result = STAGES[options.stage](options.folder, options)
        print(json.dumps({**result, "peak_gib": round(peak_gib(), 3)}))
    else:
        rows = [measure(int(items), options) for items in options.items.split(",")]
        write_json(options.json, {"semantic": options.semantic, "rows": rows})
        show(rows)
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
