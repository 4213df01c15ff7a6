"""An epoch of plain LightGCN: the toolkit against Cornac 3.0.1, which is on DGL too.

    python -m benchmarks.cornac_lightgcn                       # installs Cornac into a temporary environment
    python -m benchmarks.cornac_lightgcn --env ~/cornac-env    # keeps the environment for the next time

Both: Amazon Baby's training clicks, 2 layers, width 64, batch 4096, Adam, the same number of threads. An epoch is the
sampling of negatives and all steps; validation and the forward pass with which Cornac ends an epoch are left out.
Cornac runs in a process of its own (cornac_worker.py) and in turn with the toolkit, an epoch each. Its regulariser acts
on propagated vectors, the toolkit's on the tables; nothing else differs in what is computed.

Cornac, DGL 1.1.3 and torch 2.13.0 are installed by pip under constraints.txt (some minutes, some hundred MB).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from torch import Tensor

from benchmarks.measuring import alternating, arguments, chosen, compared, report, write_json
from benchmarks.shipped_training import ShippedTraining
from benchmarks.workloads import SIZES, load_workload
from damrs_dgl.data.parts import Interactions
from damrs_dgl.graphs.build import build_graph
from damrs_dgl.recipe import with_values

ROOT = Path(__file__).parents[1]
CORNAC = "cornac==3.0.1"
BESIDE = ("dgl==1.1.3", "torch==2.13.0", "packaging")  # dgl needs packaging and does not say so
SLOW = "Cornac 3.0.1"
SETTINGS = {"model.name": "lightgcn", "model.num_layers": 2, "model.dim": 64, "training.batch_size": 4096}


def environment(folder: Path) -> Path:
    """The Python of a virtual environment with Cornac in `folder`, made where it is not there yet."""
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"installing {CORNAC} into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--constraint", str(ROOT / "constraints.txt")]
        subprocess.run([*install, CORNAC, *BESIDE], check=True)
        (folder / "ready").touch()
    return python


class CornacTraining:
    """A training in Cornac's own process; a call trains one epoch more and returns its seconds, measured there.

    settings: a recipe's keys, the system among them.  features: [I, D], for a system that takes content.
    """

    def __init__(
        self,
        python: Path,
        train: Interactions,
        folder: Path,
        settings: Mapping[str, object],
        *,
        features: Tensor | None = None,
    ) -> None:
        np.save(folder / "pairs.npy", torch.stack([train.users, train.items], dim=1).numpy())
        command = [str(python), str(Path(__file__).with_name("cornac_worker.py")), str(folder / "pairs.npy")]
        command += [f"--{key.partition('.')[2]}={value}" for key, value in settings.items()]
        if features is not None:
            np.save(folder / "features.npy", features.numpy())
            command.append(f"--features={folder / 'features.npy'}")
        self.process = subprocess.Popen(
            [*command, f"--threads={torch.get_num_threads()}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self) -> float:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("epoch\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("Cornac's process ended; what it said is above")
        return float(answer)

    def __enter__(self) -> CornacTraining:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.communicate()  # its input ends, and with that its training


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--data", choices=SIZES, default="baby")
    parser.add_argument("--env", type=Path, help="folder of Cornac's environment [a temporary one]")
    options = chosen(parser)
    workload = load_workload(options.data, content=False)
    data = workload.dataset
    recipe = with_values(workload.recipe, SETTINGS)
    graph = build_graph(data, behavior=False).graph
    with tempfile.TemporaryDirectory() as name:
        python = environment((options.env or Path(name) / "env").expanduser())
        with CornacTraining(python, data.train, Path(name), SETTINGS) as cornac:
            sides = {"damrs-dgl": ShippedTraining(recipe, workload, graph), SLOW: cornac}
            results = compared(alternating(sides, options.repeats), slow=SLOW)
    title = (
        f"One epoch of LightGCN (2 layers, width 64, batch 4096) on {options.data}'s {len(data.train):,} "
        "training clicks, sampling and steps"
    )
    report(title, results)
    path = options.json or Path("runs") / f"cornac_lightgcn-{options.data}.json"
    write_json(path, {"title": title, "data": data.describe(), "results": results})


if __name__ == "__main__":
    main()
