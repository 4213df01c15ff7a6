"""An epoch on a quiet machine and beside busy processes, by how long OpenMP's threads spin while they wait.

    python -m benchmarks.busy_machine                        # TikTok; two processes that take all they get
    python -m benchmarks.busy_machine --data baby --busy 4

Three trainings of the recipe's model, a process each, with the same threads: as OpenMP comes, with what the command
line sets (damrs_dgl/threads.py), and with OMP_WAIT_POLICY=PASSIVE, which never spins. They take turns, an epoch each,
first quiet and then busy, `--repeats` times. A machine with one core has nothing to wait for.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from benchmarks.measuring import arguments, chosen, print_table, write_json
from benchmarks.workloads import SIZES, load_workload
from damrs_dgl.threads import USERS_OWN_WAITING, settings, usable_cores

BUSY = "while True: pass"
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE"}


def environments(threads: int) -> dict[str, dict[str, str]]:
    """The environment of each training, by the row of the table that it stands in."""
    bare = {name: value for name, value in os.environ.items() if name not in USERS_OWN_WAITING}
    bare |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    ours = settings(bare)
    row = "the command line's: " + ", ".join(f"{name}={value}" for name, value in ours.items())
    return {"OpenMP's own": bare, row: {**bare, **ours}, "OMP_WAIT_POLICY=PASSIVE": {**bare, **PASSIVE}}


class Training:
    """A training in a process of its own; a call trains one epoch more and returns its seconds."""

    def __init__(self, data: str, overrides: list[str], environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "benchmarks.busy_machine", "--worker", f"--data={data}"]
        self.process = subprocess.Popen(
            [*command, *(f"-o{change}" for change in overrides)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
            env=environment,
        )
        self()  # to warm up

    def __call__(self) -> float:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("epoch\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("seconds "):  # what a library says on the way is no answer
                return float(line.split()[1])
        raise SystemExit("a training's process ended; what it said is above")

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


def work(data: str, overrides: list[str]) -> None:
    """What a training's process does: an epoch for each line on standard input."""
    from benchmarks.shipped_training import ShippedTraining
    from damrs_dgl.factory import build_recipe_graph

    workload = load_workload(data, overrides)
    training = ShippedTraining(workload.recipe, workload, build_recipe_graph(workload.recipe, workload.dataset).graph)
    for _ in sys.stdin:
        print("seconds", training(), flush=True)


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Processes that take all the time of the processor that they get."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--data", choices=SIZES, default="tiktok")
    parser.add_argument("--busy", type=int, default=2, help="processes beside it [%(default)s]")
    parser.add_argument("-o", dest="overrides", action="append", default=[], help="a recipe override; repeatable")
    parser.add_argument("--worker", action="store_true", help="train here (used by the script itself)")
    options = chosen(parser)
    if options.worker:
        work(options.data, options.overrides)
        return
    threads = options.threads or usable_cores()
    with ExitStack() as stack:
        trainings = {}
        for row, environment in environments(threads).items():
            trainings[row] = Training(options.data, options.overrides, environment)
            stack.callback(trainings[row].close)
        seconds: dict[str, dict[str, list[float]]] = {row: {"quiet": [], "busy": []} for row in trainings}
        for _ in range(options.repeats):
            for state, count in (("quiet", 0), ("busy", options.busy)):
                with busy_processes(count):
                    for row, training in trainings.items():
                        seconds[row][state].append(training())
    title = (
        f"One epoch on {options.data}, {threads} threads; busy: beside {options.busy} processes, {usable_cores()} cores"
    )
    medians = {row: {state: median(values) for state, values in part.items()} for row, part in seconds.items()}
    rows = [
        (row, f"{part['quiet']:.3g} s", f"{part['busy']:.3g} s", f"{part['busy'] / part['quiet']:.1f}")
        for row, part in medians.items()
    ]
    print_table(title, ("threads wait as in", "quiet", "busy", "busy / quiet"), rows)
    path = options.json or Path("runs") / f"busy_machine-{options.data}.json"
    write_json(path, {"title": title, "threads": threads, "busy": options.busy, "medians": medians, "seconds": seconds})


if __name__ == "__main__":
    main()
