"""Time, memory and recall of the content graphs: dense matrices with a loop over rows, blocks, and candidates.

    python -m benchmarks.semantic_graphs                                   # the size of Amazon Clothing
    python -m benchmarks.semantic_graphs --items 100000 --dims visual=64,textual=64 --ways exact,projected,faiss

The features are those of the synthetic shop and memory-mapped from a temporary folder, as a user's would be.
Every way runs in a process of its own, so that its peak memory is its own; the time is that of the graphs alone,
without the start of the process. `dense` holds two numbers for every pair of items and modality: 5 GB at the size of
Clothing, 90 GB at 100,000 items. Recall is the share of the edges of `exact` that a way finds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.measuring import machine, peak_gib, write_json
from damrs_dgl import synthetic_shop
from damrs_dgl.data.parts import ModalityFeatures
from damrs_dgl.graphs.semantic import semantic_neighbors

ROOT = Path(__file__).parents[1]
WAYS = ("dense", "exact", "projected", "faiss")
Edges = dict[str, tuple[Tensor, Tensor]]


def dense_neighbors(
    features: Mapping[str, ModalityFeatures], *, k: int = 10, dtype: torch.dtype = torch.float32
) -> Edges:
    """Eq. 1 as it is written: whole |I| x |I| matrices, then a row at a time. {modality: (items, neighbours)}.

    Equal similarities are in no particular order (the synthetic shop has some, so its recall stays below 1), and
    each is as exact as a matrix product in `dtype`.
    """
    similarity = {}
    for name, content in features.items():
        unit = torch.nn.functional.normalize(content.block(0, len(content)).to(dtype))
        similarity[name] = unit @ unit.T
    present = {name: ~torch.from_numpy(content.missing) for name, content in features.items()}
    known = {name: have[:, None] & have for name, have in present.items()}
    dropped = torch.zeros_like(next(iter(known.values())))
    for name, matrix in similarity.items():
        dropped |= known[name] & (matrix < matrix[known[name]].mean())
    found = {}
    for name, matrix in similarity.items():
        items, neighbors = [], []
        for item, (row, out) in enumerate(zip(matrix, dropped | ~known[name], strict=True)):
            if present[name][item]:
                values, best = torch.topk(row.masked_fill(out, 0.0), min(k, len(row)))
                best = best[values > 0].sort().values
            else:
                best = torch.tensor([item])
            items.append(torch.full_like(best, item))
            neighbors.append(best)
        found[name] = (torch.cat(items), torch.cat(neighbors))
    return found


def recall(found: Edges, exact: Edges, num_items: int) -> dict[str, float]:
    """Share of the exact edges that were found, by modality."""
    shares = {}
    for name in exact:
        wanted, have = (items * num_items + neighbors for items, neighbors in (exact[name], found[name]))
        shares[name] = float(torch.isin(wanted, have).double().mean())
    return shares


def write_features(folder: Path, items: int, dims: Mapping[str, int]) -> None:
    """Write synthetic features as .npy, one modality at a time."""
    for name, width in dims.items():
        dataset = synthetic_shop(users=100, items=items, dims={name: width}, seed=0).dataset
        np.save(folder / f"{name}.npy", dataset.features[name].values)


def read(folder: Path, dims: Mapping[str, int]) -> dict[str, ModalityFeatures]:
    """The synthetic features, memory-mapped; every item has content."""
    features = {}
    for name in dims:
        values = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        features[name] = ModalityFeatures(values, np.zeros(len(values), dtype=bool))
    return features


def run(way: str, folder: Path, dims: Mapping[str, int], k: int) -> dict[str, Any]:
    """Build the graphs one way, in this process; the edges are written beside the features."""
    features = read(folder, dims)
    before, started = peak_gib(), time.perf_counter()
    if way == "dense":
        edges = dense_neighbors(features, k=k)
    else:
        edges = semantic_neighbors(features, k=k, candidates=way).pairs
    seconds = time.perf_counter() - started
    np.savez(folder / f"{way}.npz", **{name: torch.stack(pairs).numpy() for name, pairs in edges.items()})
    return {"seconds": seconds, "peak_gib": peak_gib(), "peak_gib_before": before, "machine": machine()}


def edges_of(way: str, folder: Path) -> Edges:
    with np.load(folder / f"{way}.npz", allow_pickle=False) as arrays:
        return {name: (torch.from_numpy(arrays[name][0]), torch.from_numpy(arrays[name][1])) for name in arrays}


def in_its_own_process(*arguments: str) -> dict[str, Any]:
    """This script with other arguments; what it prints last, read as JSON."""
    command = [sys.executable, "-m", "benchmarks.semantic_graphs", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}: ended with {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(ways: list[str], items: int, dims: Mapping[str, int], *, k: int = 10, repeats: int = 1) -> dict[str, Any]:
    """Medians of time and memory, by way, in alternation; recall against `exact` where that is among the ways."""
    settings = ["--items", str(items), "--dims", ",".join(f"{name}={width}" for name, width in dims.items())]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_features(folder, items, dims)
        runs: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
        for _ in range(repeats):
            for way in ways:
                runs[way].append(in_its_own_process("--step", way, "--folder", name, "--k", str(k), *settings))
                print(f"{way}: {runs[way][-1]['seconds']:.1f} s", file=sys.stderr)
        table = {}
        for way, results in runs.items():
            edges = edges_of(way, folder)
            table[way] = {
                **{key: median(result[key] for result in results) for key in ("seconds", "peak_gib")},
                "peak_gib_before": median(result["peak_gib_before"] for result in results),
                "edges": {modality: len(pairs[0]) for modality, pairs in edges.items()},
            }
            if "exact" in ways:
                table[way]["recall"] = recall(edges, edges_of("exact", folder), items)
    return {
        "claim": "semantic graphs",
        "data": "synthetic shop",
        "items": items,
        "dims": dict(dims),
        "k": k,
        "repeats": repeats,
        "machine": {**next(iter(runs.values()))[0]["machine"], "faiss": faiss_version()},
        "ways": table,
    }


def faiss_version() -> str | None:
    try:
        return version("faiss-cpu")
    except PackageNotFoundError:
        return None


def show(result: Mapping[str, Any]) -> None:
    """A Markdown table; the ratios are of the dense form, and of the exact blocks, to the way's own time or memory."""
    on, ways = result["machine"], result["ways"]
    dims = ", ".join(f"{name} {width:,}-d" for name, width in result["dims"].items())
    print(f"{result['items']:,} items, {dims}, k = {result['k']}, {result['data']}; median of {result['repeats']}")
    versions = ", ".join(f"{name} {on[name]}" for name in ("python", "torch", "numpy", "faiss"))
    print(f"{on['cpu']}, {on['cores']} cores, {on['torch_threads']} threads; {versions}\n")
    print("| way | seconds | peak GiB | dense / its: time, memory | exact / its: time | recall of exact's edges |")
    print("| --- | --- | --- | --- | --- | --- |")
    dense, exact = ways.get("dense"), ways.get("exact")
    for way, row in ways.items():
        to_dense = ", ".join(f"{dense[key] / row[key]:.2f}" for key in ("seconds", "peak_gib")) if dense else ""
        to_exact = f"{exact['seconds'] / row['seconds']:.2f}" if exact else ""
        found = ", ".join(f"{name} {share:.4f}" for name, share in row.get("recall", {}).items())
        print(f"| {way} | {row['seconds']:.1f} | {row['peak_gib']:.2f} | {to_dense} | {to_exact} | {found} |")


def parse_dims(text: str) -> dict[str, int]:
    return {name: int(width) for name, _, width in (part.partition("=") for part in text.split(","))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=23_033)
    parser.add_argument("--dims", type=parse_dims, default="visual=4096,textual=384", help="name=width by commas")
    parser.add_argument("--ways", default=",".join(WAYS), help="by commas")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", type=Path, default=Path("runs/semantic_graphs.json"), help="[%(default)s]")
    parser.add_argument("--step", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(run(options.step, options.folder, options.dims, options.k)))
    else:
        ways = options.ways.split(",")
        if unknown := set(ways) - set(WAYS):
            parser.error(f"unknown ways: {', '.join(sorted(unknown))}")
        result = measure(ways, options.items, options.dims, k=options.k, repeats=options.repeats)
        show(result)
        write_json(options.json, result)


if __name__ == "__main__":
    main()
