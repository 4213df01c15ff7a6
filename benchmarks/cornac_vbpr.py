"""An epoch of VBPR: the toolkit against Cornac 3.0.1.

    python -m benchmarks.cornac_vbpr                         # installs Cornac into a temporary environment
    python -m benchmarks.cornac_vbpr --env ~/cornac-env --batch-size 100

Both: Amazon Baby's training clicks, synthetic content of 4,480 columns, width 64 for the IDs and 64 for content, Adam,
the same number of threads; an epoch is the sampling of negatives and all steps, as in cornac_lightgcn.py. Cornac has a
bias for each item and one of its content beside. It adds the scores [B] of its batch to a column [B, 1] of these
biases, so that its loss has B x B terms; the default here is the toolkit's batch, and 100 is Cornac's own.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.cornac_lightgcn import SLOW, CornacTraining, environment
from benchmarks.measuring import alternating, arguments, chosen, compared, report, write_json
from benchmarks.shipped_training import ShippedTraining
from benchmarks.system_worker import with_random_content
from benchmarks.workloads import DIMS, SIZES, TINY_DIMS, load_workload
from damrs_dgl.graphs.build import build_graph
from damrs_dgl.recipe import with_values


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--data", choices=SIZES, default="baby")
    parser.add_argument("--batch-size", type=int, default=4096, help="[%(default)s]")
    parser.add_argument("--env", type=Path, help="folder of Cornac's environment [a temporary one]")
    options = chosen(parser)
    workload = load_workload(options.data, content=False)
    data = with_random_content(workload.dataset, TINY_DIMS if options.data == "tiny" else DIMS)
    settings = {"model.name": "vbpr", "model.dim": 64, "training.batch_size": options.batch_size}
    graph = build_graph(data.replace(features={}), behavior=False).graph
    features = torch.cat([content.block(0, data.num_items) for content in data.features.values()], dim=1)
    with tempfile.TemporaryDirectory() as name:
        python = environment((options.env or Path(name) / "env").expanduser())
        with CornacTraining(python, data.train, Path(name), settings, features=features) as cornac:
            recipe = with_values(workload.recipe, settings)
            shipped = ShippedTraining(recipe, replace(workload, dataset=data), graph)
            results = compared(alternating({"damrs-dgl": shipped, SLOW: cornac}, options.repeats), slow=SLOW)
    title = (
        f"One epoch of VBPR (width 64 and 64, batch {options.batch_size}) on {options.data}'s {len(data.train):,} "
        f"training clicks with content of {features.shape[1]:,} columns, sampling and steps"
    )
    report(title, results)
    path = options.json or Path("runs") / f"cornac_vbpr-{options.data}-{options.batch_size}.json"
    write_json(path, {"title": title, "data": data.describe(), "results": results})


if __name__ == "__main__":
    main()
